import { describe, expect, it } from 'vitest';
import { parseAddresses, parseRoutes } from './host-network.ts';

describe('what `ip -json` says', () => {
  it.each([
    { name: 'nothing', json: '', want: [] },
    { name: 'an interface without address', json: '[{"ifname":"ifb0","addr_info":[]}]', want: [] },
    {
      name: 'two addresses of two interfaces',
      json: '[{"ifname":"lo","addr_info":[{"local":"127.0.0.1","prefixlen":8}]},{},{"addr_info":[{"local":"192.0.2.2","prefixlen":24}]}]',
      want: ['127.0.0.1/8', '192.0.2.2/24'],
    },
  ])('addresses: $name', ({ json, want }) => {
    expect(parseAddresses(json)).toEqual(want);
  });

  it('routes: networks and single addresses, but not the default route', () => {
    const json = '[{"dst":"default"},{"dst":"10.1.0.0/16","dev":"x"},{"dst":"10.9.9.9"},{"type":"unreachable"}]';
    expect(parseRoutes(json)).toEqual(['10.1.0.0/16', '10.9.9.9/32']);
  });
});
