/** Addresses as numbers: CIDRs, ranges, and what is left of one without others. Pure. */
import { SocketAddress, isIP } from 'node:net';
import type { IpFamily, IpRange } from '../network-policy-model.ts';

/** Undefined for what is no address. */
export function familyOfIp(ip: string): IpFamily | undefined {
  const version = isIP(ip);
  if (version === 0 || ip.includes('%')) return undefined;
  return version === 4 ? 'IPv4' : 'IPv6';
}

/** The spelling by which addresses are compared; undefined for what is no address. */
export function usualIp(ip: string): string | undefined {
  const family = familyOfIp(ip);
  if (family !== 'IPv6') return family === undefined ? undefined : ip;
  return new SocketAddress({ address: ip, family: 'ipv6' }).address;
}

/** @returns undefined for what is no address */
export function ipNumber(ip: string): bigint | undefined {
  const family = familyOfIp(ip);
  if (family === undefined) return undefined;
  if (family === 'IPv4') return ip.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  const [head = '', tail] = new SocketAddress({ address: ip, family: 'ipv6' }).address.split('::');
  const groups = (text: string): string[] => text.split(':').flatMap((part) => (part === '' ? [] : v4Tail(part)));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...Array<string>(zeros).fill('0'), ...after].reduce(
    (sum, group) => sum * 65536n + BigInt(`0x${group}`),
    0n,
  );
}

/** `::ffff:1.2.3.4` ends in an IPv4 address. */
function v4Tail(part: string): string[] {
  if (!part.includes('.')) return [part];
  const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
  return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)];
}

/** Undefined for what is no CIDR. Bits behind the prefix do not count. */
export function cidrRange(text: string): IpRange | undefined {
  const match = /^(.+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = match?.[1] ?? '';
  const family = familyOfIp(address);
  const number = ipNumber(address);
  if (family === undefined || number === undefined) return undefined;
  const free = (family === 'IPv4' ? 32 : 128) - Number(match?.[2]);
  if (free < 0) return undefined;
  const size = 1n << BigInt(free);
  const first = number - (number % size);
  return { family, first, last: first + size - 1n };
}

export function isInRange({ family, first, last }: IpRange, ip: string): boolean {
  if (familyOfIp(ip) !== family) return false;
  const number = ipNumber(ip);
  return number !== undefined && first <= number && number <= last;
}

/** What is left of a range. */
export function withoutRanges(range: IpRange, holes: readonly IpRange[]): IpRange[] {
  const { family } = range;
  let left = [range];
  for (const hole of holes) {
    if (hole.family !== family) continue;
    left = left.flatMap(({ first, last }) => {
      if (hole.last < first || last < hole.first) return [{ family, first, last }];
      return [
        { family, first, last: hole.first - 1n },
        { family, first: hole.last + 1n, last },
      ].filter((part) => part.first <= part.last);
    });
  }
  return left;
}

/** The same addresses in the fewest ranges, in order. */
export function mergeRanges(ranges: readonly IpRange[]): IpRange[] {
  const merged: IpRange[] = [];
  const sorted = ranges.toSorted((a, b) =>
    a.family === b.family ? Number(a.first > b.first) - Number(a.first < b.first) : a.family < b.family ? -1 : 1,
  );
  for (const range of sorted) {
    const before = merged.at(-1);
    if (before?.family === range.family && range.first <= before.last + 1n) {
      merged[merged.length - 1] = { ...before, last: range.last > before.last ? range.last : before.last };
    } else merged.push(range);
  }
  return merged;
}

/** As nft reads it: `10.0.0.1`, or `10.0.0.0-10.0.1.255`. */
export function formatRange({ family, first, last }: IpRange): string {
  return first === last ? formatIp(family, first) : `${formatIp(family, first)}-${formatIp(family, last)}`;
}

function formatIp(family: IpFamily, number: bigint): string {
  if (family === 'IPv4') return [24n, 16n, 8n, 0n].map((shift) => String((number >> shift) & 255n)).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((number >> BigInt(112 - 16 * i)) & 65535n).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}
