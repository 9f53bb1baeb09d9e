/** Directories that drivers mount on: made before, taken away after, and never while something is mounted there. */
import { lstat, mkdir, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from '../../../base/errors.ts';
import type { CsiNeed } from './csi-need.ts';
import { removeVolumeData } from './volume-data.ts';

export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o750 });
}

/**
 * Removes what a driver mounted on, what was noted beside it, and their parent. Empty directories only; while something
 * is mounted there all of it stays.
 */
export async function removeTarget(target: string, mounts: CsiNeed['mounts'], signal: AbortSignal): Promise<void> {
  const parent = dirname(target);
  if (await mounts.isMountPoint(target, signal)) return;
  await removeDirectory(target);
  await removeVolumeData(parent);
  await removeDirectory(parent);
}

export async function removeDirectory(path: string): Promise<void> {
  await rmdir(path).catch((err: unknown) => {
    if (errnoOf(err) !== 'ENOENT') throw err;
  });
}

/** Whether something lies at a path, also a link to nothing. */
export async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    (err: unknown) => {
      if (errnoOf(err) === 'ENOENT' || errnoOf(err) === 'ENOTDIR') return false;
      return true; // what cannot be looked at is there
    },
  );
}
