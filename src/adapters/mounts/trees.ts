/** Work on whole directory trees that cannot be led outside them: no link is followed, no mount point is crossed. */
import { randomBytes } from 'node:crypto';
import { chmod, chown, lchown, lstat, opendir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { errnoOf } from '../../base/errors.ts';
import { type OpenPath, openBeneath, openDirectory } from './open-path.ts';

/** Every level of depth holds one descriptor open; deeper directories are moved up before they are emptied. */
const depthMax = 48;
/** Somebody may go on writing into a tree that we delete; we try this often to find it empty. */
const passesMax = 16;

/**
 * Deletes a directory and everything in it. Success when it is not there.
 * @throws {Error} when it, or something in it, is a mount point: nothing beyond a mount point is ever deleted
 */
export async function removeTree(path: string, signal: AbortSignal): Promise<void> {
  await using parent = await openDirectory(dirname(path)).catch(nothingThere);
  if (parent === undefined) return;
  await using top = await openChild(parent, basename(path), path, signal).catch(nothingThere);
  if (top === undefined) return;
  await emptyDirectory({ top, directory: top, shown: path, depth: 0 }, signal);
  await rmdir(parent.at(basename(path)));
}

interface Level {
  top: OpenPath;
  directory: OpenPath;
  /** For messages. */
  shown: string;
  depth: number;
}

async function emptyDirectory({ top, directory, shown, depth }: Level, signal: AbortSignal): Promise<void> {
  for (let pass = 0; pass < passesMax; pass++) {
    let found = 0;
    for await (const { name, isDirectory } of entriesOf(directory)) {
      signal.throwIfAborted();
      found++;
      const path = childPath(directory, name);
      const childShown = `${shown}/${name.toString()}`;
      if (!isDirectory) {
        await unlink(path).catch(throwAsMountPoint(childShown));
      } else if (depth >= depthMax) {
        await rename(path, top.at(`.removed-${randomBytes(8).toString('hex')}`));
      } else {
        await using child = await openChild(directory, name, childShown, signal);
        await emptyDirectory({ top, directory: child, shown: childShown, depth: depth + 1 }, signal);
        await rmdir(path).catch(throwAsMountPoint(childShown));
      }
    }
    if (found === 0) return;
  }
  throw new Error(`Cannot empty directory "${shown}": files appear in it as fast as they are deleted`);
}

/** Opens a subdirectory, unless it is a mount point. */
async function openChild(
  parent: OpenPath,
  name: string | Buffer,
  shown: string,
  signal: AbortSignal,
): Promise<OpenPath> {
  try {
    return await openBeneath(parent, name, { links: 'none', directory: true, mountPoints: 'refuse' }, signal);
  } catch (cause) {
    if (errnoOf(cause) === 'EXDEV') throw new Error(`cannot delete directory ${shown}: it is a mount point`, { cause });
    throw cause;
  }
}

const throwAsMountPoint =
  (shown: string) =>
  (cause: unknown): never => {
    if (errnoOf(cause) === 'EBUSY') throw new Error(`cannot delete ${shown}: it is a mount point`, { cause });
    throw cause;
  };

function nothingThere(err: unknown): undefined {
  if (errnoOf(err) !== 'ENOENT') throw err;
}

interface Entry {
  name: Buffer;
  isDirectory: boolean;
}

/** Names as bytes: a container may write names that are no UTF-8. */
async function* entriesOf(directory: OpenPath): AsyncGenerator<Entry> {
  // Types of Node say that names are strings; with this encoding they are buffers.
  const listing = await opendir(directory.path, { encoding: 'buffer' as BufferEncoding, bufferSize: 64 });
  for await (const entry of listing) {
    const name: unknown = entry.name;
    yield { name: Buffer.isBuffer(name) ? name : Buffer.from(String(name)), isDirectory: entry.isDirectory() };
  }
}

/** Of one directory at once: for directories of the kubelet's own, not for what containers may fill without end. */
async function allEntries(directory: OpenPath): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of entriesOf(directory)) entries.push(entry);
  return entries;
}

const childPath = (directory: OpenPath, name: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${directory.path}/`), name]);

/** Deletes empty directories, depth first; a file in the way is an error, a mount point too. */
export async function removeEmptyDirectories(path: string, signal: AbortSignal): Promise<void> {
  await using parent = await openDirectory(dirname(path)).catch(nothingThere);
  if (parent === undefined) return;
  await removeEmptyBelow(parent, Buffer.from(basename(path)), path, signal);
}

async function removeEmptyBelow(parent: OpenPath, name: Buffer, shown: string, signal: AbortSignal): Promise<void> {
  {
    await using directory = await openChild(parent, name, shown, signal).catch(nothingThere);
    if (directory === undefined) return;
    const names = await allEntries(directory);
    for (const entry of names) {
      if (!entry.isDirectory) throw new Error(`cannot delete directory ${shown}: it holds a file`);
      await removeEmptyBelow(directory, entry.name, `${shown}/${entry.name.toString()}`, signal);
    }
  }
  await rmdir(childPath(parent, name)).catch(throwAsMountPoint(shown));
}

export interface GroupChange {
  gid: number;
  /** Permission bits that files get in addition to what they have. */
  fileBits: number;
  directoryBits: number;
  /** Told after each file and each directory. */
  onEach?: () => void;
}

/**
 * Gives a tree to a group: children before their directory, the root last, so that an interrupted walk shows at the
 * root. Links get the group and nothing more. Failures at single files are counted, not thrown.
 */
export async function changeGroup(
  path: string,
  change: GroupChange,
  signal: AbortSignal,
): Promise<{ failures: number; firstFailure: unknown }> {
  const result: { failures: number; firstFailure: unknown } = { failures: 0, firstFailure: undefined };
  const note = (err: unknown): void => {
    result.failures++;
    result.firstFailure ??= err;
  };
  await using root = await openDirectory(path);
  await changeBelow(root, change, note, signal);
  return result;
}

async function changeBelow(
  directory: OpenPath,
  change: GroupChange,
  note: (err: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  for (const { name, isDirectory } of await allEntries(directory)) {
    signal.throwIfAborted();
    if (isDirectory) {
      const options = { links: 'none', directory: true, mountPoints: 'refuse' } as const;
      await using child = await openBeneath(directory, name, options, signal).catch((err: unknown): undefined => {
        note(err);
      });
      if (child !== undefined) await changeBelow(child, change, note, signal);
    } else {
      await changeFile(directory, name, change, signal).catch(note);
      change.onEach?.();
    }
  }
  await changeOne(directory.path, change.gid, change.directoryBits).catch(note);
  change.onEach?.();
}

async function changeFile(
  directory: OpenPath,
  name: Buffer,
  { gid, fileBits }: GroupChange,
  signal: AbortSignal,
): Promise<void> {
  const path = childPath(directory, name);
  const found = await lstat(path);
  if (found.isSymbolicLink()) return await lchown(path, found.uid, gid);
  await using file = await openBeneath(directory, name, { links: 'none', mountPoints: 'refuse' }, signal);
  await changeOne(file.path, gid, fileBits);
}

/** `path` names an open descriptor: changing owner and mode through it hits just that file. */
async function changeOne(path: string, gid: number, bits: number): Promise<void> {
  const { mode, uid } = await stat(path);
  await chown(path, uid, gid);
  await chmod(path, (mode & 0o7777) | bits);
}
