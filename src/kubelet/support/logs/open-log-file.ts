import { constants } from 'node:fs';
import { type FileHandle, open, readlink, realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { NotFoundError } from '../../../base/errors.ts';

export interface OpenedLog {
  file: FileHandle;
  /** Without links. */
  path: string;
  inode: number;
  sizeBytes: number;
}

/**
 * Opens a regular file that lies below `root`. A pod with a host path may have put links or pipes beside the logs:
 * those are refused, since we read with the node's rights.
 *
 * @throws {NotFoundError} when it is not there
 */
export async function openLogFile(path: string, root: string): Promise<OpenedLog> {
  const realPath = await logRealpath(path);
  const realRoot = await logRealpath(root);
  const refuse = (why: string): Error => new Error(`Cannot open log file "${path}": ${why}`);
  if (!isBelow(realPath, realRoot)) throw refuse(`it leads out of "${root}"`);
  let file: FileHandle;
  try {
    file = await open(realPath, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    throw translate(path, cause);
  }
  try {
    const found = await file.stat();
    if (!found.isFile()) throw refuse('it is not a regular file');
    // a folder above it may have become a link since we looked: what was opened is what counts
    const opened = await readlink(`/proc/self/fd/${file.fd}`);
    if (!isBelow(opened, realRoot)) throw refuse(`it leads out of "${root}"`);
    return { file, path: realPath, inode: found.ino, sizeBytes: found.size };
  } catch (err) {
    await file.close();
    throw err;
  }
}

async function logRealpath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw translate(path, cause);
  }
}

const isBelow = (path: string, root: string): boolean => path.startsWith(root.endsWith(sep) ? root : `${root}${sep}`);

function translate(path: string, cause: unknown): Error {
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
    return new NotFoundError(`Cannot open log file "${path}": no such file or directory`, { cause });
  }
  return new Error(`Cannot open log file "${path}"`, { cause });
}
