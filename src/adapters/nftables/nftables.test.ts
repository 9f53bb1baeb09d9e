import { describe, expect, it } from 'vitest';
import { parseGeneration } from './generation.ts';
import { parseNames, parseSetElements } from './parse-listing.ts';
import { TableTextReader, withProtocolName } from './read-table-text.ts';

const listing = (entries: object[], version = 1): string =>
  JSON.stringify({ nftables: [{ metainfo: { version: '1.0.6', json_schema_version: version } }, ...entries] });

describe('parseNames', () => {
  it('tells the objects of one table from those of others', () => {
    const chains = [
      { chain: { family: 'ip', table: 'kube-proxy', name: 'services', handle: 1 } },
      { chain: { family: 'ip', table: 'filter', name: 'INPUT', handle: 2 } },
    ];
    expect(parseNames(listing(chains), 'kube-proxy')).toEqual(['services']);
    expect(parseNames(listing([{ map: { table: 'kube-proxy', name: 'm' } }]), 'kube-proxy')).toEqual(['m']);
  });

  it('refuses a form of JSON that it does not know', () => {
    expect(() => parseNames(listing([], 2), 'kube-proxy')).toThrow('has version "2", expected 1');
  });
});

describe('parseSetElements', () => {
  it.each([
    { name: 'plain', elem: ['10.0.0.1'], want: [['10.0.0.1']] },
    { name: 'concatenated', elem: [{ concat: ['10.0.0.1', 'tcp', 80] }], want: [['10.0.0.1', 'tcp', '80']] },
    {
      name: 'with a timeout',
      elem: [{ elem: { val: { concat: ['10.0.0.1', 7] }, timeout: 60, expires: 3 } }],
      want: [['10.0.0.1', '7']],
    },
    { name: 'none', elem: undefined, want: [] },
  ])('$name', ({ elem, want }) => {
    expect(parseSetElements(listing([{ set: { name: 's', elem } }]))).toEqual(want);
  });
});

const text = `table ip kube-proxy {
	comment "rules for kube-proxy"
	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		comment "ClusterIP, ExternalIP and LoadBalancer IP traffic"
		elements = { 10.96.0.10 . tcp . 80 : goto cluster-tcp-2, 10.96.0.11 . tcp . 80 : drop,
			     10.96.0.12 . 17 . 53 : goto cluster-udp-1 }
	}

	set affinity {
		typeof ip saddr . numgen random mod 2
		size 65535
		flags dynamic,timeout
		elements = { 10.0.0.1 . 7 timeout 1m expires 59s }
	}

	chain nat-output {
		type nat hook output priority -100; policy accept;
		jump services
	}

	chain empty {
	}
}
`;

describe('TableTextReader', () => {
  it.each([1, 7, 64, 10_000])('tells chains, rules and elements, whatever the cut: pieces of %d', (size) => {
    const told: string[] = [];
    const reader = new TableTextReader({
      onChain: (chain) => told.push(`chain ${chain}`),
      onRule: (chain, rule) => told.push(`rule ${chain}: ${rule}`),
      onElement: (set, element) => told.push(`element ${set}: ${element}`),
    });
    for (let i = 0; i < text.length; i += size) reader.push(text.slice(i, i + size));
    expect(told).toEqual([
      'element service-ips: 10.96.0.10 . tcp . 80 : goto cluster-tcp-2',
      'element service-ips: 10.96.0.11 . tcp . 80 : drop',
      'element service-ips: 10.96.0.12 . 17 . 53 : goto cluster-udp-1',
      'element affinity: 10.0.0.1 . 7 timeout 1m expires 59s',
      'chain nat-output',
      'rule nat-output: jump services',
      'chain empty',
    ]);
  });

  it.each([
    { given: '10.96.0.12 . 17 . 53 : drop', want: '10.96.0.12 . udp . 53 : drop' },
    { given: '6 . 30080 : drop', want: 'tcp . 30080 : drop' },
    { given: '10.96.0.12 . 6 . 3', want: '10.96.0.12 . tcp . 3' },
    { given: '10.96.0.12 . tcp . 17', want: '10.96.0.12 . tcp . 17' },
    { given: '10.96.0.12 . tcp . 17 . 10.0.0.0/8', want: '10.96.0.12 . tcp . 17 . 10.0.0.0/8' },
    { given: 'fd00::1 . 6 . 17 . fd00::/8', want: 'fd00::1 . tcp . 17 . fd00::/8' },
    { given: '10.0.0.1 . 10.0.0.1 . 17 . 6', want: '10.0.0.1 . 10.0.0.1 . udp . 6' },
  ])('knows protocols by number: $given', ({ given, want }) => {
    expect(withProtocolName(given)).toBe(want);
  });
});

describe('parseGeneration', () => {
  it('finds the number among the attributes', () => {
    const answer = Buffer.from(
      '2c0000000f0a000000000000000000000000000f' + '0800020000000001' + '0600030061620000' + '0800010000000102',
      'hex',
    );
    expect(parseGeneration(answer)).toBe(0x102);
  });

  it.each([
    { name: 'an error', hex: '140000000200000000000000000000000000000000' },
    { name: 'a torn message', hex: '2c00' },
    { name: 'an attribute of no length', hex: '2c0000000f0a000000000000000000000000000f0000020000000001' },
  ])('does not know from $name', ({ hex }) => {
    expect(parseGeneration(Buffer.from(hex, 'hex'))).toBeUndefined();
  });
});
