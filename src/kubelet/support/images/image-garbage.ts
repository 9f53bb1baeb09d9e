/** Which images go when the disk fills up or they have not been used for long. Pure. */

export interface KnownImage {
  id: string;
  /** The id, tags and digests: what a container may know it by. */
  names: readonly string[];
  sizeBytes: number;
  isPinned: boolean;
  /** Wall clock; −Infinity for one that was there before the kubelet. */
  firstDetectedMs: number;
  /** The last look at which a container had it; −Infinity for never. */
  lastUsedMs: number;
}

export interface GarbageLimits {
  /** Of the file system, used: from here on images go. */
  highPercent: number;
  /** Until no more than this is used. */
  lowPercent: number;
  /** Images younger than this stay. */
  minAgeMs: number;
  /** 0: images are never too old. */
  maxAgeMs: number;
}

export interface Space {
  capacityBytes: number;
  availableBytes: number;
}

export const usedPercent = ({ capacityBytes, availableBytes }: Space): number =>
  100 - Math.floor((availableBytes * 100) / capacityBytes);

/** 0 while less than the high limit is used. */
export function bytesToFree(space: Space, { highPercent, lowPercent }: GarbageLimits): number {
  if (usedPercent(space) < highPercent) return 0;
  return Math.floor((space.capacityBytes * (100 - lowPercent)) / 100) - space.availableBytes;
}

/** Images that may go at `nowMs`, those that were not used for the longest time first. */
export function removableImages(
  images: readonly KnownImage[],
  nowMs: number,
  { minAgeMs }: GarbageLimits,
): KnownImage[] {
  return images
    .filter(
      ({ isPinned, lastUsedMs, firstDetectedMs }) =>
        !isPinned && lastUsedMs < nowMs && nowMs - firstDetectedMs >= minAgeMs,
    )
    .toSorted((a, b) => compare(a.lastUsedMs, b.lastUsedMs) || compare(a.firstDetectedMs, b.firstDetectedMs));
}

/** Of those, what nobody has used for too long; none before the kubelet itself has run that long. */
export function oldImages(
  removable: readonly KnownImage[],
  { nowMs, beganMs }: { nowMs: number; beganMs: number },
  { maxAgeMs }: GarbageLimits,
): KnownImage[] {
  if (maxAgeMs === 0 || nowMs - beganMs <= maxAgeMs) return [];
  return removable.filter(({ lastUsedMs }) => nowMs - lastUsedMs > maxAgeMs);
}

/** Not by subtraction: −Infinity from itself is no number. */
const compare = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);

/** `9.5 GiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`;
}
