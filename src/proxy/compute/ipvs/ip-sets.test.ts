import { describe, expect, it } from 'vitest';
import { ipsetChanges, kernelSetName, networkEntries, parseIpsetSave, setNames } from './ip-sets.ts';

describe('kernelSetName', () => {
  it('tells the family, and fits the kernel', () => {
    expect(kernelSetName('CLUSTER-IP', 'IPv4')).toBe('KUBE-CLUSTER-IP');
    expect(kernelSetName('CLUSTER-IP', 'IPv6')).toBe('KUBE-6-CLUSTER-IP');
    expect(kernelSetName('LOAD-BALANCER-SOURCE-CIDR', 'IPv6')).toBe('KUBE-6-LOAD-BALANCER-SOURCE-CID');
    for (const family of ['IPv4', 'IPv6'] as const) {
      expect(new Set(setNames.map((name) => kernelSetName(name, family))).size).toBe(17);
    }
  });
});

describe('ipsetChanges', () => {
  const lineOf = (name: string, family: 'IPv4' | 'IPv6') =>
    ipsetChanges(new Map(), new Map(), family).find((line) => line.startsWith(`create ${name} `));

  it.each([
    ['KUBE-LOOP-BACK', 'IPv4', 'hash:ip,port,ip family inet hashsize 1024 maxelem 65536'],
    ['KUBE-LOAD-BALANCER-FW', 'IPv4', 'hash:ip,port family inet hashsize 1024 maxelem 65536'],
    ['KUBE-LOAD-BALANCER-SOURCE-CIDR', 'IPv4', 'hash:ip,port,net family inet hashsize 1024 maxelem 65536'],
    ['KUBE-6-IPVS-IPS', 'IPv6', 'hash:ip family inet6 hashsize 1024 maxelem 65536'],
    ['KUBE-NODE-PORT-LOCAL-SCTP-HASH', 'IPv4', 'hash:ip,port family inet hashsize 1024 maxelem 65536'],
    ['KUBE-6-HEALTH-CHECK-NODE-PORT', 'IPv6', 'bitmap:port range 0-65535'],
  ] as const)('%s of %s is made as %s', (name, family, type) => {
    expect(lineOf(name, family)).toBe(`create ${name} ${type} -exist`);
  });

  it('writes only what differs, and nothing when all agrees', () => {
    const empty = setNames.map((name) => `create ${kernelSetName(name, 'IPv4')} whatever\n`).join('');
    const save = `${empty}create FOREIGN hash:ip\nadd FOREIGN 1.2.3.4
add KUBE-CLUSTER-IP 10.0.0.1,tcp:80\nadd KUBE-CLUSTER-IP 10.0.0.2,tcp:80\n`;
    const wanted = (...entries: string[]) => new Map([['CLUSTER-IP', new Set(entries)]] as const);
    const existing = parseIpsetSave(save);
    expect(ipsetChanges(wanted('10.0.0.1,tcp:80', '10.0.0.3,udp:53'), existing, 'IPv4')).toEqual([
      'del KUBE-CLUSTER-IP 10.0.0.2,tcp:80 -exist',
      'add KUBE-CLUSTER-IP 10.0.0.3,udp:53 -exist',
    ]);
    expect(ipsetChanges(wanted('10.0.0.1,tcp:80', '10.0.0.2,tcp:80'), existing, 'IPv4')).toEqual([]);
  });
});

describe('networkEntries', () => {
  it.each([
    ['10.0.0.0/8', ['10.0.0.0/8']],
    ['10.1.2.3/32', ['10.1.2.3']],
    ['fd00::1/128', ['fd00::1']],
    ['fd00::/32', ['fd00::/32']],
    ['10.1.2.3/8', ['10.0.0.0/8']],
    ['192.168.77.200/27', ['192.168.77.192/27']],
    ['255.255.255.255/1', ['128.0.0.0/1']],
    ['fd00:0:0::ffff/112', ['fd00::/112']],
    ['FD00:0:0:1:2:3:4:5/68', ['fd00:0:0:1::/68']],
    ['2001:db8:ffff::1/33', ['2001:db8:8000::/33']],
    ['not a range', []],
    ['0.0.0.0/0', ['0.0.0.0/1', '128.0.0.0/1']],
    ['::/0', ['::/1', '8000::/1']],
  ])('%s becomes %j', (cidr, want) => {
    expect(networkEntries(cidr)).toEqual(want);
  });
});
