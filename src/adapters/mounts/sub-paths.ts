/**
 * Binds a path inside a volume to a place outside it, for containers that mount only a part of the volume. The
 * volume belongs to pods: whatever they put or swap in it while we look, nothing outside the volume is reached.
 *
 * The path is resolved twice. First with links, to know where it leads and to refuse what leaves the volume; then
 * from the open volume, without following any link, to hold on to the file. What is held is what is bound.
 */
import { chmod, mkdir, open, readdir, realpath, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { errnoOf } from '../../base/errors.ts';
import { type OpenPath, openAnything, openBeneath } from './open-path.ts';
import type { Mounts } from './mounts.ts';

type Binder = Pick<Mounts, 'bind' | 'unmount' | 'isMountPoint'>;

/** @throws {Error} upstream's words when a path is absolute or climbs */
export function checkSubPath(subPath: string): void {
  if (subPath.startsWith('/')) throw new Error(`error SubPath \`${subPath}\` must not be an absolute path`);
  if (hasParentElement(subPath)) {
    throw new Error(`unable to provision SubPath \`${subPath}\`: must not contain '..'`);
  }
}

/** Whether a path has `..` as one of its elements. */
export const hasParentElement = (path: string): boolean => path.split('/').includes('..');

/** The path's elements, without empty ones and `.`. */
const elementsOf = (path: string): string[] => path.split('/').filter((part) => part !== '' && part !== '.');

/** Makes the directories of a sub path that are missing, each with `mode`, or else with the mode of the volume's root. */
export async function makeSubPath(
  { volumePath, subPath, mode }: { volumePath: string; subPath: string; mode?: number },
  signal: AbortSignal,
): Promise<void> {
  checkSubPath(subPath);
  const root = await realpath(volumePath);
  if ((await leadsTo(join(root, subPath))) !== undefined) return; // what exists is left as it is
  await using volume = await openAnything(root);
  const wantedMode = mode ?? (await stat(volume.path)).mode & 0o7777;
  const elements = elementsOf(subPath);
  let existing = elements.length;
  let prefix: string | undefined;
  while (prefix === undefined) {
    existing--;
    if (existing < 0) throw new Error(`Cannot make "${subPath}": the volume "${root}" is gone`);
    prefix = await leadsTo(join(root, ...elements.slice(0, existing)));
  }
  let at = await openInside(volume, root, prefix, { directory: true }, signal);
  try {
    for (const element of elements.slice(existing)) {
      const isNew = await mkdir(at.at(element), 0o700).then(() => true, ifExists);
      const next = await openBeneath(at, element, { links: 'none', directory: true }, signal);
      await at.close();
      at = next;
      if (isNew) await chmod(at.path, wantedMode);
    }
  } finally {
    await at.close();
  }
}

function ifExists(err: unknown): false {
  if (errnoOf(err) === 'EEXIST') return false; // somebody was faster; the open below tells whether it is a directory
  throw err;
}

/** Where a path leads after all links; undefined when there is nothing. */
async function leadsTo(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (err) {
    if (errnoOf(err) === 'ENOENT') return undefined;
    throw err;
  }
}

/** Holds open what `path` (free of links a moment ago) names inside the volume, following no link. */
async function openInside(
  volume: OpenPath,
  root: string,
  path: string,
  { directory }: { directory: boolean },
  signal: AbortSignal,
): Promise<OpenPath> {
  const inside = relative(root, path);
  if (inside === '..' || inside.startsWith('../')) {
    throw new Error(`subpath "${path}" not within volume path "${root}"`);
  }
  try {
    return await openBeneath(volume, inside === '' ? '.' : inside, { links: 'none', directory }, signal);
  } catch (cause) {
    if (errnoOf(cause) === 'ELOOP') throw new Error(`unexpected symlink found ${path}`, { cause });
    throw cause;
  }
}

/**
 * Binds `subPath` of a volume to `target`, whose parents are made. A target that shows the same file already is kept,
 * one that shows another is replaced: a container that starts again sees what the path names now.
 */
export async function bindSubPath(
  { volumePath, subPath, target }: { volumePath: string; subPath: string; target: string },
  mounts: Binder,
  signal: AbortSignal,
): Promise<void> {
  checkSubPath(subPath);
  const root = await realpath(volumePath);
  await using volume = await openAnything(root);
  await using source = await openInside(
    volume,
    root,
    await realpath(join(root, subPath)),
    { directory: false },
    signal,
  );
  const wanted = await stat(source.path, { bigint: true });
  if (await mounts.isMountPoint(target, signal)) {
    const shown = await stat(target, { bigint: true }).catch(() => undefined); // a dead mount: replace it
    if (shown?.dev === wanted.dev && shown.ino === wanted.ino) return;
    await mounts.unmount(target, signal);
  }
  await mkdir(dirname(target), { recursive: true, mode: 0o750 });
  await removeTarget(target);
  if (wanted.isDirectory()) {
    await mkdir(target, 0o750);
  } else {
    await (await open(target, 'wx', 0o640)).close();
  }
  await mounts.bind(source.path, target, signal);
}

/** The target of an earlier start may be a file where a directory is wanted now. */
async function removeTarget(target: string): Promise<void> {
  try {
    await unlink(target);
  } catch (err) {
    const code = errnoOf(err);
    if (code === 'ENOENT') return;
    if (code !== 'EISDIR' && code !== 'EPERM') throw err;
    await rmdir(target);
  }
}

/** Unmounts and removes the targets below `directory/<container>/<index>`, then the directories, if they are empty. */
export async function removeSubPathBinds(directory: string, mounts: Binder, signal: AbortSignal): Promise<void> {
  for (const container of await namesIn(directory)) {
    for (const index of await namesIn(join(directory, container))) {
      const target = join(directory, container, index);
      await mounts.unmount(target, signal);
      await removeTarget(target);
    }
    await rmdir(join(directory, container));
  }
  await rmdir(directory).catch((err: unknown) => {
    if (errnoOf(err) !== 'ENOENT') throw err;
  });
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (err) {
    if (errnoOf(err) === 'ENOENT') return [];
    throw err;
  }
}
