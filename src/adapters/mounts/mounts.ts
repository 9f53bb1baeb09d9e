/**
 * Mounts and safe paths: the only place that speaks to the kernel about them.
 *
 * Owns nothing between calls. Promises: arguments are checked before the kernel sees them; unmounting and deleting
 * what is gone succeeds; deleting never crosses a mount point; opening below a directory never leaves it. Errors
 * carry the operation, the path and the errno name (`errnoOf` of base/errors.ts).
 * Needs root (CAP_SYS_ADMIN) for mounting.
 */
import { mkdir, readFile, realpath, rmdir } from 'node:fs/promises';
import { release } from 'node:os';
import { basename, dirname } from 'node:path';
import { errnoOf } from '../../base/errors.ts';
import { CommandError, runCommand } from '../processes/processes.ts';
import { type DiskMount, formatAndMount } from './block-devices.ts';
import { type FileSystemMount, MountCommands } from './mount-commands.ts';
import { type MountEntry, mountOf, parseMountinfo } from './mountinfo.ts';
import { type FileInside, openBeneath, openDirectory, readFileIn } from './open-path.ts';
import { bindSubPath, makeSubPath, removeSubPathBinds } from './sub-paths.ts';
import { mount, mountFlags, umount } from './syscalls.ts';
import { type GroupChange, changeGroup, removeEmptyDirectories, removeTree } from './trees.ts';

export type { DiskMount } from './block-devices.ts';
export type { FileSystemMount } from './mount-commands.ts';
export type { MountEntry } from './mountinfo.ts';
export type { GroupChange } from './trees.ts';

/** Mounts stacked on one place beyond this are taken for somebody mounting in a loop. */
const stackedMax = 32;
/** What a mount says of a file system and a bind of it must not lose. */
const keptOptions: ReadonlySet<string> = new Set([
  'ro',
  'nodev',
  'noexec',
  'nosuid',
  'noatime',
  'relatime',
  'nodiratime',
]);

export class Mounts {
  #canNoSwap: boolean | undefined;
  readonly #commands = new MountCommands();

  /**
   * A file system in memory. It never holds more than `sizeBytes` (half of the memory when undefined); its pages are
   * not swapped where the kernel can promise that.
   */
  async mountTmpfs(
    target: string,
    { sizeBytes }: { sizeBytes: number | undefined },
    signal: AbortSignal,
  ): Promise<void> {
    if (sizeBytes !== undefined && (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0)) {
      throw new RangeError(
        `Cannot mount a tmpfs of ${sizeBytes} bytes on "${target}": expected a whole number above 0`,
      );
    }
    const tmpfs = { source: 'tmpfs', target, type: 'tmpfs', flags: 0 };
    const size = sizeBytes === undefined ? [] : [`size=${sizeBytes}`];
    this.#canNoSwap ??= (await this.#isInUserNamespace()) ? false : kernelHasNoSwap(release()) ? true : undefined;
    if (this.#canNoSwap !== false) {
      try {
        await mount({ ...tmpfs, data: [...size, 'noswap'].join() }, signal);
        this.#canNoSwap = true;
        return;
      } catch (err) {
        // An older kernel doesn't know the option. Where it does, the reason lies elsewhere.
        if (this.#canNoSwap === true || errnoOf(err) !== 'EINVAL') throw err;
        this.#canNoSwap = false;
      }
    }
    await mount({ ...tmpfs, data: size.join() }, signal);
  }

  /** Whether file systems in memory stay out of swap. @param probe a directory to try it on: it is made and removed */
  async canNoSwap(probe: string, signal: AbortSignal): Promise<boolean> {
    if (this.#canNoSwap === undefined) {
      await mkdir(probe, { recursive: true, mode: 0o750 });
      await this.mountTmpfs(probe, { sizeBytes: 4096 }, signal);
      await this.unmount(probe, signal);
      await rmdir(probe);
    }
    return this.#canNoSwap === true;
  }

  /** A file system of huge pages. @param pageSize as the kernel reads it: `2M`, `2Mi` */
  async mountHugetlbfs(target: string, pageSize: string, signal: AbortSignal): Promise<void> {
    if (!/^\d+[KMG]?i?$/.test(pageSize)) {
      throw new RangeError(`Cannot mount huge pages of "${pageSize}" on "${target}": expected a size like 2Mi`);
    }
    await mount({ source: 'nodev', target, type: 'hugetlbfs', flags: 0, data: `pagesize=${pageSize}` }, signal);
  }

  /** Shows `source` (a file or a directory, also `/proc/self/fd/N`) at `target`, without what is mounted below it. */
  async bind(source: string, target: string, signal: AbortSignal): Promise<void> {
    await mount({ source, target, type: '', flags: mountFlags.bind, data: '' }, signal);
  }

  /** Takes off everything that is mounted at `target`. Success when nothing is, or when `target` is not there. */
  async unmount(target: string, signal: AbortSignal): Promise<void> {
    for (let taken = 0; taken < stackedMax; taken++) {
      try {
        await umount(target, signal);
      } catch (err) {
        const code = errnoOf(err);
        if (code === 'EINVAL' || code === 'ENOENT') return; // not a mount point (any more)
        throw err;
      }
    }
    throw new Error(`Cannot unmount "${target}": more than ${stackedMax} mounts lie on each other`);
  }

  /** Mounts what a file server or a device holds, in a child process that may be abandoned. */
  mountFileSystem(wanted: FileSystemMount, signal: AbortSignal): Promise<void> {
    return this.#commands.mount(wanted, signal);
  }

  /** Shows `source` at `target` with options, in a child process that may be abandoned; a bind that is there gets them. */
  async bindWithOptions(bind: Omit<FileSystemMount, 'type'>, signal: AbortSignal): Promise<void> {
    const find = async (): Promise<MountEntry | undefined> =>
      (await this.listMounts()).findLast(({ target }) => target === bind.target);
    // The bind itself has them from what it shows, wherever the links in the source's path lead.
    const kept = async (): Promise<string[]> =>
      ((await find())?.options ?? []).filter((option) => keptOptions.has(option));
    await this.#commands.bind(bind, { kept, isThere: (await find()) !== undefined }, signal);
  }

  /** Mounts a block device, formatted first when nothing at all is on it. */
  formatAndMount(disk: DiskMount, signal: AbortSignal): Promise<void> {
    return formatAndMount(disk, this.#commands, signal);
  }

  /**
   * Takes off everything that is mounted at `target`, in child processes that may be abandoned; success when nothing is.
   * What is mounted is read from the kernel's table: looking at the place itself may never end.
   */
  async unmountFileSystem(
    target: string,
    { isForced = false }: { isForced?: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    for (let taken = 0; taken < stackedMax; taken++) {
      if (!(await this.listMounts()).some((entry) => entry.target === target)) return;
      await this.#commands.unmount(target, { isForced }, signal);
    }
    throw new Error(`Cannot unmount "${target}": more than ${stackedMax} mounts lie on each other`);
  }

  /** Whether something is mounted exactly here, binds of the same file system included. False when nothing is there. */
  async isMountPoint(path: string, signal: AbortSignal): Promise<boolean> {
    try {
      await using parent = await openDirectory(dirname(path));
      await using entry = await openBeneath(parent, basename(path), { links: 'none', mountPoints: 'refuse' }, signal);
      return entry.fd < 0; // opened, so it is none
    } catch (err) {
      const code = errnoOf(err);
      if (code === 'EXDEV') return true;
      if (code === 'ENOENT' || code === 'ELOOP') return false;
      throw err;
    }
  }

  /** The kernel's mount table as this process sees it. */
  async listMounts(): Promise<MountEntry[]> {
    return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  }

  /**
   * Makes a directory (made when missing, 0750) lie on a mount that is shared with the namespaces of containers, so
   * that mounts below it can travel. A mount that is shared already is left alone.
   */
  async ensureShared(directory: string, signal: AbortSignal): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o750 });
    const path = await realpath(directory);
    const found = mountOf(await this.listMounts(), path);
    if (found?.propagation.some((tag) => tag.startsWith('shared:')) === true) return;
    if (found?.target !== path) await this.bind(path, path, signal);
    const flags = mountFlags.shared | mountFlags.recursive;
    await mount({ source: '', target: path, type: '', flags, data: '' }, signal);
  }

  /**
   * The mode (type and permissions) of what a path leads to, undefined when there is nothing. A child process looks:
   * a path of the user's choice may lie on a dead network mount, and then the child hangs, not one of our threads. A
   * caller that has waited long enough abandons the promise.
   */
  async modeOf(path: string, signal: AbortSignal): Promise<number | undefined> {
    try {
      const args = ['-L', '--format=%f', '--', path];
      const { stdout } = await runCommand('stat', args, { env: { LC_ALL: 'C' }, signal });
      return Number.parseInt(stdout, 16);
    } catch (err) {
      if (err instanceof CommandError && /No such file or directory|Not a directory/.test(err.stderr)) return undefined;
      throw err;
    }
  }

  /** Mode and group of what a path leads to, asked by a child process as `modeOf` does. */
  async ownerOf(path: string, signal: AbortSignal): Promise<{ mode: number; gid: number }> {
    const args = ['-L', '--format=%f %g', '--', path];
    const { stdout } = await runCommand('stat', args, { env: { LC_ALL: 'C' }, signal });
    const [mode = '', gid = ''] = stdout.trim().split(' ');
    return { mode: Number.parseInt(mode, 16), gid: Number(gid) };
  }

  removeTree(path: string, signal: AbortSignal): Promise<void> {
    return removeTree(path, signal);
  }

  removeEmptyDirectories(path: string, signal: AbortSignal): Promise<void> {
    return removeEmptyDirectories(path, signal);
  }

  changeGroup(
    path: string,
    change: GroupChange,
    signal: AbortSignal,
  ): Promise<{ failures: number; firstFailure: unknown }> {
    return changeGroup(path, change, signal);
  }

  readFileIn(file: FileInside, signal: AbortSignal): Promise<Buffer> {
    return readFileIn(file, signal);
  }

  makeSubPath(path: { volumePath: string; subPath: string; mode?: number }, signal: AbortSignal): Promise<void> {
    return makeSubPath(path, signal);
  }

  bindSubPath(bind: { volumePath: string; subPath: string; target: string }, signal: AbortSignal): Promise<void> {
    return bindSubPath(bind, this, signal);
  }

  removeSubPathBinds(directory: string, signal: AbortSignal): Promise<void> {
    return removeSubPathBinds(directory, this, signal);
  }

  /** In a user namespace the kernel refuses the option. */
  async #isInUserNamespace(): Promise<boolean> {
    const map = await readFile('/proc/self/uid_map', 'utf8').catch(() => ''); // no such file: no such namespaces
    return map !== '' && !/^\s*0\s+0\s+4294967295\s*$/.test(map);
  }
}

/** tmpfs knows `noswap` since Linux 6.4. */
export function kernelHasNoSwap(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split('.').map((part) => Number.parseInt(part, 10));
  return major > 6 || (major === 6 && minor >= 4);
}
