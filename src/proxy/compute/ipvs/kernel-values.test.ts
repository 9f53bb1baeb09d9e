import { describe, expect, it } from 'vitest';
import { ipvsSettings, ipvsTimeouts } from './kernel-values.ts';

describe('ipvsSettings', () => {
  it.each([
    ['4.0.9', false],
    ['4.1.0-rc1', true],
    ['4.19.0-21-amd64', true],
    ['5.8.18', true],
    ['5.9.0', false],
    ['6.1.0-56-cloud-amd64', false],
    ['10.2.0', false],
  ])('kernel %s: the reuse of ports is set: %s', (release, isSet) => {
    const names = ipvsSettings(release, { strictArp: false }).map(([name]) => name);
    expect(names.includes('net/ipv4/vs/conn_reuse_mode')).toBe(isSet);
  });

  it('answers ARP strictly only where that is wished', () => {
    const plain = ipvsSettings('6.1.0', { strictArp: false });
    expect(plain).toEqual([
      ['net/ipv4/vs/conntrack', '1'],
      ['net/ipv4/vs/expire_nodest_conn', '1'],
      ['net/ipv4/vs/expire_quiescent_template', '1'],
      ['net/ipv4/ip_forward', '1'],
    ]);
    expect(ipvsSettings('6.1.0', { strictArp: true })).toEqual([
      ...plain,
      ['net/ipv4/conf/all/arp_ignore', '1'],
      ['net/ipv4/conf/all/arp_announce', '2'],
    ]);
  });
});

describe('ipvsTimeouts', () => {
  const config = { scheduler: '', excludeCidrs: [], strictArp: false };
  it.each([
    [[0, 0, 0], undefined],
    [[900_000, 0, 0], { tcp: 900, tcpFin: 0, udp: 0 }],
    [[0, 30_500, 300_000], { tcp: 0, tcpFin: 30, udp: 300 }],
  ])('%j ms: %j', ([tcpTimeoutMs = 0, tcpFinTimeoutMs = 0, udpTimeoutMs = 0], want) => {
    expect(ipvsTimeouts({ ...config, tcpTimeoutMs, tcpFinTimeoutMs, udpTimeoutMs })).toEqual(want);
  });
});
