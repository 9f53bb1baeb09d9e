/** One container's exit starts all of its pod over: what the runtime is asked for, and what the API is told. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type KubeletFixture, apiPod, conditionOf, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

beforeEach(async () => {
  t = await openFixture();
});
afterEach(async () => {
  await t.close();
});

const pod = apiPod('web', {
  initContainers: [{ name: 'side', image: 'web:1', restartPolicy: 'Always' }],
  containers: [
    webContainer({
      restartPolicy: 'Never',
      restartPolicyRules: [{ action: 'RestartAllContainers', exitCodes: { operator: 'In', values: [42] } }],
    }),
    { name: 'other', image: 'web:1' },
  ],
});

const names = ['side', 'web', 'other'];
const idOf = (name: string): string => t.container('web', name)?.containerID?.replace(/^.*\/\//, '') ?? '';

it('kills what runs, removes all, who asked last, and starts over in the same sandbox at once', async () => {
  await t.start();
  t.api.addPod(pod, nodeName);
  await t.untilReady('web');
  const old = new Map(names.map((name) => [idOf(name), name]));
  const before = t.cri.calls.length;
  t.cri.exitContainer(idOf('web'), 42);
  await t.until(
    'the second start of all',
    () =>
      names.every((name) => t.container('web', name)?.restartCount === 1) &&
      conditionOf(t.api.pod('web'), 'Ready') === 'True',
  );
  const acts = t.cri.calls.slice(before).flatMap(({ method, request }) => {
    const { container_id: id = '', timeout } = request as { container_id?: string; timeout?: unknown };
    if (method === 'StopContainer') return [`stop ${old.get(id)} ${String(timeout)}`];
    if (method === 'RemoveContainer') return [`remove ${old.get(id)}`];
    return ['RunPodSandbox', 'StopPodSandbox', 'CreateContainer'].includes(method) ? [method] : [];
  });
  expect(acts).toEqual([
    'stop other 2',
    'stop side 2',
    'remove other',
    'remove side',
    'remove web',
    'CreateContainer',
    'CreateContainer',
    'CreateContainer',
  ]);
  const told = t.api.podPatches.map(({ status }) => status);
  const waits = told.flatMap(({ containerStatuses = [] }) =>
    containerStatuses.map(({ state }) => state?.waiting?.reason),
  );
  expect(waits).not.toContain('CrashLoopBackOff'); // nobody waits for a back-off
  expect(
    told.some((status) =>
      status.conditions?.some((one) => one.type === 'AllContainersRestarting' && one.status === 'True'),
    ),
  ).toBe(true);
  expect(
    told.every(
      ({ phase, conditions }) =>
        phase !== 'Running' || conditions?.every((one) => one.type !== 'Initialized' || one.status === 'True'),
    ),
  ).toBe(true);
  expect(t.container('web', 'other')).toMatchObject({ restartCount: 1, lastState: { terminated: { exitCode: 0 } } });
  expect(t.container('web', 'web')).toMatchObject({ restartCount: 1, lastState: { terminated: { exitCode: 42 } } });
  expect(conditionOf(t.api.pod('web'), 'AllContainersRestarting')).toBe('False');
});

it('a kubelet that was started meanwhile goes on with it', async () => {
  const first = await t.start();
  t.api.addPod(pod, nodeName);
  await t.untilReady('web');
  const hang = t.cri.hang('RemoveContainer');
  t.cri.exitContainer(idOf('web'), 42);
  await t.until('the first removal', () => t.cri.callsOf('RemoveContainer').length === 1);
  await first.stop();
  hang.release();
  await t.start();
  await t.until('the second start of all', () => names.every((name) => t.container('web', name)?.restartCount === 1));
});

it('the container that asks for it again and again waits like one that crashes', async () => {
  await t.start();
  t.api.addPod(pod, nodeName);
  await t.untilReady('web');
  t.cri.exitContainer(idOf('web'), 42);
  await t.until(
    'the first restart',
    () => t.container('web', 'web')?.state?.running && t.container('web', 'web')?.restartCount === 1,
  );
  t.cri.exitContainer(idOf('web'), 42);
  const waiting = await t.until('the back-off', () => {
    const reason = t.container('web', 'web')?.state?.waiting;
    return reason?.reason === 'CrashLoopBackOff' ? reason : undefined;
  });
  expect(waiting.message).toMatch(/^back-off 10s restarting failed container=web pod=web_default\(/);
  await t.until('the others', () => t.container('web', 'other')?.restartCount === 2);
  await t.until('the second restart', () => t.container('web', 'web')?.restartCount === 2);
});
