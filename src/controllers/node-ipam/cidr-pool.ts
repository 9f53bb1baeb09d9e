/** The blocks of one cluster CIDR, handed out in order from where the last one was found. No I/O. */
import { isIPv4, isIPv6 } from 'node:net';

interface Cidr {
  isV6: boolean;
  bits: number;
  base: bigint;
  size: number;
}

/** @throws {RangeError} naming the text */
export function parseCidr(text: string): Cidr {
  const [address = '', length = ''] = text.split('/');
  const isV6 = isIPv6(address);
  const bits = isV6 ? 128 : 32;
  const size = Number(length);
  if (!(isV6 || isIPv4(address)) || !/^\d{1,3}$/.test(length) || size > bits) {
    throw new RangeError(`Cannot use "${text}" as a CIDR: expected an address block like 10.244.0.0/16`);
  }
  const value = isV6 ? parseV6(address) : parseV4(address);
  const host = BigInt(bits - size);
  return { isV6, bits, base: (value >> host) << host, size };
}

export class CidrPool {
  readonly isV6: boolean;
  readonly #cluster: Cidr;
  readonly #blockSize: number;
  readonly #count: number;
  readonly #used = new Set<number>();
  #next = 0;

  /** @param blockSize prefix length of a node's block */
  constructor(clusterCidr: string, blockSize: number) {
    this.#cluster = parseCidr(clusterCidr);
    const { size, bits, isV6 } = this.#cluster;
    if (blockSize < size || blockSize > bits || blockSize - size > 16) {
      throw new RangeError(
        `Cannot cut "${clusterCidr}" into blocks of /${blockSize}: expected between /${size} and /${Math.min(bits, size + 16)}`,
      );
    }
    this.isV6 = isV6;
    this.#blockSize = blockSize;
    this.#count = 2 ** (blockSize - size);
  }

  /** Marks what overlaps `cidr` as taken. */
  occupy(cidr: string): void {
    for (const index of this.#indexes(cidr)) this.#used.add(index);
  }

  release(cidr: string): void {
    for (const index of this.#indexes(cidr)) this.#used.delete(index);
  }

  /** A free block, or undefined when all are taken. */
  allocate(): string | undefined {
    for (let tried = 0; tried < this.#count; tried++) {
      const index = (this.#next + tried) % this.#count;
      if (this.#used.has(index)) continue;
      this.#used.add(index);
      this.#next = (index + 1) % this.#count;
      return this.#block(index);
    }
    return undefined;
  }

  #indexes(text: string): number[] {
    const cidr = parseCidr(text);
    if (cidr.isV6 !== this.isV6) return [];
    const shift = BigInt(this.#cluster.bits - this.#blockSize);
    const first = (cidr.base - this.#cluster.base) >> shift;
    const last = (cidr.base + (1n << BigInt(cidr.bits - cidr.size)) - 1n - this.#cluster.base) >> shift;
    const indexes: number[] = [];
    for (let i = first < 0n ? 0n : first; i <= last && i < BigInt(this.#count); i++) indexes.push(Number(i));
    return indexes;
  }

  #block(index: number): string {
    const { bits, base } = this.#cluster;
    const address = base + (BigInt(index) << BigInt(bits - this.#blockSize));
    return `${this.isV6 ? formatV6(address) : formatV4(address)}/${this.#blockSize}`;
  }
}

function parseV4(text: string): bigint {
  return text.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
}

function formatV4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
}

function parseV6(text: string): bigint {
  const [head = '', tail] = text.split('::');
  const words = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const left = words(head);
  const right = tail === undefined ? [] : words(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].reduce((sum, word) => (sum << 16n) | BigInt(`0x${word}`), 0n);
}

/** The canonical form, as the URL standard prints addresses too. */
function formatV6(value: bigint): string {
  const words = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}
