/** What rotation does to the files that lie beside a log. Pure. */

export interface RotationPlan {
  /** Leftovers, originals of compressed files, and the oldest beyond the count. */
  remove: string[];
  /** Rotated files that are still as they were written. */
  compress: string[];
}

export const compressedSuffix = '.gz';
export const unfinishedSuffix = '.tmp';

/**
 * @param names of the files that start with the log's name and a dot
 * @param maxFiles with the current file; the newest rotated file, which is about to appear, has its place, too
 */
export function computeRotation(names: readonly string[], maxFiles: number): RotationPlan {
  const remove: string[] = [];
  const rotated: string[] = [];
  for (const name of names) {
    const isLeftover = name.endsWith(unfinishedSuffix) || names.includes(`${name}${compressedSuffix}`);
    (isLeftover ? remove : rotated).push(name);
  }
  rotated.sort(); // their names are their times
  const keep = Math.max(0, maxFiles - 2);
  const kept = rotated.slice(Math.max(0, rotated.length - keep));
  remove.push(...rotated.slice(0, rotated.length - kept.length));
  return { remove, compress: kept.filter((name) => !name.endsWith(compressedSuffix)) };
}

/** `20260102-150405` in local time, as upstream names rotated files. */
export function rotationStamp(nowMs: number): string {
  const t = new Date(nowMs);
  const two = (n: number): string => String(n).padStart(2, '0');
  return (
    `${t.getFullYear()}${two(t.getMonth() + 1)}${two(t.getDate())}` +
    `-${two(t.getHours())}${two(t.getMinutes())}${two(t.getSeconds())}`
  );
}
