/** A range of ClusterIPs of one family: addresses as numbers from its start. Pure. */
import { SocketAddress, isIPv4, isIPv6 } from 'node:net';

export type IpFamily = 'IPv4' | 'IPv6';

/** Ranges count with plain numbers: this is more than anybody needs, and far from where these get inexact. */
const hostBitsMax = 40;

export class ServiceIpRange {
  readonly family: IpFamily;
  readonly #base: bigint;
  /** How many there are, the first and in IPv4 the last of which nobody gets. */
  readonly #size: number;

  /** Undefined when `cidr` is no range that Services can have. */
  static parse(cidr: string): ServiceIpRange | undefined {
    const [address = '', bits = '', ...more] = cidr.trim().split('/');
    const family = familyOfIp(address);
    if (family === undefined || more.length > 0 || !/^\d{1,3}$/.test(bits)) return undefined;
    const hostBits = (family === 'IPv4' ? 32 : 128) - Number(bits);
    if (hostBits < 2 || hostBits > (family === 'IPv4' ? 24 : hostBitsMax)) return undefined;
    return new ServiceIpRange(family, (parseIp(address) >> BigInt(hostBits)) << BigInt(hostBits), 2 ** hostBits);
  }

  private constructor(family: IpFamily, base: bigint, size: number) {
    this.family = family;
    this.#base = base;
    this.#size = size;
  }

  /** The last one that a Service can get; the first is 1. */
  get lastOffset(): number {
    return this.family === 'IPv4' ? this.#size - 2 : this.#size - 1;
  }

  /** The size of the lower band, which is for those who name their address. */
  get reserved(): number {
    return this.#size <= 16 ? 0 : Math.min(Math.max(16, this.#size / 16), 256);
  }

  at(offset: number): string {
    return formatIp(this.family, this.#base + BigInt(offset));
  }

  /** Whether a Service can have that address. */
  contains(ip: string): boolean {
    if (familyOfIp(ip) !== this.family) return false;
    const offset = parseIp(ip) - this.#base;
    return offset > 0n && offset <= BigInt(this.lastOffset);
  }
}

export function familyOfIp(ip: string): IpFamily | undefined {
  if (isIPv4(ip)) return 'IPv4';
  return isIPv6(ip) ? 'IPv6' : undefined;
}

/** One spelling for each address; what is none stays as it is. */
export function usualIp(ip: string): string {
  return isIPv6(ip) ? new SocketAddress({ address: ip, family: 'ipv6' }).address : ip;
}

/** @param ip a valid address */
function parseIp(ip: string): bigint {
  if (isIPv4(ip)) return ip.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  const [head = '', tail] = usualIp(ip)
    .replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...bytes: string[]) => {
      const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number);
      return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
    })
    .split('::');
  const words = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const left = words(head);
  const right = words(tail ?? '');
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].reduce((sum, word) => (sum << 16n) | BigInt(`0x${word}`), 0n);
}

function formatIp(family: IpFamily, value: bigint): string {
  if (family === 'IPv4') return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
  const words = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return usualIp(words.join(':'));
}
