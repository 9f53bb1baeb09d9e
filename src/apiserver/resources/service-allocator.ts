/**
 * Which ClusterIPs and node ports are taken. Owns the two maps; they hold nothing that the stored Services don't say,
 * so they are filled from these at start and after a break of the watch, and what is lost comes back that way.
 */
import type { Service } from '../../objects/generated/core-v1.ts';
import { type IpFamily, ServiceIpRange, usualIp } from './service-ip-range.ts';

/** The address or port cannot be had; the text is upstream's. */
export class AllocationError extends Error {
  override name = 'AllocationError';
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export class ServiceAllocator {
  /** The primary one first; at most one of each family. */
  readonly #ranges: readonly [ServiceIpRange, ...ServiceIpRange[]];
  readonly #ports: PortRange;
  /** Address → the Service that has it. */
  readonly #ipOwners = new Map<string, string>();
  /** Port → the Service that has it (for one or more protocols). */
  readonly #portOwners = new Map<number, string>();
  readonly #random: () => number;

  /** @param cidrs one range, or one of each family with a comma between @throws {RangeError} when they are none */
  constructor(cidrs: string, ports: PortRange, random: () => number = Math.random) {
    const [primary, secondary, ...more] = cidrs.split(',').map((cidr) => ServiceIpRange.parse(cidr));
    const isOfTwo = cidrs.includes(',');
    if (
      primary === undefined ||
      more.length > 0 ||
      isOfTwo !== (secondary !== undefined) ||
      primary.family === secondary?.family
    ) {
      throw new RangeError(
        `Cannot use service range "${cidrs}": expected one range like 10.96.0.0/16, or one of each family like 10.96.0.0/16,fd00:10:96::/112`,
      );
    }
    this.#ranges = secondary === undefined ? [primary] : [primary, secondary];
    this.#ports = ports;
    this.#random = random;
  }

  /** The cluster's, primary first. */
  get families(): readonly [IpFamily, ...IpFamily[]] {
    const [primary, ...others] = this.#ranges;
    return [primary.family, ...others.map(({ family }) => family)];
  }

  /** The first address: that of the Service default/kubernetes. */
  get firstIp(): string {
    return this.#ranges[0].at(1);
  }

  /** Takes over what a stored Service has; an address that two claim stays with the first. */
  adopt(service: Service): void {
    const owner = ownerOf(service);
    for (const ip of clusterIpsOf(service)) if (!this.#ipOwners.has(ip)) this.#ipOwners.set(ip, owner);
    for (const port of nodePortsOf(service)) if (!this.#portOwners.has(port)) this.#portOwners.set(port, owner);
  }

  /** Gives back all that the Service has. */
  drop(service: Service): void {
    const owner = ownerOf(service);
    for (const ip of clusterIpsOf(service)) this.releaseIp(ip, owner);
    for (const port of nodePortsOf(service)) this.releasePort(port, owner);
  }

  /** @throws {AllocationError} */
  takeIp(asked: string, owner: string): void {
    const wanted = usualIp(asked);
    if (!this.#ranges.some((range) => range.contains(wanted))) {
      throw new AllocationError(
        `failed to allocate IP ${wanted}: the provided network does not match the current range`,
      );
    }
    if (this.#ipOwners.has(wanted)) {
      throw new AllocationError(`failed to allocate IP ${wanted}: provided IP is already allocated`);
    }
    this.#ipOwners.set(wanted, owner);
  }

  /** A free address: from the upper band while there is one, so that the lower stays for those who name theirs. */
  takeAnyIp(owner: string, family: string = this.families[0]): string {
    const range = this.#ranges.find((one) => one.family === family);
    if (range === undefined) throw new AllocationError(`failed to allocate a serviceIP: no range of ${family}`);
    const { reserved, lastOffset } = range;
    for (const [from, to] of [
      [Math.max(1, reserved), lastOffset],
      [1, Math.max(1, reserved) - 1],
    ] as const) {
      const free = pickFree(from, to, this.#random, (offset) => !this.#ipOwners.has(range.at(offset)));
      if (free === undefined) continue;
      const ip = range.at(free);
      this.#ipOwners.set(ip, owner);
      return ip;
    }
    throw new AllocationError('failed to allocate a serviceIP: range is full');
  }

  releaseIp(asked: string, owner: string): void {
    const ip = usualIp(asked);
    if (this.#ipOwners.get(ip) === owner) this.#ipOwners.delete(ip);
  }

  /** The same port may serve several protocols of one Service. @throws {AllocationError} */
  takePort(port: number, owner: string): void {
    const { first, last } = this.#ports;
    if (port < first || port > last) {
      throw new AllocationError(
        `provided port is not in the valid range. The range of valid ports is ${first}-${last}`,
      );
    }
    const known = this.#portOwners.get(port);
    if (known !== undefined) throw new AllocationError('provided port is already allocated');
    this.#portOwners.set(port, owner);
  }

  takeAnyPort(owner: string): number {
    const { first, last } = this.#ports;
    const size = last - first + 1;
    const reserved = size <= 32 ? 0 : Math.min(Math.max(16, Math.floor(size / 32)), 128);
    for (const [from, to] of [
      [first + reserved, last],
      [first, first + reserved - 1],
    ] as const) {
      const port = pickFree(from, to, this.#random, (one) => !this.#portOwners.has(one));
      if (port === undefined) continue;
      this.#portOwners.set(port, owner);
      return port;
    }
    throw new AllocationError('failed to allocate a nodePort: range is full');
  }

  releasePort(port: number, owner: string): void {
    if (this.#portOwners.get(port) === owner) this.#portOwners.delete(port);
  }
}

export const ownerOf = ({ metadata }: Service): string => `${metadata.namespace ?? ''}/${metadata.name}`;

/** In the usual spelling; none of a headless one. */
export function clusterIpsOf({ spec }: Service): string[] {
  const ips = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return ips.filter((ip) => ip !== '' && ip !== 'None').map(usualIp);
}

export function nodePortsOf({ spec }: Service): number[] {
  const ports = (spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0);
  return [...new Set([...ports, spec.healthCheckNodePort ?? 0])].filter((port) => port > 0);
}

/** A random free number of [from, to]; after some misses the first free one. */
function pickFree(from: number, to: number, random: () => number, isFree: (n: number) => boolean): number | undefined {
  const size = to - from + 1;
  if (size <= 0) return undefined;
  for (let tries = 0; tries < 8; tries++) {
    const candidate = from + Math.floor(random() * size);
    if (isFree(candidate)) return candidate;
  }
  for (let n = from; n <= to; n++) if (isFree(n)) return n;
  return undefined;
}
