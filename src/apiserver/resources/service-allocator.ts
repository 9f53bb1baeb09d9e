/**
 * Which ClusterIPs and node ports are taken. Owns the two maps; they hold nothing that the stored Services don't say,
 * so they are filled from these at start and after a break of the watch, and what is lost comes back that way.
 */
import type { Service } from '../../objects/generated/core-v1.ts';

/** The address or port cannot be had; the text is upstream's. */
export class AllocationError extends Error {
  override name = 'AllocationError';
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export class ServiceAllocator {
  readonly #base: number;
  readonly #size: number;
  readonly #ports: PortRange;
  /** Address → the Service that has it. */
  readonly #ipOwners = new Map<string, string>();
  /** Port → the Service that has it (for one or more protocols). */
  readonly #portOwners = new Map<number, string>();
  readonly #random: () => number;

  /** @throws {RangeError} when `cidr` is no IPv4 range */
  constructor(cidr: string, ports: PortRange, random: () => number = Math.random) {
    const [address = '', bits = ''] = cidr.split('/');
    const base = parseIpv4(address);
    const prefix = Number(bits);
    if (base === undefined || bits === '' || !(prefix >= 8 && prefix <= 30)) {
      throw new RangeError(`Cannot use service range "${cidr}": expected one IPv4 range like 10.96.0.0/16`);
    }
    this.#size = 2 ** (32 - prefix);
    this.#base = base - (base % this.#size);
    this.#ports = ports;
    this.#random = random;
  }

  /** The first address: that of the Service default/kubernetes. */
  get firstIp(): string {
    return formatIpv4(this.#base + 1);
  }

  /** Takes over what a stored Service has; an address that two claim stays with the first. */
  adopt(service: Service): void {
    const owner = ownerOf(service);
    const { clusterIP } = service.spec;
    if (clusterIP && clusterIP !== 'None' && !this.#ipOwners.has(clusterIP)) this.#ipOwners.set(clusterIP, owner);
    for (const port of nodePortsOf(service)) if (!this.#portOwners.has(port)) this.#portOwners.set(port, owner);
  }

  /** Gives back all that the Service has. */
  drop(service: Service): void {
    const owner = ownerOf(service);
    const { clusterIP = '' } = service.spec;
    this.releaseIp(clusterIP, owner);
    for (const port of nodePortsOf(service)) this.releasePort(port, owner);
  }

  /** @throws {AllocationError} */
  takeIp(wanted: string, owner: string): void {
    const number = parseIpv4(wanted);
    const offset = number === undefined ? -1 : number - this.#base;
    if (offset <= 0 || offset >= this.#size - 1) {
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
  takeAnyIp(owner: string): string {
    const reserved = this.#size <= 16 ? 0 : Math.min(Math.max(16, this.#size / 16), 256);
    for (const [from, to] of [
      [Math.max(1, reserved), this.#size - 2],
      [1, Math.max(1, reserved) - 1],
    ] as const) {
      const free = pickFree(from, to, this.#random, (offset) => !this.#ipOwners.has(formatIpv4(this.#base + offset)));
      if (free === undefined) continue;
      const ip = formatIpv4(this.#base + free);
      this.#ipOwners.set(ip, owner);
      return ip;
    }
    throw new AllocationError('failed to allocate a serviceIP: range is full');
  }

  releaseIp(ip: string, owner: string): void {
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

function parseIpv4(text: string): number | undefined {
  const parts = text.split('.').map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  if (parts.length !== 4 || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

function formatIpv4(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}
