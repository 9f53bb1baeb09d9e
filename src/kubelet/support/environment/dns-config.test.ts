import { describe, expect, it } from 'vitest';
import type { PodSpec } from '../../../objects/generated/core-v1.ts';
import { type DnsOptions, checkHostResolver, dnsConfig, parseResolvConf } from './dns-config.ts';

const host = { servers: ['8.8.8.8'], searches: ['corp.example', 'cluster.local'], options: ['timeout:3'] };
const options: DnsOptions = {
  clusterDns: ['10.96.0.10'],
  clusterDomain: 'cluster.local',
  host,
  nodeIps: ['192.168.0.1', 'fd00::1'],
};
const make = (spec: Partial<PodSpec>, overrides: Partial<DnsOptions> = {}): ReturnType<typeof dnsConfig> =>
  dnsConfig(
    { metadata: { name: 'p', namespace: 'ns', uid: 'u' }, spec: { containers: [], ...spec } },
    { ...options, ...overrides },
  );

const cluster = {
  servers: ['10.96.0.10'],
  searches: ['ns.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example'],
  options: ['ndots:5'],
};

describe('dnsConfig', () => {
  it.each([
    { name: 'nothing said', spec: {}, want: cluster },
    { name: 'ClusterFirst', spec: { dnsPolicy: 'ClusterFirst' }, want: cluster },
    { name: 'ClusterFirst in the host network', spec: { dnsPolicy: 'ClusterFirst', hostNetwork: true }, want: host },
    {
      name: 'ClusterFirstWithHostNet',
      spec: { dnsPolicy: 'ClusterFirstWithHostNet', hostNetwork: true },
      want: cluster,
    },
    {
      name: 'ClusterFirstWithHostNet in a network of its own',
      spec: { dnsPolicy: 'ClusterFirstWithHostNet' },
      want: cluster,
    },
    { name: 'Default', spec: { dnsPolicy: 'Default' }, want: host },
    { name: 'Default in the host network', spec: { dnsPolicy: 'Default', hostNetwork: true }, want: host },
    {
      name: 'Default with more of its own',
      spec: {
        dnsPolicy: 'Default',
        dnsConfig: {
          nameservers: ['8.8.8.8', '1.1.1.1'],
          searches: ['x', 'corp.example'],
          options: [{ name: 'timeout', value: '1' }, { name: '' }],
        },
      },
      want: {
        servers: ['8.8.8.8', '1.1.1.1'],
        searches: ['corp.example', 'cluster.local', 'x'],
        options: ['timeout:1'],
      },
    },
    { name: 'an unknown policy', spec: { dnsPolicy: 'Odd' }, want: cluster },
    { name: 'None', spec: { dnsPolicy: 'None' }, want: { servers: [], searches: [], options: [] } },
    {
      name: 'None with its own',
      spec: {
        dnsPolicy: 'None',
        dnsConfig: { nameservers: ['1.1.1.1'], searches: ['a_b.c', '.'], options: [{ name: 'edns0' }] },
      },
      want: { servers: ['1.1.1.1'], searches: ['a_b.c', '.'], options: ['edns0'] },
    },
    {
      name: 'merged: no doubles, own options win',
      spec: {
        dnsConfig: {
          nameservers: ['10.96.0.10', '1.1.1.1'],
          searches: ['corp.example', 'x'],
          options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
        },
      },
      want: {
        servers: ['10.96.0.10', '1.1.1.1'],
        searches: [...cluster.searches, 'x'],
        options: ['ndots:2', 'edns0'],
      },
    },
  ])('$name', ({ spec, want }) => {
    expect(make(spec)).toEqual({ config: want, events: [] });
  });

  it.each([
    { name: 'no cluster domain', overrides: { clusterDomain: '' }, want: { ...cluster, searches: host.searches } },
    {
      name: 'no host file',
      overrides: { host: undefined },
      want: { ...cluster, searches: cluster.searches.slice(0, 3) },
    },
  ])('ClusterFirst with $name', ({ overrides, want }) => {
    expect(make({}, overrides).config).toEqual(want);
  });

  it('Default without a host file asks the node itself', () => {
    const want = { servers: ['127.0.0.1', '::1'], searches: ['.'], options: [] };
    expect(make({ dnsPolicy: 'Default' }, { host: undefined }).config).toEqual(want);
    const alone = { ...want, servers: ['127.0.0.1'] };
    expect(make({ dnsPolicy: 'Default' }, { host: undefined, nodeIps: [] }).config).toEqual(alone);
  });

  it.each([
    { spec: {}, policy: 'ClusterFirst' },
    { spec: { dnsPolicy: 'ClusterFirstWithHostNet', hostNetwork: true }, policy: 'ClusterFirstWithHostNet' },
  ])('$policy falls back to the host without cluster DNS, and says so on the node and the pod', ({ spec, policy }) => {
    const text =
      `kubelet does not have ClusterDNS IP configured and cannot create Pod using "${policy}" policy. ` +
      'Falling back to "Default" policy.';
    expect(make(spec, { clusterDns: [] })).toEqual({
      config: host,
      events: [
        { on: 'node', type: 'Warning', reason: 'MissingClusterDNS', message: text },
        { on: 'pod', type: 'Warning', reason: 'MissingClusterDNS', message: `pod: "p_ns(u)". ${text}` },
      ],
    });
  });

  it('keeps three servers', () => {
    const { config, events } = make({ dnsPolicy: 'None', dnsConfig: { nameservers: ['1', '2', '3', '4'] } });
    expect(config.servers).toEqual(['1', '2', '3']);
    expect(events.map(({ message }) => message)).toEqual([
      'Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1 2 3',
    ]);
    expect(events.map(({ on, type, reason }) => `${on} ${type} ${reason}`)).toEqual(['pod Warning DNSConfigForming']);
  });

  const numbered = (count: number, length: number): string[] =>
    Array.from({ length: count }, (_, i) => `${i}`.padStart(length, 'x'));
  it.each([
    { name: '32 paths', searches: numbered(32, 3), kept: 32 },
    { name: '33 paths', searches: numbered(33, 3), kept: 32 },
    { name: 'a path of 253 characters', searches: numbered(1, 253), kept: 1 },
    { name: 'a path of 254 characters', searches: [...numbered(1, 254), 'ok'], kept: 1 },
    { name: '2048 characters in all', searches: [...numbered(8, 250), 'y'.repeat(40)], kept: 9 },
    { name: '2049 characters in all', searches: [...numbered(8, 250), 'y'.repeat(41)], kept: 8 },
  ])('search limits: $name', ({ searches, kept }) => {
    const { config, events } = make({ dnsPolicy: 'None', dnsConfig: { searches } });
    expect(config.searches).toHaveLength(kept);
    const wanted =
      kept === searches.length
        ? []
        : [
            'Search Line limits were exceeded, some search paths have been omitted, ' +
              `the applied search line is: ${config.searches.join(' ')}`,
          ];
    expect(events.map(({ message }) => message)).toEqual(wanted);
  });
});

describe('parseResolvConf', () => {
  it.each([
    { name: 'nothing', text: '', want: { servers: [], searches: [], options: [] } },
    {
      name: 'the usual',
      text: '# comment\n#nameserver 9.9.9.9\nnameserver 1.1.1.1\n  nameserver\t2.2.2.2 \nsearch a b. .\noptions ndots:2 edns0\n',
      want: { servers: ['1.1.1.1', '2.2.2.2'], searches: ['a', 'b'], options: ['ndots:2', 'edns0'] },
    },
    {
      name: 'the last search line, later options',
      text: 'search a\nsearch b c\noptions ndots:1 rotate\noptions ndots:3',
      want: { servers: [], searches: ['b', 'c'], options: ['ndots:3', 'rotate'] },
    },
  ])('$name', ({ text, want }) => {
    expect(parseResolvConf(text)).toEqual(want);
  });

  it('a nameserver line without a name is an error', () => {
    expect(() => parseResolvConf('nameserver \n')).toThrow(new Error('nameserver list is empty '));
  });
});

it('checkHostResolver complains about what leaves no room for pods', () => {
  const searches = Array.from({ length: 30 }, (_, i) => `s${i}`);
  expect(checkHostResolver('/f', { ...host, searches }, false)).toEqual([]);
  expect(checkHostResolver('/f', { ...host, searches }, true)).toEqual([
    "Resolv.conf file '/f' contains search line consisting of more than 29 domains!",
  ]);
  expect(checkHostResolver('/f', { ...host, searches: ['x'.repeat(2049)] }, true)).toEqual([
    "Resolv.conf file '/f' contains search line which length is more than allowed 2048 chars!",
  ]);
});
