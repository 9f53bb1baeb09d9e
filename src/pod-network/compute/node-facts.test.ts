import { describe, expect, it } from 'vitest';
import { usualCidr } from './networks.ts';
import { nodeFacts } from './node-facts.ts';

describe('nodeFacts', () => {
  it('reads networks and InternalIPs in the usual spelling, and leaves out what is none', () => {
    const addresses = [
      { type: 'Hostname', address: 'a' },
      { type: 'InternalIP', address: '192.0.2.2' },
      { type: 'ExternalIP', address: '203.0.113.1' },
      { type: 'InternalIP', address: 'FD00:0:0::2' },
      { type: 'InternalIP', address: '' },
    ];
    const spec = { podCIDR: '10.244.0.0/24', podCIDRs: ['10.244.0.0/24', 'fd00:0001::/64', 'x'] };
    expect(nodeFacts({ metadata: { name: 'a' }, spec, status: { addresses } })).toEqual({
      name: 'a',
      podCidrs: ['10.244.0.0/24', 'fd00:1::/64'],
      internalIps: ['192.0.2.2', 'fd00::2'],
    });
  });

  it('an old Node may have podCIDR alone, a new one nothing', () => {
    expect(nodeFacts({ metadata: { name: 'a' }, spec: { podCIDR: '10.244.0.0/24' } }).podCidrs).toEqual([
      '10.244.0.0/24',
    ]);
    expect(nodeFacts({ metadata: { name: 'a' }, spec: {} })).toEqual({ name: 'a', podCidrs: [], internalIps: [] });
  });

  it.each(['10.0.0.0/33', '10.0.0.0', '10.0.0/8', 'fd00::/129', '10.0.0.0/8/8', '10.0.0.0/-1'])(
    '"%s" is no network',
    (text) => {
      expect(usualCidr(text)).toBeUndefined();
    },
  );
});
