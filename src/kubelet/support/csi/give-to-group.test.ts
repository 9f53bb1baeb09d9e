import { expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import type { CsiNeed } from './csi-need.ts';
import { giveToGroup } from './give-to-group.ts';

const signal = new AbortController().signal;
const pod: Pod = { metadata: { name: 'p', uid: 'u-1' }, spec: { containers: [], securityContext: { fsGroup: 7 } } };
const target = '/root/pods/u-1/volumes/kubernetes.io~csi/pv/mount';

it('tells after 30 s that it takes long, then each minute how far it is, and nothing once it is over', async () => {
  const clock = new FakeClock();
  const events: string[] = [];
  const walk = Promise.withResolvers<void>();
  let onEach: () => void = () => {};
  const mounts: Pick<CsiNeed['mounts'], 'changeGroup'> = {
    changeGroup: async (_, change) => {
      onEach = change.onEach ?? onEach;
      await walk.promise;
      return { failures: 0, firstFailure: undefined };
    },
  };
  const need = { mounts: mounts as CsiNeed['mounts'], clock, log: silentLogger }; // all that it asks
  const event: CsiNeed['event'] = (_, type, reason, message) => events.push(`${type} ${reason} ${message}`);
  const giving = giveToGroup(target, pod, { ...need, event }, signal);
  const pass = async (ms: number, files: number): Promise<string[]> => {
    for (let i = 0; i < files; i++) onEach();
    await clock.advance(ms);
    return events.splice(0);
  };
  const about =
    'Warning VolumePermissionChangeInProgress Setting volume ownership for u-1/volumes/kubernetes.io~csi/pv/mount';
  expect(await pass(29_999, 3)).toEqual([]);
  expect(await pass(1, 0)).toEqual([
    `${about} is taking longer than expected, consider using OnRootMismatch - https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#configure-volume-permission-and-ownership-change-policy-for-pods`,
  ]);
  expect(await pass(59_999, 4)).toEqual([]);
  expect(await pass(1, 0)).toEqual([`${about}, processed 7 files.`]);
  expect(await pass(120_000, 5)).toEqual([`${about}, processed 12 files.`, `${about}, processed 12 files.`]);
  walk.resolve();
  await giving;
  expect(await pass(600_000, 0)).toEqual([]);
  expect(clock.sleeping).toBe(0);
});
