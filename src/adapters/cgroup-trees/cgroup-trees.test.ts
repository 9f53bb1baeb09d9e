import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { findGroup, parseCgroupMounts, removeGroup } from './cgroup-trees.ts';

describe('parseCgroupMounts', () => {
  it.each([
    {
      name: 'v1 beside v2',
      mountinfo:
        '35 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n',
      want: [
        { type: 'cgroup', path: '/sys/fs/cgroup/memory', options: ['memory'] },
        { type: 'cgroup2', path: '/sys/fs/cgroup/unified', options: [] },
      ],
    },
    {
      name: 'v2 alone, with its options',
      mountinfo: '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot',
      want: [{ type: 'cgroup2', path: '/sys/fs/cgroup', options: ['nsdelegate', 'memory_recursiveprot'] }],
    },
    { name: 'a bind of one group', mountinfo: '9 8 0:26 /pod1 /x rw - cgroup2 cgroup2 rw', want: [] },
    { name: 'other file systems', mountinfo: '9 8 0:26 / / rw - ext4 /dev/vda rw', want: [] },
  ])('$name', ({ mountinfo, want }) => {
    expect(parseCgroupMounts(mountinfo)).toEqual(want);
  });
});

describe('removeGroup', () => {
  it('removes the tree, and is content when it is gone', async () => {
    const root = await mkdtemp(join(tmpdir(), 'gantry-cg-'));
    try {
      await mkdir(join(root, 'lab/node/kubepods/pod1'), { recursive: true });
      const [found] = await findGroup([{ type: 'cgroup2', path: root, options: [] }], '/lab');
      expect(found).toBe(join(root, 'lab'));
      const signal = new AbortController().signal;
      await removeGroup(join(root, 'lab'), 100, systemClock, signal);
      await removeGroup(join(root, 'lab'), 100, systemClock, signal);
      expect(await readdir(root)).toEqual([]);
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
