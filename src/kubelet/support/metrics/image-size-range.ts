const mb = 1024 ** 2;
const gb = 1024 ** 3;

const ranges = [
  [100 * gb, 'GT100GB'],
  [60 * gb, '60GB-100GB'],
  [40 * gb, '40GB-60GB'],
  [30 * gb, '30GB-40GB'],
  [20 * gb, '20GB-30GB'],
  [10 * gb, '10GB-20GB'],
  [5 * gb, '5GB-10GB'],
  [gb, '1GB-5GB'],
  [500 * mb, '500MB-1GB'],
  [100 * mb, '100MB-500MB'],
  [10 * mb, '10MB-100MB'],
] as const;

/** The range of sizes that pulls of such an image are counted under; `N/A` for a size that nobody knows. Pure. */
export function imageSizeRange(sizeBytes: number): string {
  if (sizeBytes === 0) return 'N/A';
  return ranges.find(([fromBytes]) => sizeBytes > fromBytes)?.[1] ?? '0-10MB';
}
