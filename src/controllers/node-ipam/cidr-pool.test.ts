import { describe, expect, it } from 'vitest';
import { CidrPool } from './cidr-pool.ts';

describe('CidrPool', () => {
  it('hands blocks out in order, goes round, and ends', () => {
    const pool = new CidrPool('10.244.0.0/22', 24);
    expect([pool.allocate(), pool.allocate()]).toEqual(['10.244.0.0/24', '10.244.1.0/24']);
    pool.release('10.244.0.0/24');
    expect([pool.allocate(), pool.allocate(), pool.allocate(), pool.allocate()]).toEqual([
      '10.244.2.0/24',
      '10.244.3.0/24',
      '10.244.0.0/24',
      undefined,
    ]);
  });

  it.each([
    { name: 'inside', occupied: '10.244.1.128/25', want: ['10.244.0.0/24', '10.244.2.0/24'] },
    { name: 'larger than blocks', occupied: '10.244.0.0/23', want: ['10.244.2.0/24', '10.244.3.0/24'] },
    { name: 'all of it', occupied: '10.0.0.0/8', want: [undefined, undefined] },
    { name: 'elsewhere', occupied: '10.96.0.0/16', want: ['10.244.0.0/24', '10.244.1.0/24'] },
    { name: 'another family', occupied: 'fd00::/8', want: ['10.244.0.0/24', '10.244.1.0/24'] },
  ])('leaves out what is taken: $name', ({ occupied, want }) => {
    const pool = new CidrPool('10.244.0.0/22', 24);
    pool.occupy(occupied);
    expect([pool.allocate(), pool.allocate()]).toEqual(want);
  });

  it('knows IPv6', () => {
    const pool = new CidrPool('fd00:10:244::/56', 64);
    expect([pool.allocate(), pool.allocate()]).toEqual(['fd00:10:244::/64', 'fd00:10:244:1::/64']);
  });

  it.each([
    ['10.244.0.0/24', 16],
    ['10.0.0.0/8', 30],
    ['nonsense', 24],
    ['10.0.0.0/33', 34],
  ])('refuses %s cut into /%i', (cidr, size) => {
    expect(() => new CidrPool(cidr, size)).toThrow(cidr);
  });
});
