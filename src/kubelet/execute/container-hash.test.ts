import { describe, expect, it } from 'vitest';
import { fnv1a128Hex, fnv1a32 } from '../../base/fnv.ts';
import { containerHash } from './container-hash.ts';

describe('containerHash', () => {
  it('matches the value that an upstream kubelet writes', () => {
    expect(containerHash({ name: 'test_container', image: 'foo/image:v1' })).toBe('8e45cbd0');
  });
  it('depends on the image', () => {
    expect(containerHash({ name: 'a', image: 'x' })).not.toBe(containerHash({ name: 'a', image: 'y' }));
  });
});

describe('FNV-1a', () => {
  it('matches published values', () => {
    expect(fnv1a32('')).toBe(0x811c9dc5);
    expect(fnv1a32('a')).toBe(0xe40c292c);
    expect(fnv1a128Hex(Buffer.from(''))).toBe('6c62272e07bb014262b821756295c58d');
    expect(fnv1a128Hex(Buffer.from('a'))).toBe('d228cb696f1a8caf78912b704e4a8964');
  });
});
