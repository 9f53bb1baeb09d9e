import { describe, expect, it } from 'vitest';
import { AllocationError, ServiceAllocator } from './service-allocator.ts';

const ports = { first: 30_000, last: 30_001 };

describe('ServiceAllocator', () => {
  it('gives every address but the first and last, then says that the range is full', () => {
    const allocator = new ServiceAllocator('10.0.0.0/29', ports);
    allocator.takeIp(allocator.firstIp, 'default/kubernetes');
    const taken = Array.from({ length: 5 }, (_, i) => allocator.takeAnyIp(`default/${i}`));
    expect(taken.toSorted()).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
    expect(() => allocator.takeAnyIp('default/x')).toThrow('range is full');
    allocator.releaseIp('10.0.0.4', 'default/other');
    expect(() => allocator.takeAnyIp('default/x')).toThrow(AllocationError);
    const owner = `default/${taken.indexOf('10.0.0.4')}`;
    allocator.releaseIp('10.0.0.4', owner);
    expect(allocator.takeAnyIp('default/x')).toBe('10.0.0.4');
  });

  it('keeps the lower band for those who name their address', () => {
    const allocator = new ServiceAllocator('10.0.0.0/24', ports, () => 0);
    expect(allocator.takeAnyIp('a/a')).toBe('10.0.0.16');
    expect(() => allocator.takeIp('10.0.0.3', 'a/b')).not.toThrow();
    expect(() => allocator.takeIp('10.0.0.3', 'a/c')).toThrow('provided IP is already allocated');
    expect(() => allocator.takeIp('10.0.1.3', 'a/c')).toThrow('does not match the current range');
    expect(() => allocator.takeIp('10.0.0.255', 'a/c')).toThrow('does not match the current range');
  });

  it('is filled from what is stored', () => {
    const allocator = new ServiceAllocator('10.0.0.0/24', ports);
    const service = {
      metadata: { name: 's', namespace: 'a' },
      spec: { clusterIP: '10.0.0.9', ports: [{ port: 80, nodePort: 30_001 }] },
    };
    allocator.adopt(service);
    allocator.adopt(service);
    expect(() => allocator.takeIp('10.0.0.9', 'a/t')).toThrow('provided IP is already allocated');
    expect(allocator.takeAnyPort('a/t')).toBe(30_000);
    expect(() => allocator.takeAnyPort('a/u')).toThrow('range is full');
    allocator.drop(service);
    expect(allocator.takeAnyPort('a/u')).toBe(30_001);
  });

  it('gives addresses of both families, each from its range', () => {
    const allocator = new ServiceAllocator('10.0.0.0/24,fd00:96::/112', ports, () => 0);
    expect(allocator.families).toEqual(['IPv4', 'IPv6']);
    expect(['IPv6', 'IPv4'].map((family) => allocator.takeAnyIp('a/a', family))).toEqual(['fd00:96::100', '10.0.0.16']);
    expect(() => allocator.takeIp('fd00:96:0::0100', 'a/b')).toThrow('provided IP is already allocated');
    expect(() => allocator.takeIp('fd00:97::1', 'a/b')).toThrow('does not match the current range');
    allocator.drop({
      metadata: { name: 'a', namespace: 'a' },
      spec: { clusterIP: '10.0.0.16', clusterIPs: ['10.0.0.16', 'fd00:96::100'] },
    });
    expect(() => allocator.takeIp('fd00:96::100', 'a/b')).not.toThrow();
  });

  it('has no addresses of a family without a range', () => {
    const allocator = new ServiceAllocator('fd00:96::/112', ports);
    expect([allocator.families, allocator.firstIp]).toEqual([['IPv6'], 'fd00:96::1']);
    expect(() => allocator.takeAnyIp('a/a', 'IPv4')).toThrow('no range of IPv4');
  });

  it.each(['10.96.0.0', '10.96.0.0/16,', '10.96.0.0/16,10.97.0.0/16', 'fd00::/48', '10.0.0.0/4', 'a,b,c', 'x/16'])(
    'refuses the range "%s" by name',
    (cidr) => {
      expect(() => new ServiceAllocator(cidr, ports)).toThrow(`Cannot use service range "${cidr}"`);
    },
  );
});
