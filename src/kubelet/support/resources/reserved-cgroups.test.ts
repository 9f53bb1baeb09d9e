import { describe, expect, it } from 'vitest';
import { cgroupfsNames, systemdNames } from './group-names.ts';
import { computeReservedGroups, enforceReserved } from './reserved-cgroups.ts';

const options = {
  enforceNodeAllocatable: ['pods'],
  kubeReserved: { cpu: '500m', memory: '1Gi', pid: '1000' },
  kubeReservedCgroup: '/kube.slice',
  systemReserved: { cpu: '1', 'ephemeral-storage': '1Gi' },
  systemReservedCgroup: '/system.slice',
};
const kube = { cpuShares: 512, memoryLimitBytes: 1024 ** 3, pidsMax: 1000 };
const never = new AbortController().signal;

describe('computeReservedGroups', () => {
  it.each([
    { keys: ['pods'], want: [] },
    { keys: ['none'], want: [] },
    { keys: ['pods', 'kube-reserved'], want: [{ what: 'kube', group: '/kube.slice', values: kube }] },
    {
      keys: ['kube-reserved-compressible'],
      want: [{ what: 'kube', group: '/kube.slice', values: { cpuShares: 512 } }],
    },
    {
      keys: ['kube-reserved', 'system-reserved'],
      want: [
        { what: 'system', group: '/system.slice', values: { cpuShares: 1024 } },
        { what: 'kube', group: '/kube.slice', values: kube },
      ],
    },
  ])('$keys', ({ keys, want }) =>
    expect(computeReservedGroups({ ...options, enforceNodeAllocatable: keys })).toEqual(want),
  );
});

describe('enforceReserved', () => {
  const both = { ...options, enforceNodeAllocatable: ['kube-reserved', 'system-reserved'] };

  it('limits groups that are there, and says so', async () => {
    const said: string[] = [];
    const cgroups = {
      exists: () => Promise.resolve(true),
      update: (path: string) => Promise.resolve(void said.push(path)),
    };
    await enforceReserved(
      { cgroups, names: cgroupfsNames, event: (...words) => said.push(words.join(' ')) },
      both,
      never,
    );
    expect(said).toEqual([
      '/system.slice',
      'Normal NodeAllocatableEnforced Updated limits on system reserved cgroup /system.slice',
      '/kube.slice',
      'Normal NodeAllocatableEnforced Updated limits on kube reserved cgroup /kube.slice',
    ]);
  });

  it('finds them as the driver calls them, and says them as they are configured', async () => {
    const said: string[] = [];
    const cgroups = {
      exists: (path: string) => Promise.resolve(path === '/kube.slice/kube-daemons.slice'),
      update: (path: string) => Promise.resolve(void said.push(path)),
    };
    const one = { ...options, enforceNodeAllocatable: ['kube-reserved'], kubeReservedCgroup: '/kube-daemons' };
    await enforceReserved(
      { cgroups, names: systemdNames, event: (...words) => said.push(words.join(' ')) },
      one,
      never,
    );
    expect(said).toEqual([
      '/kube.slice/kube-daemons.slice',
      'Normal NodeAllocatableEnforced Updated limits on kube reserved cgroup /kube-daemons',
    ]);
  });

  it('makes none', async () => {
    const cgroups = { exists: () => Promise.resolve(false), update: () => Promise.reject(new Error('written')) };
    await expect(enforceReserved({ cgroups, names: cgroupfsNames, event: () => {} }, both, never)).rejects.toThrow(
      'Failed to enforce System Reserved Cgroup Limits on "/system.slice": "/system.slice" cgroup does not exist',
    );
  });
});
