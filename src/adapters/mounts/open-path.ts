/**
 * Files and directories held open by descriptor, so that what was checked is what is used: nobody can put a link in
 * its place in between.
 */
import { close as closeWithCallback, constants, open as openWithCallback } from 'node:fs';
import { open as openFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { openFlags, openat2, resolveFlags } from './syscalls.ts';

const openFd = promisify(openWithCallback);
const closeFd = promisify(closeWithCallback);

/** Something held open. Use with `await using`, or close it. */
export class OpenPath implements AsyncDisposable {
  readonly fd: number;
  /** Names the open thing itself, wherever it has been moved; good for every call that takes a path. */
  readonly path: string;
  #isClosed = false;

  constructor(fd: number) {
    this.fd = fd;
    this.path = `/proc/self/fd/${fd}`;
  }

  /** The path of one entry of this directory. @throws {TypeError} when `name` is not a single name */
  at(name: string): string {
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
      throw new TypeError(`Cannot use ${JSON.stringify(name)} as a file name`);
    }
    return `${this.path}/${name}`;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return; // the number may belong to somebody else by now
    this.#isClosed = true;
    await closeFd(this.fd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Holds a directory open. The last name of the path must not be a link. */
export async function openDirectory(path: string): Promise<OpenPath> {
  return new OpenPath(await openFd(path, openFlags.path | openFlags.directory | openFlags.noFollow));
}

/** Holds anything open, following links: for paths that a cluster's administrator chose. */
export async function openAnything(path: string): Promise<OpenPath> {
  return new OpenPath(await openFd(path, openFlags.path));
}

export interface BeneathOptions {
  /** `none`: a link anywhere on the way is an error (ELOOP). `inside`: links are followed while they stay inside. */
  links: 'none' | 'inside';
  /** Whether it must be a directory (ENOTDIR). */
  directory?: boolean;
  /** `refuse`: a mount point anywhere on the way is an error (EXDEV). */
  mountPoints?: 'cross' | 'refuse';
}

/** Holds open what lies at a relative path below an open directory. @throws {SyscallError} EXDEV when it leads outside */
export async function openBeneath(
  root: OpenPath,
  path: string | Buffer,
  { links, directory = false, mountPoints = 'cross' }: BeneathOptions,
  signal: AbortSignal,
): Promise<OpenPath> {
  const resolve =
    resolveFlags.beneath |
    resolveFlags.noMagicLinks |
    (links === 'none' ? resolveFlags.noSymlinks : 0) |
    (mountPoints === 'refuse' ? resolveFlags.noXdev : 0);
  const flags = openFlags.path | (directory ? openFlags.directory : 0);
  return new OpenPath(await openat2(root.fd, path, { flags, resolve }, signal));
}

export interface FileInside {
  /** The directory that the path cannot leave. */
  root: string;
  path: string;
  /** A larger file is an error. */
  maxBytes: number;
}

/**
 * Reads an ordinary file inside a directory that others may write to. Links are followed as if the directory were the
 * root of the file system, so they cannot lead out; a FIFO or device is refused before it is opened.
 */
export async function readFileIn({ root, path, maxBytes }: FileInside, signal: AbortSignal): Promise<Buffer> {
  await using directory = await openDirectory(root);
  const resolve = resolveFlags.inRoot | resolveFlags.noMagicLinks;
  await using found = new OpenPath(await openat2(directory.fd, path, { flags: openFlags.path, resolve }, signal));
  if (!(await stat(found.path)).isFile()) throw new Error(`Cannot read "${path}" in "${root}": it is not a file`);
  const file = await openFile(found.path, constants.O_RDONLY);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes + 1), 0, maxBytes + 1, 0);
    if (bytesRead > maxBytes)
      throw new Error(`Cannot read "${path}" in "${root}": it is larger than ${maxBytes} bytes`);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
