/**
 * Block devices as pods see them: a link in the pod's directory, and a bind of the device in a directory that all pods
 * of the volume share, by which it shows who still uses it.
 */
import { mkdir, open, readlink, realpath, symlink, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError, errnoOf } from '../../../base/errors.ts';
import type { PersistentMounts } from './persistent-kinds.ts';
import { VolumeError } from './persistent-model.ts';
import { namesIn, removeEmpty } from './volume-setup.ts';

export interface BlockMap {
  /** Of all pods: `<map directory>/<pod uid>` is a bind of the device. */
  mapDirectory: string;
  podUid: string;
  /** In the pod's directory. */
  link: string;
}

/** Repeating it is the same as doing it once. @throws {VolumeError} uncertain: a part of it may be there, and is undone */
export async function mapBlock(
  map: BlockMap,
  device: string,
  mounts: PersistentMounts,
  signal: AbortSignal,
): Promise<void> {
  try {
    await bindAndLink(map, device, mounts, signal);
  } catch (cause) {
    throw new VolumeError(describeError(cause), 'uncertain', { cause });
  }
}

async function bindAndLink(
  { mapDirectory, podUid, link }: BlockMap,
  device: string,
  mounts: PersistentMounts,
  signal: AbortSignal,
): Promise<void> {
  const real = await realpath(device);
  const file = join(mapDirectory, podUid);
  await mkdir(mapDirectory, { recursive: true, mode: 0o750 });
  if (!(await mounts.isMountPoint(file, signal))) {
    await (await open(file, 'a', 0o640)).close();
    await mounts.bind(real, file, signal);
  }
  await mkdir(dirname(link), { recursive: true, mode: 0o750 });
  if ((await linkTarget(link)) === real) return;
  await unlinkIfThere(link);
  await symlink(real, link);
}

export async function unmapBlock(
  { mapDirectory, podUid, link }: BlockMap,
  mounts: PersistentMounts,
  signal: AbortSignal,
): Promise<void> {
  await unlinkIfThere(link);
  const file = join(mapDirectory, podUid);
  await mounts.unmountFileSystem(file, {}, signal);
  await unlinkIfThere(file);
}

/** Pods that have the device mapped. */
export const podsOfMap = (mapDirectory: string): Promise<string[]> => namesIn(mapDirectory);

/** @throws {Error} in upstream's words while a pod has the device */
export async function removeBlockMap(mapDirectory: string): Promise<void> {
  const pods = await podsOfMap(mapDirectory);
  if (pods.length > 0) {
    throw new Error(`the device "${mapDirectory}" is still referenced from other Pods [${pods.toSorted().join(' ')}]`);
  }
  await removeEmpty(mapDirectory);
}

async function linkTarget(link: string): Promise<string | undefined> {
  return await readlink(link).catch(() => undefined); // no link, or something else: it is made anew
}

async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((err: unknown) => {
    if (errnoOf(err) !== 'ENOENT') throw err;
  });
}
