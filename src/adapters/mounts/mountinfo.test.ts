import { describe, expect, it } from 'vitest';
import { mountOf, parseMountinfo } from './mountinfo.ts';

const text = [
  '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard',
  '40 27 0:33 / /var/lib/k\\040x rw,nosuid shared:12 master:3 - tmpfs tmpfs rw,size=64k,noswap',
  '41 27 254:0 /data/a /mnt/b ro,relatime shared:1 - ext4 /dev/vda rw',
  '42 27 0:34 / /mnt/b rw - tmpfs none rw',
  'torn line',
  '43 27 0:35 / /odd',
  '',
].join('\n');

describe('parseMountinfo', () => {
  it('reads targets with escapes, propagation and both kinds of options', () => {
    expect(parseMountinfo(text)[1]).toEqual({
      id: 40,
      device: '0:33',
      root: '/',
      target: '/var/lib/k x',
      options: ['rw', 'nosuid'],
      propagation: ['shared:12', 'master:3'],
      fsType: 'tmpfs',
      source: 'tmpfs',
      superOptions: ['rw', 'size=64k', 'noswap'],
    });
  });

  it('leaves out lines that it cannot read', () => {
    expect(parseMountinfo(text).map(({ id }) => id)).toEqual([27, 40, 41, 42]);
  });
});

describe('mountOf', () => {
  it.each([
    { path: '/mnt/b/c', want: 42, name: 'of two mounts at one place the newer' },
    { path: '/mnt/bc', want: 27, name: 'a mere prefix of the name does not count' },
    { path: '/var/lib/k x', want: 40, name: 'the mount point itself' },
    { path: '/', want: 27, name: 'the root' },
  ])('$name', ({ path, want }) => {
    expect(mountOf(parseMountinfo(text), path)?.id).toBe(want);
  });
});
