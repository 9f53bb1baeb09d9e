/** IPv4 networks as numbers: enough to lay a cluster out. */

export interface Ipv4Network {
  /** The first address, as a 32-bit number. */
  first: number;
  prefixLength: number;
}

/** Undefined when it is not `a.b.c.d/n`; bits behind the prefix are cut off. */
export function parseIpv4Network(text: string): Ipv4Network | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, prefixLength = 0] = match.slice(1).map(Number);
  if ([a, b, c, d].some((byte) => byte > 255) || prefixLength > 32) return undefined;
  const address = ((a * 256 + b) * 256 + c) * 256 + d;
  const size = networkSize(prefixLength);
  return { first: Math.floor(address / size) * size, prefixLength };
}

export function formatIpv4Network({ first, prefixLength }: Ipv4Network): string {
  return `${formatIpv4(first)}/${prefixLength}`;
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** The `index`-th address of a network; 0 is the network itself. @throws {RangeError} when it is outside */
export function nthAddress(network: Ipv4Network, index: number): string {
  if (index < 0 || index >= networkSize(network.prefixLength)) {
    throw new RangeError(`Cannot take address ${index} of ${formatIpv4Network(network)}: it is too small`);
  }
  return formatIpv4(network.first + index);
}

/** The `index`-th part with a longer prefix. @throws {RangeError} when it is outside */
export function nthSubnet(network: Ipv4Network, prefixLength: number, index: number): Ipv4Network {
  if (prefixLength < network.prefixLength || index < 0 || index >= 2 ** (prefixLength - network.prefixLength)) {
    throw new RangeError(
      `Cannot take part ${index} with /${prefixLength} of ${formatIpv4Network(network)}: it is too small`,
    );
  }
  return { first: network.first + index * networkSize(prefixLength), prefixLength };
}

export function overlaps(a: Ipv4Network, b: Ipv4Network): boolean {
  return a.first < b.first + networkSize(b.prefixLength) && b.first < a.first + networkSize(a.prefixLength);
}

function networkSize(prefixLength: number): number {
  return 2 ** (32 - prefixLength);
}
