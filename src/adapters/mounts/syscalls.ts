/**
 * The system calls that Node lacks, through libc. The only file that imports koffi.
 *
 * Calls run on koffi's own worker threads, so a slow one blocks neither the event loop nor Node's file operations.
 * A call cannot be taken back: nothing that may hang for ever (a dead NFS server) belongs here.
 */
import koffi from 'koffi';
import { Semaphore } from '../../base/semaphore.ts';

/** A system call that failed: which one, on what, and why. `code` is the errno name, as in Node's own errors. */
export class SyscallError extends Error {
  override name = 'SyscallError';
  readonly code: string;
  readonly syscall: string;
  readonly path: string;
  constructor(syscall: string, path: string, code: string) {
    super(`Cannot ${syscall} "${path}": ${describeErrno(code)}`);
    this.code = code;
    this.syscall = syscall;
    this.path = path;
  }
}

const meanings: Record<string, string> = {
  EACCES: 'permission denied',
  EBUSY: 'in use',
  EEXIST: 'exists already',
  EINVAL: 'invalid argument',
  ELOOP: 'a symbolic link is in the way',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  EPERM: 'operation not permitted',
  EXDEV: 'the path leaves its directory or its file system',
};

const describeErrno = (code: string): string => (meanings[code] === undefined ? code : `${meanings[code]} (${code})`);

const errnoNames = new Map<number, string>(
  Object.entries(koffi.os.errno)
    .reverse() // of two names for one number the first listed wins: EAGAIN, not EWOULDBLOCK
    .map(([name, number]): [number, string] => [number, name]),
);

/** koffi throws when more than 256 calls are queued; we queue ourselves, with room for others. */
const callsMax = 64;
const calls = new Semaphore(callsMax);

type AsyncFunction = { async: (...args: unknown[]) => void };

interface Functions {
  mount: AsyncFunction;
  umount2: AsyncFunction;
  openat2: AsyncFunction;
}

let loaded: Functions | undefined;

/** libc is opened at the first call, not on import: commands that never mount never pay for it. */
function functions(): Functions {
  if (loaded === undefined) {
    const libc = koffi.load(null);
    loaded = {
      mount: libc.func(
        'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
      ),
      umount2: libc.func('int umount2(const char *target, int flags)'),
      // glibc has no wrapper for openat2; syscall(2) takes whole numbers and pointers the way an ordinary function does.
      openat2: libc.func('long syscall(long number, long dirfd, const void *path, const void *how, size_t size)'),
    };
  }
  return loaded;
}

/** Arguments of calls in progress: a worker reads buffers while JavaScript might let go of them. */
const inProgress = new Set<readonly unknown[]>();

/** Runs one call and returns its result. @throws {SyscallError} when it returns less than 0 */
async function call(
  name: keyof Functions,
  path: string,
  args: readonly unknown[],
  signal: AbortSignal,
): Promise<number> {
  return await calls.with(signal, () => {
    return new Promise<number>((resolve, reject) => {
      inProgress.add(args);
      functions()[name].async(...args, (err: Error | null, result: number) => {
        inProgress.delete(args);
        if (err !== null) reject(err);
        else if (result >= 0) resolve(Number(result));
        else {
          const errno = koffi.errno();
          reject(new SyscallError(name, path, errnoNames.get(errno) ?? `errno ${errno}`));
        }
      });
    });
  });
}

/** A path for the kernel: not empty, no NUL inside (C would cut it there), not longer than PATH_MAX. */
function checkedPath(path: string): string {
  if (path === '' || path.includes('\0')) throw new TypeError(`Cannot use ${JSON.stringify(path)} as a path`);
  if (Buffer.byteLength(path) > 4095) throw new TypeError(`Cannot use a path of more than 4095 bytes`);
  return path;
}

function checkedAbsolute(path: string): string {
  if (!path.startsWith('/')) throw new TypeError(`Cannot mount with the relative path "${path}"`);
  return checkedPath(path);
}

export const mountFlags = {
  readOnly: 1,
  noSuid: 2,
  noDev: 4,
  noExec: 8,
  remount: 32,
  noAtime: 1024,
  noDirAtime: 2048,
  bind: 4096,
  recursive: 16384,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relAtime: 1 << 21,
} as const;

/** mount(2). `source` is a path for binds, otherwise a word that shows in the mount table. */
export async function mount(
  { source, target, type, flags, data }: { source: string; target: string; type: string; flags: number; data: string },
  signal: AbortSignal,
): Promise<void> {
  if ((flags & mountFlags.bind) !== 0 && (flags & mountFlags.remount) === 0) checkedAbsolute(source);
  if ((type + data + source).includes('\0')) throw new TypeError('Cannot mount: an option contains a NUL');
  await call('mount', target, [source, checkedAbsolute(target), type, flags, data], signal);
}

/** Always UMOUNT_NOFOLLOW: a target that somebody replaced by a link is not followed. */
const umountNoFollow = 8;

export async function umount(target: string, signal: AbortSignal): Promise<void> {
  await call('umount2', target, [checkedAbsolute(target), umountNoFollow], signal);
}

export const openFlags = {
  path: 0o10000000,
  closeOnExec: 0o2000000,
  directory: process.arch === 'arm64' ? 0o40000 : 0o200000,
  noFollow: process.arch === 'arm64' ? 0o100000 : 0o400000,
} as const;

export const resolveFlags = {
  /** No component may be a mount point of any kind, bind mounts of the same file system included: EXDEV. */
  noXdev: 0x01,
  noMagicLinks: 0x02,
  noSymlinks: 0x04,
  /** Nothing may lead above the starting directory: no `..`, no absolute path, no link out of it: EXDEV. */
  beneath: 0x08,
  /** `/` and absolute links mean the starting directory, as after chroot. */
  inRoot: 0x10,
} as const;

const openat2Number = 437; // the same on every architecture

/** openat2(2). File names are bytes: a name that is not UTF-8 is passed as a buffer. @returns a descriptor to close */
export async function openat2(
  dirfd: number,
  path: string | Buffer,
  { flags, resolve }: { flags: number; resolve: number },
  signal: AbortSignal,
): Promise<number> {
  const shown = path.toString();
  if (!Number.isInteger(dirfd) || dirfd < 0) throw new TypeError(`Cannot open "${shown}" below descriptor ${dirfd}`);
  checkedPath(shown);
  const bytes = Buffer.concat([typeof path === 'string' ? Buffer.from(path) : path, Buffer.alloc(1)]);
  const how = Buffer.alloc(24); // struct open_how { u64 flags; u64 mode; u64 resolve; }
  how.writeBigUInt64LE(BigInt(flags | openFlags.closeOnExec), 0);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  return await call('openat2', shown, [openat2Number, dirfd, bytes, how, how.length], signal);
}
