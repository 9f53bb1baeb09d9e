/** CIDRs as an interval set takes them: without host bits, none inside another. Pure. */
import { SocketAddress } from 'node:net';
import { parseCidr } from '../ip-ranges.ts';

interface Range {
  readonly text: string;
  readonly first: bigint;
  readonly prefix: number;
}

/** The same addresses in fewest words, in order. What is no CIDR is left out. */
export function disjointRanges(cidrs: readonly string[]): string[] {
  const ranges = cidrs.map(toRange).filter((range) => range !== undefined);
  // two CIDRs are apart, or one holds the other: the wider one comes first
  ranges.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : a.prefix - b.prefix));
  const kept: string[] = [];
  let last: (Range & { readonly end: bigint }) | undefined;
  for (const range of ranges) {
    if (last !== undefined && range.first <= last.end) continue;
    const bits = range.text.includes(':') ? 128 : 32;
    last = { ...range, end: range.first + (1n << BigInt(bits - range.prefix)) - 1n };
    kept.push(range.prefix === bits ? range.text.slice(0, range.text.indexOf('/')) : range.text);
  }
  return kept;
}

/** One spelling per address: IPv6 has many. */
export function canonicalIp(ip: string): string {
  return ip.includes(':') ? new SocketAddress({ address: ip, family: 'ipv6' }).address : ip;
}

function toRange(cidr: string): Range | undefined {
  const parsed = parseCidr(cidr);
  if (parsed === undefined) return undefined;
  const { family, address, prefix } = parsed;
  const bits = family === 'IPv4' ? 32 : 128;
  const host = BigInt(bits - prefix);
  const first = (toNumber(address, bits) >> host) << host;
  return { text: `${toText(first, bits)}/${prefix}`, first, prefix };
}

function toNumber(address: string, bits: number): bigint {
  if (bits === 32) return address.split('.').reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const [head = '', tail] = expandEmbeddedIpv4(address).split('::');
  const groupsOf = (text: string): string[] => text.split(':').filter((group) => group !== '');
  const before = groupsOf(head);
  const after = groupsOf(tail ?? '');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...zeros, ...after].reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}

/** `::ffff:10.0.0.1` ends like an IPv4 address. */
function expandEmbeddedIpv4(address: string): string {
  const match = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (match === null) return address;
  const [, head = '', a, b, c, d] = match;
  const group = (high: string | undefined, low: string | undefined): string =>
    (Number(high) * 256 + Number(low)).toString(16);
  return `${head}${group(a, b)}:${group(c, d)}`;
}

function toText(value: bigint, bits: number): string {
  const groups = bits === 32 ? 4 : 8;
  const width = BigInt(bits / groups);
  const parts = Array.from({ length: groups }, (_, i) => {
    const part = (value >> (width * BigInt(groups - 1 - i))) & ((1n << width) - 1n);
    return part.toString(bits === 32 ? 10 : 16);
  });
  return bits === 32 ? parts.join('.') : canonicalIp(parts.join(':'));
}
