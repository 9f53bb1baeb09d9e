import { describe, expect, it } from 'vitest';
import { type DnsFlags, defaultFlags, parseDnsConfig, parseResolvConf } from './parse-dns-config.ts';

const parse = (flags: Partial<DnsFlags>, resolvConf = ''): ReturnType<typeof parseDnsConfig> =>
  parseDnsConfig({ ...defaultFlags, ...flags }, resolvConf);

describe('parseDnsConfig', () => {
  it('has the defaults of a cluster', () => {
    expect(parse({}, 'nameserver 192.0.2.1\n')).toMatchObject({
      zone: { domain: 'cluster.local', ttl: 30, podMode: 'insecure' },
      forward: {
        upstreams: [{ host: '192.0.2.1', port: 53 }],
        policy: 'random',
        cache: { ttlMax: 30, entriesMax: 9984 },
      },
      listen: { host: '', port: 53 },
      health: { host: '', port: 8080 },
      ready: { host: '', port: 8181 },
      metrics: { host: '', port: 9153 },
      lameduckMs: 5000,
    });
  });

  it('takes name servers from flags instead of the file', () => {
    const { forward } = parse({ upstream: ['192.0.2.2', '[2001:db8::1]:5353', '2001:db8::2'] }, 'nameserver 192.0.2.1');
    expect(forward.upstreams).toEqual([
      { host: '192.0.2.2', port: 53 },
      { host: '2001:db8::1', port: 5353 },
      { host: '2001:db8::2', port: 53 },
    ]);
  });

  it.each<[Partial<DnsFlags>, string]>([
    [{ clusterDomain: 'no domain' }, '--cluster-domain'],
    [{ clusterDomain: '' }, '--cluster-domain'],
    [{ ttl: '-1' }, '--ttl'],
    [{ ttl: '3601' }, '--ttl'],
    [{ pods: 'all' }, '--pods'],
    [{ listen: '53' }, '--listen'],
    [{ listen: 'localhost:53' }, '--listen'],
    [{ metricsAddress: ':70000' }, '--metrics-address'],
    [{ upstream: ['dns.example.com'] }, '--upstream'],
    [{ upstream: [':53'] }, '--upstream'],
    [{ upstream: Array.from({ length: 16 }, () => '192.0.2.1') }, '--upstream'],
    [{ forwardPolicy: 'fastest' }, '--forward-policy'],
    [{ cacheSize: 'big' }, '--cache-size'],
    [{ lameduck: '5' }, '--lameduck'],
  ])('%o is refused by name: %s', (flags, want) => {
    expect(() => parse(flags)).toThrow(want);
  });

  it('tells all problems at once', () => {
    expect(() => parse({ ttl: 'x', pods: 'y' })).toThrow(/--ttl.*--pods/);
  });

  it('an empty address shuts a door, and a domain may be written as names are', () => {
    const { health, zone } = parse({ healthAddress: '', clusterDomain: 'Example.ORG.' });
    expect([health, zone.domain]).toEqual([undefined, 'example.org']);
  });
});

describe('parseResolvConf', () => {
  it('finds every name server once, whatever else there is', () => {
    const text =
      '# nameserver 192.0.2.9\nsearch a.b\n  nameserver\t192.0.2.1\nnameserver 2001:db8::1 \nnameserver 192.0.2.1\nnameserver x\n';
    expect(parseResolvConf(text).map(({ host }) => host)).toEqual(['192.0.2.1', '2001:db8::1']);
  });
});
