import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec } from '../../../objects/generated/core-v1.ts';
import { commonUser, groupBits, tokenFileOwner } from './ownership.ts';

const container = (fields: Partial<Container> = {}): Container => ({ name: 'c', image: 'i', ...fields });
const podWith = (spec: Partial<PodSpec>): Pod => ({
  metadata: { name: 'p', namespace: 'ns', uid: 'u1' },
  spec: { containers: [container()], ...spec },
});

describe('owners', () => {
  const users = (pod: number | undefined, ...each: Array<number | undefined>): Pod =>
    podWith({
      ...(pod === undefined ? {} : { securityContext: { runAsUser: pod } }),
      containers: each.map((runAsUser, i) => container({ name: `c${i}`, securityContext: { runAsUser } })),
    });
  it.each([
    { name: 'all the same', pod: users(undefined, 7, 7), want: 7 },
    { name: "the pod's, where a container says nothing", pod: users(7, undefined, 7), want: 7 },
    { name: 'one says another', pod: users(7, undefined, 8), want: undefined },
    { name: 'one says nothing', pod: users(undefined, 7, undefined), want: undefined },
    { name: 'root is a user, too', pod: users(0, undefined), want: 0 },
  ])('commonUser: $name', ({ pod, want }) => {
    expect(commonUser(pod)).toBe(want);
  });

  it.each([
    { runAsUser: 1000, fsGroup: undefined, want: { uid: 1000, mode: 0o600 } },
    { runAsUser: undefined, fsGroup: 10000, want: { uid: undefined, mode: 0o600 } },
    { runAsUser: 1000, fsGroup: 10000, want: { uid: 1000, mode: 0o600 } },
    { runAsUser: undefined, fsGroup: undefined, want: { uid: undefined, mode: 0o644 } },
  ])('token file of user $runAsUser and group $fsGroup', ({ runAsUser, fsGroup, want }) => {
    expect(tokenFileOwner(podWith({ securityContext: { runAsUser, fsGroup } }), 0o644)).toEqual(want);
  });

  it.each([
    { mode: 0o400, readOnly: true, want: 0o440 },
    { mode: 0o644, readOnly: true, want: 0o644 },
    { mode: 0o600, readOnly: true, want: 0o640 },
    { mode: 0o600, readOnly: false, want: 0o660 },
  ])('a file of mode $mode becomes $want', ({ mode, readOnly, want }) => {
    expect(mode | groupBits(readOnly).fileBits).toBe(want);
  });
  it('a directory passes its group on', () => {
    expect(0o755 | groupBits(true).directoryBits).toBe(0o2755);
    expect(0o777 | groupBits(false).directoryBits).toBe(0o2777);
  });
});
