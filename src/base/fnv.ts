/** FNV-1a hashes, for the names that Kubernetes derives from content. */

/** FNV-1a, 32 bit, of ASCII text. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193) >>> 0;
  }
  return hash;
}

const fnv128Prime = (1n << 88n) + 0x13bn;
const fnv128Offset = 0x6c62272e07bb014262b821756295c58dn;
const mask128 = (1n << 128n) - 1n;

/** FNV-1a, 128 bit, as 32 hex digits. */
export function fnv1a128Hex(bytes: Buffer): string {
  let hash = fnv128Offset;
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * fnv128Prime) & mask128;
  return hash.toString(16).padStart(32, '0');
}
