import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isNotFound } from '../../../base/errors.ts';
import { compressedSuffix, unfinishedSuffix } from './compute-rotation.ts';
import { type OpenedLog, openLogFile } from './open-log-file.ts';

/**
 * The file that was written after `current`; undefined while there is none. Who reads slower than the container writes
 * finds the files that were rotated away in between, as long as they are not compressed.
 */
export async function openFollowing(current: OpenedLog, logsDirectory: string): Promise<OpenedLog | undefined> {
  try {
    const live = await openLogFile(current.path, logsDirectory);
    if (live.inode === current.inode) {
      await live.file.close();
      return undefined;
    }
    const rotated = await rotatedFiles(current.path);
    // one that is not there any more was compressed or removed: all that are left are later
    const [next] = rotated.slice(rotated.findIndex(({ inode }) => inode === current.inode) + 1);
    if (next === undefined) return live;
    await live.file.close();
    return { ...(await openLogFile(next.path, logsDirectory)), path: current.path };
  } catch (err) {
    // renamed, and not written anew yet; or removed, then the container ends; or just being compressed
    if (isNotFound(err)) return undefined;
    throw err;
  }
}

/** Oldest first: their names are their times. */
async function rotatedFiles(path: string): Promise<Array<{ path: string; inode: number }>> {
  const folder = dirname(path);
  const names = (await readdir(folder)).filter(
    (name) =>
      name.startsWith(`${basename(path)}.`) && !name.endsWith(compressedSuffix) && !name.endsWith(unfinishedSuffix),
  );
  const found: Array<{ path: string; inode: number }> = [];
  for (const name of names.sort()) {
    const info = await stat(join(folder, name)).catch(() => undefined); // compressed in this moment
    if (info?.isFile() === true) found.push({ path: join(folder, name), inode: info.ino });
  }
  return found;
}
