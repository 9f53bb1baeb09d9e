/** IPv6 networks: enough to lay a dual-stack cluster out. */
import { SocketAddress, isIPv6 } from 'node:net';

export interface Ipv6Network {
  first: bigint;
  prefixLength: number;
}

/** Undefined when it is no IPv6 network; bits behind the prefix are cut off. */
export function parseIpv6Network(text: string): Ipv6Network | undefined {
  const [address = '', length = '', ...more] = text.split('/');
  if (!isIPv6(address) || address.includes('.') || more.length > 0 || !/^\d{1,3}$/.test(length)) return undefined;
  const prefixLength = Number(length);
  if (prefixLength > 128) return undefined;
  const hostBits = BigInt(128 - prefixLength);
  return { first: (parseAddress(address) >> hostBits) << hostBits, prefixLength };
}

export function formatIpv6Network({ first, prefixLength }: Ipv6Network): string {
  return `${formatIpv6(first)}/${prefixLength}`;
}

/** The `index`-th address; 0 is the network itself. */
export function nthIpv6Address({ first }: Ipv6Network, index: number): string {
  return formatIpv6(first + BigInt(index));
}

/** The `index`-th part with a longer prefix. @throws {RangeError} when it is outside */
export function nthIpv6Subnet(network: Ipv6Network, prefixLength: number, index: number): Ipv6Network {
  const bits = prefixLength - network.prefixLength;
  if (bits < 0 || index < 0 || BigInt(index) >= 1n << BigInt(bits)) {
    throw new RangeError(
      `Cannot take part ${index} with /${prefixLength} of ${formatIpv6Network(network)}: it is too small`,
    );
  }
  return { first: network.first + (BigInt(index) << BigInt(128 - prefixLength)), prefixLength };
}

function parseAddress(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const words = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const left = words(head);
  const right = words(tail ?? '');
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].reduce((sum, word) => (sum << 16n) | BigInt(`0x${word}`), 0n);
}

function formatIpv6(value: bigint): string {
  const words = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return new SocketAddress({ address: words.join(':'), family: 'ipv6' }).address;
}
