import { describe, expect, it } from 'vitest';
import { parseBatchFailures, parseIpRoutes, parseProcIpv6Routes, parseProcRoutes } from './routes.ts';

describe('routes as the tools and the kernel print them', () => {
  it.each([
    { name: 'nothing', json: '', want: [] },
    {
      name: 'what is there but default routes',
      json: '[{"dst":"default","gateway":"192.0.2.1"},{"dst":"10.244.1.0/24","gateway":"192.0.2.3","dev":"eth0","protocol":"107","flags":[]},{"type":"blackhole","dst":"10.9.9.9"},{"dst":"fd00::5","dev":"x"}]',
      want: [
        { destination: '10.244.1.0/24', gateway: '192.0.2.3', device: 'eth0', protocol: '107' },
        { destination: '10.9.9.9/32' },
        { destination: 'fd00::5/128', device: 'x' },
      ],
    },
  ])('ip: $name', ({ json, want }) => {
    expect(parseIpRoutes(json)).toEqual(want);
  });

  it('/proc/net/route: only those that are up and have a gateway', () => {
    const text = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0001F40A\t030200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
`;
    expect(parseProcRoutes(text)).toEqual([
      { destination: '0.0.0.0/0', gateway: '192.0.2.1' },
      { destination: '10.244.1.0/24', gateway: '192.0.2.3' },
    ]);
  });

  it('/proc/net/ipv6_route', () => {
    const zero = '00000000000000000000000000000000';
    const text = `fd001111000000010000000000000000 40 ${zero} 00 fd002222000000000000000000000003 00000400 00000001 00000000 00000003     eth0
fd002222000000000000000000000000 40 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001     eth0
`;
    expect(parseProcIpv6Routes(text)).toEqual([{ destination: 'fd00:1111:0:1::/64', gateway: 'fd00:2222::3' }]);
  });

  it('failures of a batch, by the line', () => {
    const stderr =
      'Error: Nexthop has invalid gateway.\nCommand failed -:1\nRTNETLINK answers: File exists\nCommand failed -:3\n';
    expect([...parseBatchFailures(stderr)]).toEqual([
      [0, 'Error: Nexthop has invalid gateway.'],
      [2, 'RTNETLINK answers: File exists'],
    ]);
  });
});
