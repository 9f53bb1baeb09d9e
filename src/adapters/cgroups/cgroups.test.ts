import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import { Cgroups } from './cgroups.ts';
import { v1Writes, v2Writes } from './compute-writes.ts';

const clock = new FakeClock();
const signal = new AbortController().signal;
let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cgroups-'));
});
afterEach(() => rm(root, { recursive: true }));

const at = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
async function put(path: string, text: string): Promise<void> {
  await mkdir(join(root, path, '..'), { recursive: true });
  await writeFile(join(root, path), text);
}

const values = {
  cpuShares: 512,
  cpuQuotaMicros: 50_000,
  cpuPeriodMicros: 100_000,
  memoryLimitBytes: 1024,
  pidsMax: -1,
  hugepageLimits: { '2MB': 0 },
};

describe('writes', () => {
  it('names the files of v1', () => {
    expect(v1Writes(values).map(({ controller, file, data }) => `${controller} ${file}=${data}`)).toEqual([
      'cpu cpu.shares=512',
      'cpu cpu.cfs_period_us=100000',
      'cpu cpu.cfs_quota_us=50000',
      'memory memory.limit_in_bytes=1024',
      'pids pids.max=max',
      'hugetlb hugetlb.2MB.limit_in_bytes=0',
    ]);
    expect(v1Writes({ cpuQuotaMicros: -1 })).toEqual([{ controller: 'cpu', file: 'cpu.cfs_quota_us', data: '-1' }]);
  });

  it('names the files of v2', () => {
    expect(v2Writes(values).map(({ controller, file, data }) => `${controller} ${file}=${data}`)).toEqual([
      'cpu cpu.weight=20',
      'cpu cpu.max=50000 100000',
      'memory memory.max=1024',
      'pids pids.max=max',
      'hugetlb hugetlb.2MB.max=0',
    ]);
    expect(v2Writes({ cpuQuotaMicros: -1, memoryLimitBytes: -1 }).map(({ data }) => data)).toEqual([
      'max 100000',
      'max',
    ]);
    expect(v2Writes({})).toEqual([]);
  });
});

describe('Cgroups on v1', () => {
  beforeEach(async () => {
    for (const name of ['cpu,cpuacct', 'cpuset', 'memory', 'pids', 'unified']) await mkdir(join(root, name));
    await put('cpuset/cpuset.cpus', '0-1\n');
    await put('cpuset/cpuset.mems', '0\n');
  });

  it('makes a group and its parents in every hierarchy, with values and CPUs', async () => {
    const cgroups = await Cgroups.open(root, clock);
    expect(cgroups.version).toBe(1);
    expect(await cgroups.exists('/kubepods/burstable')).toBe(false);
    await cgroups.create('/kubepods/burstable', { cpuShares: 2, memoryLimitBytes: 4096, hugepageLimits: { '2MB': 0 } });
    expect(await cgroups.exists('/kubepods/burstable')).toBe(true);
    expect(await at('cpu,cpuacct/kubepods/burstable/cpu.shares')).toBe('2');
    expect(await at('memory/kubepods/burstable/memory.limit_in_bytes')).toBe('4096');
    expect(await at('cpuset/kubepods/burstable/cpuset.cpus')).toBe('0-1');
    expect(await at('cpuset/kubepods/cpuset.mems')).toBe('0');
    expect(await cgroups.isMissing('/kubepods/burstable')).toBe(false);
    await mkdir(join(root, 'misc')); // a hierarchy that others leave out
    expect(await (await Cgroups.open(root, clock)).isMissing('/kubepods/burstable')).toBe(false);
    await rm(join(root, 'pids/kubepods'), { recursive: true });
    expect(await cgroups.isMissing('/kubepods/burstable')).toBe(true);
    expect(await cgroups.children('/kubepods')).toEqual(['burstable']);
    expect(await cgroups.children('/nowhere')).toEqual([]);
  });

  it('finishes a group that somebody else has made in some hierarchies', async () => {
    const cgroups = await Cgroups.open(root, clock);
    await mkdir(join(root, 'memory/a.slice/a-b.slice'), { recursive: true });
    expect(await cgroups.isAnywhere('/a.slice/a-b.slice')).toBe(true);
    await cgroups.adopt('/a.slice/a-b.slice', { memoryLimitBytes: 4096 });
    expect(await cgroups.exists('/a.slice/a-b.slice')).toBe(true);
    expect(await at('cpuset/a.slice/a-b.slice/cpuset.cpus')).toBe('0-1');
    expect(await at('memory/a.slice/a-b.slice/memory.limit_in_bytes')).toBe('4096');
    await cgroups.remove('/a.slice/a-b.slice', signal);
    expect(await cgroups.isAnywhere('/a.slice/a-b.slice')).toBe(false);
    await mkdir(join(root, 'unified/a.slice/a-b.slice'), { recursive: true });
    expect(await cgroups.isAnywhere('/a.slice/a-b.slice')).toBe(true);
  });

  it('makes what exists already without harm', async () => {
    const cgroups = await Cgroups.open(root, clock);
    await cgroups.create('/a', { cpuShares: 2 });
    await cgroups.create('/a', {});
    expect(await at('cpu,cpuacct/a/cpu.shares')).toBe('2');
  });

  it('reads processes, memory and CPU time', async () => {
    const cgroups = await Cgroups.open(root, clock);
    await put('cpu,cpuacct/a/cgroup.procs', '12\n7\n');
    await put('memory/a/b/cgroup.procs', '12\n13\n0\n');
    await put('memory/a/memory.usage_in_bytes', '1000\n');
    await put('memory/a/memory.limit_in_bytes', '9223372036854771712\n');
    await put('memory/a/memory.stat', 'cache 5\ninactive_file 1\ntotal_inactive_file 300\ntotal_rss 600\n');
    await put('cpu,cpuacct/a/cpuacct.usage', '123456789\n');
    expect(await cgroups.pids('/a')).toEqual([7, 12, 13]);
    expect(await cgroups.memory('/a')).toEqual({
      usageBytes: 1000,
      workingSetBytes: 700,
      rssBytes: 600,
      limitBytes: undefined,
    });
    expect(await cgroups.cpuUsageNs('/a')).toBe(123_456_789);
    for (const [file, text] of [
      ['usage_in_bytes', '5000'],
      ['limit_in_bytes', '9223372036854771712'],
      ['stat', 'total_inactive_file 300\ntotal_rss 600\n'],
    ] as const) {
      await put(`memory/memory.${file}`, text);
    }
    expect(await cgroups.rootMemory(8000)).toEqual({
      usageBytes: 5000,
      workingSetBytes: 4700,
      rssBytes: 600,
      limitBytes: 8000,
    });
    expect(await cgroups.memory('/b')).toBeUndefined();
    expect(await cgroups.cpuUsageNs('/b')).toBeUndefined();
  });

  it('removes a group with all below it, in the v2 tree of a hybrid host too; twice is success', async () => {
    const cgroups = await Cgroups.open(root, clock);
    await cgroups.create('/kubepods/pod1/c1', { cpuShares: 2 });
    await mkdir(join(root, 'unified/kubepods/pod1'), { recursive: true });
    await cgroups.remove('/kubepods/pod1', signal);
    await cgroups.remove('/kubepods/pod1', signal);
    expect(await cgroups.children('/kubepods')).toEqual([]);
    await expect(readFile(join(root, 'unified/kubepods/pod1'))).rejects.toThrow('ENOENT');
  });

  it.each(['', 'a', '/a/../b', '/a//b', '/a/', '/a\0'])('refuses the path "%s"', async (path) => {
    const cgroups = await Cgroups.open(root, clock);
    await expect(cgroups.exists(path)).rejects.toThrow(/Cannot use cgroup path/);
  });

  it('never removes the root', async () => {
    const cgroups = await Cgroups.open(root, clock);
    await expect(cgroups.remove('/', signal)).rejects.toThrow(/it is the root/);
  });

  it('says which file did not take which value', async () => {
    const cgroups = await Cgroups.open(root, clock);
    await mkdir(join(root, 'cpu,cpuacct/a/cpu.shares'), { recursive: true });
    await expect(cgroups.update('/a', { cpuShares: 2 })).rejects.toThrow(
      `Cannot write "2" to "${join(root, 'cpu,cpuacct/a/cpu.shares')}": EISDIR`,
    );
  });
});

describe('Cgroups on v2', () => {
  it('hands controllers down and writes into one tree', async () => {
    await put('cgroup.controllers', 'cpuset cpu memory pids\n');
    await put('cgroup.subtree_control', 'cpu\n');
    const cgroups = await Cgroups.open(root, clock);
    expect(cgroups.version).toBe(2);
    await cgroups.create('/kubepods', { cpuShares: 1024, memoryLimitBytes: 4096, hugepageLimits: { '2MB': 0 } });
    expect(await at('cgroup.subtree_control')).toBe('+cpuset +memory +pids');
    expect(await at('kubepods/cpu.weight')).toBe('39');
    expect(await at('kubepods/memory.max')).toBe('4096');
    await put('kubepods/memory.current', '900');
    await put('kubepods/memory.stat', 'anon 500\ninactive_file 100\n');
    await put('kubepods/cpu.stat', 'usage_usec 42\nuser_usec 1\n');
    expect(await cgroups.memory('/kubepods')).toEqual({
      usageBytes: 900,
      workingSetBytes: 800,
      rssBytes: 500,
      limitBytes: 4096,
    });
    expect(await cgroups.rootMemory(8000)).toBeUndefined();
    await put('memory.stat', 'anon 500\nfile 300\ninactive_file 100\n');
    expect(await cgroups.rootMemory(8000)).toEqual({
      usageBytes: 800,
      workingSetBytes: 700,
      rssBytes: 500,
      limitBytes: 8000,
    });
    expect(await cgroups.cpuUsageNs('/kubepods')).toBe(42_000);
    expect(await cgroups.hasSwapLimit('/kubepods')).toBe(false);
    await put('kubepods/memory.swap.max', 'max');
    expect(await cgroups.hasSwapLimit('/kubepods')).toBe(true);
  });
});

describe('a v2 group that somebody else has made', () => {
  it('gets the controllers that its maker does not know of, from the top down', async () => {
    await put('cgroup.controllers', 'cpu memory hugetlb\n');
    await put('cgroup.subtree_control', 'cpu memory\n');
    await put('a.slice/cgroup.controllers', 'cpu memory hugetlb\n');
    await put('a.slice/cgroup.subtree_control', 'cpu memory\n');
    await mkdir(join(root, 'a.slice/a-b.slice'));
    const cgroups = await Cgroups.open(root, clock);
    await cgroups.adopt('/a.slice/a-b.slice', { hugepageLimits: { '2MB': 0 } });
    expect(await at('cgroup.subtree_control')).toBe('+hugetlb');
    expect(await at('a.slice/cgroup.subtree_control')).toBe('+hugetlb');
    expect(await at('a.slice/a-b.slice/hugetlb.2MB.max')).toBe('0');
  });
});

describe('Cgroups.open', () => {
  it('takes no folder for a hierarchy where others are mounted and it is not', async () => {
    await put('memory/cgroup.procs', '1\n');
    await mkdir(join(root, 'cpu,cpuacct'));
    const cgroups = await Cgroups.open(root, clock);
    await cgroups.create('/a', {});
    expect(await cgroups.exists('/a')).toBe(true);
    await expect(at('cpu,cpuacct/a')).rejects.toThrow('ENOENT');
  });

  it.each([
    { name: 'an empty folder', path: '', want: /found no controllers/ },
    { name: 'no folder', path: '/nowhere', want: /cannot be read/ },
  ])('refuses $name', async ({ path, want }) => {
    await expect(Cgroups.open(`${root}${path}`, clock)).rejects.toThrow(want);
  });
});
