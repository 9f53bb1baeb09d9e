import { describe, expect, it } from 'vitest';
import { cgroupMode } from './check-kernel.ts';

describe('cgroupMode', () => {
  it.each([
    { name: 'v2 alone', text: '0::/user.slice\n', want: 'cgroup v2' },
    { name: 'v1 alone', text: '4:pids:/\n3:memory:/\n2:cpu,cpuacct:/\n1:name=systemd:/\n', want: 'cgroup v1' },
    {
      name: 'v1 controllers and an empty v2 tree',
      text: '4:pids:/\n3:memory:/\n2:cpu,cpuacct:/\n0::/\n',
      want: 'cgroup v1, with a v2 tree beside it (hybrid)',
    },
    {
      name: 'v1 without the memory controller',
      text: '4:pids:/\n2:cpu,cpuacct:/\n0::/\n',
      want: { missing: ['memory'] },
    },
    { name: 'nothing at all', text: '', want: { missing: ['cpu', 'memory', 'pids'] } },
  ])('$name', ({ text, want }) => {
    expect(cgroupMode(text)).toEqual(want);
  });
});
