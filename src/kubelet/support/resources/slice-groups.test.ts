import { describe, expect, it } from 'vitest';
import { SliceGroups } from './slice-groups.ts';

const signal = new AbortController().signal;
const path = '/kubepods.slice/kubepods-podx.slice';

/** What is asked of whom, in order. */
function world({ isNew = true, isThere = true, isOwned = true, stopFailure = undefined as Error | undefined } = {}) {
  const done: string[] = [];
  const note = (what: string) => (group: string, values?: unknown) => {
    expect(group).toBe(path);
    done.push(values === undefined || values instanceof AbortSignal ? what : `${what} ${JSON.stringify(values)}`);
    return Promise.resolve();
  };
  const groups = new SliceGroups({
    systemd: {
      startSlice: async (group, values) => {
        await note('systemd starts')(group, values);
        return isNew;
      },
      isOwned: () => Promise.resolve(isOwned),
      limitSlice: note('systemd limits'),
      stopSlice: async (group) => {
        await note('systemd stops')(group);
        if (stopFailure !== undefined) throw stopFailure;
      },
    },
    cgroups: {
      adopt: note('files'),
      update: note('files'),
      empty: note('kill'),
      remove: note('folders go'),
      isAnywhere: () => Promise.resolve(isThere),
      exists: () => Promise.resolve(isThere),
      isMissing: () => Promise.resolve(!isThere),
      children: () => Promise.resolve(['kubepods-podx-y.slice']),
      memory: () => Promise.resolve(undefined),
      cpuQuotaMicros: () => Promise.resolve(7),
    },
  });
  return { groups, done };
}

describe('SliceGroups', () => {
  it('has systemd make a slice, then writes what systemd leaves out', async () => {
    const { groups, done } = world();
    await groups.create(path, { cpuShares: 2 }, signal);
    expect(done).toEqual(['systemd starts {"cpuShares":2}', 'files {"cpuShares":2}']);
  });

  it('limits a slice that is there already', async () => {
    const { groups, done } = world({ isNew: false });
    await groups.create(path, { cpuShares: 2 }, signal);
    expect(done.slice(1)).toEqual(['systemd limits {"cpuShares":2}', 'files {"cpuShares":2}']);
  });

  it('writes exact values after the rounded ones of systemd', async () => {
    const { groups, done } = world();
    await groups.update(path, { cpuQuotaMicros: 1234 }, signal);
    expect(done).toEqual(['systemd limits {"cpuQuotaMicros":1234}', 'files {"cpuQuotaMicros":1234}']);
  });

  it('kills, stops and removes, in this order', async () => {
    const { groups, done } = world();
    await groups.remove(path, signal);
    expect(done).toEqual(['kill', 'systemd stops', 'folders go']);
  });

  it('leaves the folders when systemd cannot stop the slice: they are what it is found by', async () => {
    const { groups, done } = world({ stopFailure: new Error('no answer') });
    await expect(groups.remove(path, signal)).rejects.toThrow('no answer');
    expect(done).toEqual(['kill', 'systemd stops']);
  });

  it('asks nobody for a group of which nothing is there', async () => {
    const { groups, done } = world({ isThere: false });
    await groups.remove(path, signal);
    expect(done).toEqual([]);
    expect(await groups.exists(path)).toBe(false);
    expect(await groups.isMissing(path)).toBe(true);
  });

  it('does not take a slice that systemd has started by itself for one that is limited', async () => {
    expect(await world().groups.exists(path)).toBe(true);
    const { groups } = world({ isOwned: false });
    expect(await groups.exists(path)).toBe(false);
    expect(await groups.isMissing(path)).toBe(false); // what runs in it need not end
  });

  it('reads groups as they are', async () => {
    const { groups } = world();
    expect(await groups.children(path)).toEqual(['kubepods-podx-y.slice']);
    expect(await groups.memory(path)).toBeUndefined();
    expect(await groups.cpuQuotaMicros(path)).toBe(7);
  });
});
