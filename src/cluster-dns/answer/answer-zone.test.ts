import { describe, expect, it } from 'vitest';
import { exampleCluster } from '../../../test/fakes/cluster-records.ts';
import { type Answer, type DnsRecord, recordTypes } from '../dns-model.ts';
import { answerZone } from './answer-zone.ts';
import type { ZoneConfig } from './zone-model.ts';

const records = exampleCluster();
const zone: ZoneConfig = { domain: 'cluster.local', ttl: 30, podMode: 'insecure', ownAddresses: ['10.244.0.9'] };

function shown(record: DnsRecord): string {
  const { type, data } = record;
  if (type === 'SRV') return `SRV ${data.priority} ${data.weight} ${data.port} ${data.target}`;
  if (type === 'SOA') return `SOA ${record.name}`;
  if (type === 'HINFO') return `HINFO ${data.cpu}`;
  return `${type} ${Array.isArray(data) ? data.join(' ') : data}`;
}

/** `A 10.0.0.1, A 10.0.0.2 + A …` with the additional records behind the plus; NODATA, or the code of a failure. */
function told(answer: Answer | undefined): string {
  if (answer === undefined) return 'forward';
  if (answer.answers.length === 0) {
    expect(answer.authorities.map(shown)).toEqual([expect.stringMatching(/^SOA /)]);
    return answer.rcode === 'NOERROR' ? 'NODATA' : answer.rcode;
  }
  expect(answer).toMatchObject({ rcode: 'NOERROR', isAuthoritative: true, authorities: [] });
  const more = answer.additionals.map(shown).join(', ');
  return answer.answers.map(shown).join(', ') + (more === '' ? '' : ` + ${more}`);
}

const svc = (name: string): string => `${name}.svc.cluster.local`;
const heads = 'heads.shop.svc.cluster.local';
const nibbles = (address: string): string => address.split('').toReversed().join('.');

describe('answerZone', () => {
  it.each<[string, keyof typeof recordTypes, string]>([
    // schema, zone, and names that only lead to others
    ['dns-version.cluster.local', 'TXT', 'TXT 1.1.0'],
    ['dns-version.cluster.local', 'A', 'NODATA'],
    ['x.dns-version.cluster.local', 'TXT', 'NXDOMAIN'],
    ['cluster.local', 'A', 'NODATA'],
    ['cluster.local', 'SOA', 'SOA cluster.local'],
    ['cluster.local', 'NS', 'NS web.shop.svc.cluster.local + A 10.96.0.20'],
    ['dns.cluster.local', 'A', 'NODATA'],
    ['ns.dns.cluster.local', 'A', 'A 10.244.0.9'],
    ['ns.dns.cluster.local', 'AAAA', 'NODATA'],
    ['x.ns.dns.cluster.local', 'A', 'NXDOMAIN'],
    ['svc.cluster.local', 'A', 'NODATA'],
    [svc('shop'), 'A', 'NODATA'],
    [svc('empty'), 'AAAA', 'NODATA'],
    [svc('missing'), 'A', 'NXDOMAIN'],
    ['elsewhere.cluster.local', 'A', 'NXDOMAIN'],
    ['notcluster.local', 'A', 'forward'],
    ['example.com', 'A', 'forward'],
    ['', 'NS', 'forward'],

    // Services with an address
    [svc('kubernetes.default'), 'A', 'A 10.96.0.1'],
    [svc('kubernetes.default'), 'AAAA', 'NODATA'],
    [svc('kubernetes.default'), 'TXT', 'NODATA'],
    [svc('kubernetes.shop'), 'A', 'NXDOMAIN'],
    [svc('lonely.shop'), 'A', 'A 10.96.0.23'],
    [svc('pending.shop'), 'A', 'NODATA'],
    [svc('both.shop'), 'A', 'A 10.96.0.21'],
    [svc('both.shop'), 'AAAA', 'AAAA fd00:10:96::15'],
    [svc('_http._tcp.web.shop'), 'SRV', `SRV 0 100 80 ${svc('web.shop')} + A 10.96.0.20`],
    [svc('_dns._udp.web.shop'), 'SRV', `SRV 0 100 53 ${svc('web.shop')} + A 10.96.0.20`],
    [svc('_http._tcp.both.shop'), 'SRV', `SRV 0 100 80 ${svc('both.shop')} + A 10.96.0.21, AAAA fd00:10:96::15`],
    [svc('_http._tcp.web.shop'), 'A', 'NODATA'],
    [svc('_http._udp.web.shop'), 'SRV', 'NXDOMAIN'],
    [svc('http._tcp.web.shop'), 'SRV', 'NXDOMAIN'],
    [svc('_http.tcp.web.shop'), 'SRV', 'NXDOMAIN'],
    [svc('_tcp.web.shop'), 'SRV', 'NODATA'],
    [svc('_sctp.web.shop'), 'A', 'NXDOMAIN'],
    [svc('x._http._tcp.web.shop'), 'SRV', 'NXDOMAIN'],
    [svc('_._tcp.unnamed.shop'), 'SRV', 'NXDOMAIN'],
    [svc('_tcp.unnamed.shop'), 'SRV', 'NXDOMAIN'],
    [svc('unnamed.shop'), 'SRV', `SRV 0 100 80 ${svc('unnamed.shop')} + A 10.96.0.22`],
    [svc('web.shop'), 'SRV', `SRV 0 50 80 ${svc('web.shop')}, SRV 0 50 53 ${svc('web.shop')} + A 10.96.0.20`],
    [svc('10-244-0-9.web.shop'), 'A', 'A 10.244.0.9'],
    ['20.0.96.10.in-addr.arpa', 'PTR', `PTR ${svc('web.shop')}`],
    ['20.0.96.10.in-addr.arpa', 'A', 'NODATA'],
    [`${nibbles('fd000010009600000000000000000015')}.ip6.arpa`, 'PTR', `PTR ${svc('both.shop')}`],

    // headless Services
    [heads, 'A', 'A 10.244.0.5, A 10.244.0.6, A 10.244.0.7, A 10.244.1.5'],
    [heads, 'AAAA', 'NODATA'],
    [svc('unready.shop'), 'A', 'NXDOMAIN'],
    [svc('unready.shop'), 'AAAA', 'NXDOMAIN'],
    [svc('_http._tcp.unready.shop'), 'SRV', 'NXDOMAIN'],
    [`head-0.${heads}`, 'A', 'A 10.244.0.5, A 10.244.1.5'],
    [`head-1.${heads}`, 'A', 'A 10.244.0.6'],
    [`head-1.${heads}`, 'AAAA', 'NODATA'],
    [`head-3.${heads}`, 'A', 'NXDOMAIN'],
    [`10-244-0-7.${heads}`, 'A', 'A 10.244.0.7'],
    [`10-244-0-6.${heads}`, 'A', 'NXDOMAIN'],
    [`x.head-0.${heads}`, 'A', 'NXDOMAIN'],
    [svc('portless.shop'), 'A', 'A 10.244.0.60'],
    [svc('_http._tcp.portless.shop'), 'SRV', 'NXDOMAIN'],
    [svc('six.shop'), 'AAAA', 'AAAA fd00:244::5, AAAA fd00:244::'],
    [svc('six.shop'), 'A', 'NODATA'],
    [svc('fd00-244--5.six.shop'), 'AAAA', 'AAAA fd00:244::5'],
    [svc('fd00-244--0.six.shop'), 'AAAA', 'AAAA fd00:244::'],
    [svc('named.shop'), 'A', 'NXDOMAIN'],
    [
      `_http._tcp.${heads}`,
      'SRV',
      `SRV 0 33 8080 head-0.${heads}, SRV 0 33 8080 head-1.${heads}, SRV 0 33 8080 10-244-0-7.${heads} + A 10.244.0.5, A 10.244.0.6, A 10.244.0.7`,
    ],
    [`_admin._tcp.${heads}`, 'SRV', `SRV 0 100 9000 head-0.${heads} + A 10.244.0.5, A 10.244.1.5`],
    [`_tcp.${heads}`, 'A', 'NODATA'],
    ['5.0.244.10.in-addr.arpa', 'PTR', `PTR head-0.${heads}`],
    ['7.0.244.10.in-addr.arpa', 'PTR', `PTR 10-244-0-7.${heads}`],
    ['8.0.244.10.in-addr.arpa', 'PTR', 'forward'],
    ['9.0.244.10.in-addr.arpa', 'PTR', 'forward'],
    [`${nibbles('fd000244000000000000000000000005')}.ip6.arpa`, 'PTR', `PTR fd00-244--5.${svc('six.shop')}`],
    ['0.244.10.in-addr.arpa', 'PTR', 'forward'],
    ['5.0.0.0.ip6.arpa', 'PTR', 'forward'],
    ['01.0.96.10.in-addr.arpa', 'PTR', 'forward'],

    // aliases
    [svc('outside.shop'), 'A', 'CNAME foo.example.com'],
    [svc('outside.shop'), 'CNAME', 'CNAME foo.example.com'],
    [svc('outside.shop'), 'TXT', 'CNAME foo.example.com'],
    [svc('_http._tcp.outside.shop'), 'SRV', 'NXDOMAIN'],
    [svc('numeric.shop'), 'A', 'NXDOMAIN'],

    // pods
    ['pod.cluster.local', 'A', 'NODATA'],
    ['shop.pod.cluster.local', 'A', 'NODATA'],
    ['missing.pod.cluster.local', 'A', 'NXDOMAIN'],
    ['10-244-0-9.shop.pod.cluster.local', 'A', 'A 10.244.0.9'],
    ['10-244-0-9.shop.pod.cluster.local', 'AAAA', 'NODATA'],
    ['fd00--9.shop.pod.cluster.local', 'AAAA', 'AAAA fd00::9'],
    ['10-244-0-9.missing.pod.cluster.local', 'A', 'NXDOMAIN'],
    ['10-244-0-999.shop.pod.cluster.local', 'A', 'NXDOMAIN'],
    ['p.shop.pod.cluster.local', 'A', 'NXDOMAIN'],
    ['x.10-244-0-9.shop.pod.cluster.local', 'A', 'NXDOMAIN'],

    // everything of a name is told by nobody (RFC 8482)
    [svc('web.shop'), 'ANY', 'HINFO RFC8482'],
    [svc('outside.shop'), 'ANY', 'HINFO RFC8482'],
    [svc('missing.shop'), 'ANY', 'NXDOMAIN'],
  ])('%s %s: %s', (name, type, want) => {
    expect(told(answerZone({ name, type: recordTypes[type] }, records, zone))).toBe(want);
  });

  it.each([
    { podMode: 'disabled', name: '10-244-0-9.shop', want: 'NXDOMAIN' },
    { podMode: 'disabled', name: 'shop', want: 'NXDOMAIN' },
    { podMode: 'verified', name: '10-244-0-9.shop', want: 'A 10.244.0.9' },
    { podMode: 'verified', name: '10-244-0-10.shop', want: 'NXDOMAIN' },
    { podMode: 'verified', name: '10-244-0-9.empty', want: 'NXDOMAIN' },
  ] as const)('with pods $podMode, $name: $want', ({ podMode, name, want }) => {
    const question = { name: `${name}.pod.cluster.local`, type: recordTypes.A };
    expect(told(answerZone(question, records, { ...zone, podMode }))).toBe(want);
  });

  it('an alias says whose addresses are wanted as well', () => {
    expect(answerZone({ name: svc('inside.shop'), type: recordTypes.A }, records, zone)?.target).toBe(svc('web.shop'));
    expect(answerZone({ name: svc('inside.shop'), type: recordTypes.ANY }, records, zone)?.target).toBeUndefined();
  });

  it('without a Service in front, the zone has a name server of its own', () => {
    const alone = { ...zone, ownAddresses: ['192.0.2.1', '2001:db8::1'] };
    expect(told(answerZone({ name: 'cluster.local', type: recordTypes.NS }, records, alone))).toBe(
      'NS ns.dns.cluster.local + A 192.0.2.1, AAAA 2001:db8::1',
    );
  });

  it('the SOA of a negative answer tells how long that is so, and when the cluster last changed', () => {
    const answer = answerZone({ name: svc('missing.shop'), type: recordTypes.A }, records, zone);
    expect(answer?.authorities).toEqual([
      {
        name: 'cluster.local',
        ttl: 30,
        type: 'SOA',
        data: {
          mname: 'ns.dns.cluster.local',
          rname: 'hostmaster.cluster.local',
          serial: 1_700_000_000,
          refresh: 7200,
          retry: 1800,
          expire: 86_400,
          minimum: 30,
        },
      },
    ]);
  });
});
