import { describe, expect, it } from 'vitest';
import type { CgroupValues } from '../../../adapters/cgroups/cgroups.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { cgroupfsNames, systemdNames } from './group-names.ts';
import { PodCgroups } from './resources.ts';

const signal = new AbortController().signal;
const burstable: Pod = {
  metadata: { name: 'b', uid: 'b1' },
  spec: { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '100m' } } }] },
};
const bestEffort: Pod = { metadata: { name: 'e', uid: 'e1' }, spec: { containers: [{ name: 'c', image: 'i' }] } };

function world(cgroupRoot = '/', names = cgroupfsNames) {
  const groups = new Map<string, CgroupValues>();
  const events: string[] = [];
  let failure: Error | undefined;
  let updateFailure: Error | undefined;
  let held: Promise<void> | undefined;
  const pods = new PodCgroups({
    cgroups: {
      exists: (path) => Promise.resolve(groups.has(path)),
      isMissing: (path) => Promise.resolve(!groups.has(path)),
      create: async (path, values) => {
        groups.set(path, { ...groups.get(path), ...values });
        if (failure !== undefined) throw failure;
      },
      update: async (path, values) => {
        const wait = held;
        held = undefined; // only the first
        await wait;
        if (updateFailure !== undefined) throw updateFailure;
        groups.set(path, { ...groups.get(path), ...values });
      },
      remove: async (path) => {
        groups.delete(path);
      },
      children: async (path) =>
        [...groups.keys()]
          .filter((key) => key.startsWith(`${path}/`) && !key.slice(path.length + 1).includes('/'))
          .map((key) => key.slice(path.length + 1)),
    },
    cgroupRoot,
    names,
    node: {
      capacity: {},
      allocatable: {},
      forPods: { milliCpu: 1000, memoryBytes: 4096, pidsMax: 10, hugepages: [] },
    },
    machine: { cpuCount: 2, memoryBytes: 8192 },
    enforceNodeAllocatable: ['pods'],
    options: { cpuCfsQuota: true, cpuCfsQuotaPeriodMicros: 100_000, podPidsLimit: -1, hugepageSizes: [] },
    event: (type, reason, message) => events.push(`${type} ${reason} ${message}`),
    log: silentLogger,
  });
  return {
    pods,
    groups,
    events,
    failCreate: (err: Error) => (failure = err),
    failUpdate: (err: Error) => (updateFailure = err),
    /** The next update takes until the returned function has been called, and a little longer. */
    holdUpdate: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise.then(() => new Promise((done) => setImmediate(done)));
      return resolve;
    },
  };
}

describe('PodCgroups', () => {
  it('makes the tree with its limits and says so on the node', async () => {
    const { pods, groups, events } = world('/lab/n1');
    await pods.ensureTree(signal);
    expect(groups.get('/lab/n1/kubepods')).toEqual({
      cpuShares: 1024,
      memoryLimitBytes: 4096,
      pidsMax: 10,
      hugepageLimits: {},
    });
    expect(groups.get('/lab/n1/kubepods/besteffort')).toMatchObject({ cpuShares: 2 });
    expect(events).toEqual(['Normal NodeAllocatableEnforced Updated Node Allocatable limit across pods']);
  });

  it('slows down what is left of a pod, and makes no group for that', async () => {
    const { pods, groups } = world();
    await pods.ensure(burstable, signal);
    expect(await pods.isMissing(burstable)).toBe(false);
    await pods.slowDown('b1', signal);
    expect(groups.get('/kubepods/burstable/podb1')).toMatchObject({ cpuShares: 2 });
    await pods.slowDown('e1', signal);
    expect(await pods.isMissing(bestEffort)).toBe(true);
  });

  it('leaves the weight of a running class alone until its pods are known', async () => {
    const { pods, groups } = world();
    groups.set('/kubepods/burstable', { cpuShares: 500 });
    await pods.ensureTree(signal);
    expect(groups.get('/kubepods/burstable')).toMatchObject({ cpuShares: 500 });
    await pods.updateQos([burstable, bestEffort], signal);
    expect(groups.get('/kubepods/burstable')).toMatchObject({ cpuShares: 102 });
  });

  it('goes on without limits that cannot be set, with a warning', async () => {
    const { pods, events, failUpdate } = world();
    failUpdate(new Error('Cannot write "4096": EBUSY'));
    await pods.ensureTree(signal);
    expect(events).toEqual([
      expect.stringMatching(
        /^Warning FailedNodeAllocatableEnforcement Failed to update Node Allocatable Limits .*EBUSY$/,
      ),
    ]);
  });

  it('makes a pod its group once, and finds it again by uid', async () => {
    const { pods, groups } = world();
    await pods.ensureTree(signal);
    await pods.ensure(burstable, signal);
    expect(pods.parentFor(burstable)).toBe('/kubepods/burstable/podb1');
    expect(groups.get('/kubepods/burstable/podb1')).toMatchObject({ cpuShares: 102 });
    groups.set('/kubepods/burstable/podb1', { cpuShares: 7 });
    await pods.ensure(burstable, signal);
    expect(groups.get('/kubepods/burstable/podb1')).toEqual({ cpuShares: 7 });
    await pods.ensure(bestEffort, signal);
    expect((await pods.list()).toSorted()).toEqual(['b1', 'e1']);
  });

  it('takes a half-made group back', async () => {
    const { pods, groups, failCreate } = world();
    failCreate(new Error('EINVAL'));
    await expect(pods.ensure(burstable, signal)).rejects.toThrow(/failed to ensure that the pod: b1 cgroups exist/);
    expect(groups.has('/kubepods/burstable/podb1')).toBe(false);
  });

  it('removes a pod from whichever class it was in', async () => {
    const { pods, groups } = world();
    await pods.ensure(bestEffort, signal);
    await pods.remove('e1', signal);
    await pods.remove('unknown', signal);
    expect(groups.has('/kubepods/besteffort/pode1')).toBe(false);
  });

  it('writes the weight of a class only when it changed', async () => {
    const { pods, failUpdate } = world();
    await pods.updateQos([burstable], signal);
    failUpdate(new Error('must not be called'));
    await expect(pods.updateQos([burstable], signal)).resolves.toBeUndefined();
    await expect(pods.updateQos([], signal)).rejects.toThrow('must not be called');
  });

  it('names groups as systemd does, and reads them back', async () => {
    const { pods, groups } = world('/lab/n-1', systemdNames);
    const dashed: Pod = { ...burstable, metadata: { name: 'd', uid: '5f4d-2c1e' } };
    await pods.ensureTree(signal);
    await pods.ensure(dashed, signal);
    await pods.ensure(bestEffort, signal);
    const top = '/lab.slice/lab-n_1.slice/lab-n_1-kubepods.slice';
    const inBurstable = `${top}/lab-n_1-kubepods-burstable.slice/lab-n_1-kubepods-burstable-pod5f4d_2c1e.slice`;
    expect(pods.topPath).toBe(top);
    expect(pods.parentFor(dashed)).toBe(inBurstable);
    expect([...groups.keys()]).toContain(inBurstable);
    expect((await pods.list()).toSorted()).toEqual(['5f4d-2c1e', 'e1']);
    await pods.remove('5f4d-2c1e', signal);
    expect(await pods.list()).toEqual(['e1']);
  });

  it('has no slice for a pod that none can be named after, and nothing to remove then', async () => {
    const { pods } = world('/', systemdNames);
    const odd: Pod = { ...burstable, metadata: { name: 'o', uid: 'a_b' } };
    await expect(pods.ensure(odd, signal)).rejects.toThrow('Cannot name a slice after "poda_b"');
    await pods.slowDown('a_b', signal);
    await pods.remove('a_b', signal);
  });

  it('makes the groups above a new pod again when somebody has taken them away', async () => {
    const { pods, groups, events } = world();
    await pods.ensureTree(signal);
    await pods.ensure(burstable, signal);
    await pods.updateQos([burstable], signal);
    groups.clear();
    await pods.ensure(burstable, signal);
    await pods.updateQos([burstable], signal);
    expect(groups.get('/kubepods')).toMatchObject({ memoryLimitBytes: 4096 });
    expect(groups.get('/kubepods/burstable')).toMatchObject({ cpuShares: 102 });
    expect(groups.get('/kubepods/burstable/podb1')).toMatchObject({ cpuShares: 102 });
    await pods.ensure(bestEffort, signal); // all is there
    expect(events).toHaveLength(2);
  });

  it('weighs the classes in the order in which it was asked to, however long a write takes', async () => {
    const { pods, groups, holdUpdate } = world();
    await pods.ensureTree(signal);
    const release = holdUpdate();
    const [early, late] = [pods.updateQos([], signal), pods.updateQos([burstable], signal)];
    release();
    await Promise.all([early, late]);
    expect(groups.get('/kubepods/burstable')).toMatchObject({ cpuShares: 102 });
  });
});
