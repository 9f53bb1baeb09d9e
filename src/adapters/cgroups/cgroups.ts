/**
 * Control groups below one root, cgroup v1 (one folder per controller) or v2 (one tree). Creates, limits, reads,
 * empties and removes groups; decides no value. Paths are those of the kernel (`/kubepods/podX`), never host paths.
 * Groups are plain folders; those that systemd makes are finished here. Every failed write says which file and which value.
 */
import { mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { ConflictError, errnoOf } from '../../base/errors.ts';
import { type CgroupValues, v1Writes, v2Writes } from './compute-writes.ts';
import { collectPids, isThere, kill, read, removeEmpty, subfolders, write } from './group-files.ts';

export type { CgroupValues } from './compute-writes.ts';

export interface CgroupMemory {
  usageBytes: number;
  /** Usage without file pages that the kernel can drop first. */
  workingSetBytes: number;
  /** Anonymous memory. */
  rssBytes: number;
  /** Undefined: no limit. */
  limitBytes: number | undefined;
}

/** Controllers that v2 groups need from their parents. */
const v2Controllers = ['cpu', 'cpuset', 'hugetlb', 'io', 'memory', 'pids'];
/** "No limit" in v1 is a number near 2⁶³, rounded to pages. */
const v1UnlimitedBytes = 2 ** 62;
/** v1 hierarchies in which everybody who makes groups for pods makes them; others may be left out. */
const v1PodControllers = ['cpu', 'cpuacct', 'cpuset', 'hugetlb', 'memory', 'pids', 'systemd'];
const killRounds = 5;
const removeTries = 10;
const retryMs = 50;

export class Cgroups {
  readonly version: 1 | 2;
  readonly #root: string;
  /** v1: folders of the hierarchies, e.g. `cpu,cpuacct`. v2: one, empty. */
  readonly #hierarchies: readonly string[];
  readonly #clock: Clock;

  private constructor(version: 1 | 2, root: string, hierarchies: readonly string[], clock: Clock) {
    this.version = version;
    this.#root = root;
    this.#hierarchies = hierarchies;
    this.#clock = clock;
  }

  /** @param root where cgroups are mounted, usually /sys/fs/cgroup */
  static async open(root: string, clock: Clock): Promise<Cgroups> {
    if (await isThere(join(root, 'cgroup.controllers'))) return new Cgroups(2, root, [''], clock);
    let folders: string[];
    try {
      const entries = await readdir(root, { withFileTypes: true });
      folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name); // links are second names
    } catch (cause) {
      throw new Error(`Cannot use cgroups at "${root}": the folder cannot be read`, { cause });
    }
    const hierarchies = (await mountedOf(root, folders)).filter((name) => name !== 'unified').toSorted();
    if (hierarchies.length === 0) {
      throw new Error(`Cannot use cgroups at "${root}": found no controllers, expected a mounted cgroup file system`);
    }
    return new Cgroups(1, root, hierarchies, clock);
  }

  /** Whether the group is there, in every hierarchy. */
  async exists(path: string): Promise<boolean> {
    const found = await Promise.all(this.#folders(path).map(isThere));
    return found.every(Boolean);
  }

  /** Whether the group is missing where a pod's group has to be, whoever made it. */
  async isMissing(path: string): Promise<boolean> {
    assertPath(path);
    const needed = this.#hierarchies.filter(
      (hierarchy) => this.version === 2 || hierarchy.split(',').some((name) => v1PodControllers.includes(name)),
    );
    const found = await Promise.all(needed.map((hierarchy) => isThere(join(this.#root, hierarchy, path))));
    return !found.every(Boolean);
  }

  /** Makes the group and its missing parents, then applies `values`. */
  async create(path: string, values: CgroupValues): Promise<void> {
    await Promise.all(this.#hierarchies.map((hierarchy) => this.#createIn(hierarchy, path)));
    await this.update(path, values);
  }

  /** Whether anything of the group is there, in any hierarchy. */
  async isAnywhere(path: string): Promise<boolean> {
    const found = await Promise.all([...this.#folders(path), ...this.#extraFolders(path)].map(isThere));
    return found.some(Boolean);
  }

  /** Finishes a group that somebody else has made, in the hierarchies and with the controllers that he left out. */
  async adopt(path: string, values: CgroupValues): Promise<void> {
    if (this.version === 2) {
      assertPath(path);
      for (const parent of ['/', ...parentsOf(path)]) await enableControllers(join(this.#root, parent));
    }
    await this.create(path, values);
  }

  /** Writes the given values; what isn't given stays. Controllers that the host lacks are passed over. */
  async update(path: string, values: CgroupValues): Promise<void> {
    const writes = this.version === 1 ? v1Writes(values) : v2Writes(values);
    for (const { controller, file, data } of writes) {
      const folder = await this.#folderOf(controller, path);
      if (folder === undefined) continue;
      await write(join(folder, file), data);
    }
  }

  /** Kills what still runs in the group and below, then removes it. A group that isn't there is success. */
  async remove(path: string, signal: AbortSignal): Promise<void> {
    assertInner(path);
    const folders = [...this.#folders(path), ...this.#extraFolders(path)];
    // Usually the runtime has left nothing: then one call per hierarchy will do.
    if ((await Promise.all(folders.map(removeEmpty))).every(Boolean)) return;
    await this.empty(path, signal);
    for (const folder of folders) await this.#removeFolder(folder, signal);
  }

  /** Kills what runs in the group and below, as often as something new appears. */
  async empty(path: string, signal: AbortSignal): Promise<void> {
    assertInner(path);
    for (let round = 0; round < killRounds && !signal.aborted; round++) {
      const pids = await this.pids(path);
      if (pids.length === 0) break;
      for (const pid of pids) kill(pid);
      await this.#clock.sleep(retryMs * (round + 1), signal);
    }
  }

  /** Names of the groups directly below; none when `path` isn't there. */
  async children(path: string): Promise<string[]> {
    const names = new Set<string>();
    for (const folder of this.#folders(path)) for (const name of await subfolders(folder)) names.add(name);
    return [...names].toSorted();
  }

  /** Processes in the group and all groups below it. */
  async pids(path: string): Promise<number[]> {
    const pids = new Set<number>();
    for (const folder of this.#folders(path)) await collectPids(folder, pids);
    return [...pids].toSorted((a, b) => a - b);
  }

  /** Undefined when the group, or the controller, isn't there. */
  async memory(path: string): Promise<CgroupMemory | undefined> {
    const folder = await this.#folderOf('memory', path);
    if (folder === undefined) return undefined;
    const isV1 = this.version === 1;
    const [usage, limit, stat] = await Promise.all([
      read(join(folder, isV1 ? 'memory.usage_in_bytes' : 'memory.current')),
      read(join(folder, isV1 ? 'memory.limit_in_bytes' : 'memory.max')),
      read(join(folder, 'memory.stat')),
    ]);
    if (usage === undefined || stat === undefined) return undefined;
    const field = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
    const usageBytes = Number(usage);
    const limitBytes = limit === undefined || limit === 'max' ? undefined : Number(limit);
    return {
      usageBytes,
      workingSetBytes: Math.max(0, usageBytes - field(isV1 ? 'total_inactive_file' : 'inactive_file')),
      rssBytes: field(isV1 ? 'total_rss' : 'anon'),
      limitBytes: limitBytes === undefined || limitBytes >= v1UnlimitedBytes ? undefined : limitBytes,
    };
  }

  /** Of all processes of the machine. @param machineBytes the memory that there is */
  async rootMemory(machineBytes: number): Promise<CgroupMemory | undefined> {
    if (this.version === 1) {
      const seen = await this.memory('/');
      return seen === undefined ? undefined : { ...seen, limitBytes: machineBytes };
    }
    // the root of v2 has no memory.current
    const stat = await read(join(this.#root, 'memory.stat'));
    if (stat === undefined) return undefined;
    const field = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
    const usageBytes = field('anon') + field('file');
    return {
      usageBytes,
      workingSetBytes: Math.max(0, usageBytes - field('inactive_file')),
      rssBytes: field('anon'),
      limitBytes: machineBytes,
    };
  }

  /** CPU time per period of `cpuPeriodMicros`; undefined without a limit, or without the group. */
  async cpuQuotaMicros(path: string): Promise<number | undefined> {
    const folder = await this.#folderOf('cpu', path);
    if (folder === undefined) return undefined;
    const text = await read(join(folder, this.version === 1 ? 'cpu.cfs_quota_us' : 'cpu.max'));
    const quota = Number(text?.split(' ')[0] ?? -1);
    return quota > 0 ? quota : undefined; // "max" is no number
  }

  /** Whether swap can be limited in this group: v2 with swap accounting. */
  async hasSwapLimit(path: string): Promise<boolean> {
    assertPath(path);
    return this.version === 2 && (await isThere(join(this.#root, path, 'memory.swap.max')));
  }

  /** CPU time used since the group exists, in ns; undefined when the group, or the controller, isn't there. */
  async cpuUsageNs(path: string): Promise<number | undefined> {
    const folder = await this.#folderOf(this.version === 1 ? 'cpuacct' : 'cpu', path);
    if (folder === undefined) return undefined;
    if (this.version === 1) {
      const text = await read(join(folder, 'cpuacct.usage'));
      return text === undefined ? undefined : Number(text);
    }
    const micros = /^usage_usec (\d+)$/m.exec((await read(join(folder, 'cpu.stat'))) ?? '')?.[1];
    return micros === undefined ? undefined : Number(micros) * 1000;
  }

  /** The group in one hierarchy; its parents are looked at only when they are missing. */
  async #createIn(hierarchy: string, path: string): Promise<void> {
    if (this.version === 2) {
      for (const parent of [...parentsOf(path), path]) await this.#createOne(hierarchy, parent);
    } else if (!(await this.#createOne(hierarchy, path))) {
      for (const parent of [...parentsOf(path), path]) await this.#createOne(hierarchy, parent);
    }
  }

  /** False when its parent is missing. */
  async #createOne(hierarchy: string, path: string): Promise<boolean> {
    const folder = join(this.#root, hierarchy, path);
    const parent = join(folder, '..');
    if (this.version === 2 && !(await isThere(folder))) await enableControllers(parent);
    try {
      await mkdir(folder);
    } catch (cause) {
      const code = errnoOf(cause);
      if (code === 'EEXIST') return true;
      if (code === 'ENOENT') return false;
      throw new Error(`Cannot make cgroup "${folder}"`, { cause });
    }
    // a v1 group without CPUs and memory nodes takes no process
    if (this.version === 1 && hierarchy.split(',').includes('cpuset')) {
      for (const file of ['cpuset.cpus', 'cpuset.mems']) {
        const inherited = await read(join(parent, file));
        if (inherited !== undefined && inherited !== '') await write(join(folder, file), inherited);
      }
    }
    return true;
  }

  async #removeFolder(folder: string, signal: AbortSignal): Promise<void> {
    for (const name of await subfolders(folder)) await this.#removeFolder(join(folder, name), signal);
    for (let attempt = 1; ; attempt++) {
      try {
        await rmdir(folder);
        return;
      } catch (cause) {
        const code = errnoOf(cause);
        if (code === 'ENOENT') return;
        // control files vanish with their group; only a plain folder in the place of a cgroup file system keeps them
        if (code === 'ENOTEMPTY') return await rm(folder, { recursive: true, force: true });
        if (code !== 'EBUSY' || attempt === removeTries || signal.aborted) {
          throw new ConflictError(
            `Cannot remove cgroup "${folder}": ${code ?? 'failed'}, processes may still leave it`,
            {
              cause,
            },
          );
        }
        await this.#clock.sleep(retryMs, signal);
      }
    }
  }

  #folders(path: string): string[] {
    assertPath(path);
    return this.#hierarchies.map((hierarchy) => join(this.#root, hierarchy, path));
  }

  /** On a hybrid host runtimes may make groups in the controller-less v2 tree, too. */
  #extraFolders(path: string): string[] {
    return this.version === 1 ? [join(this.#root, 'unified', path)] : [];
  }

  /** The folder where a controller's files of this group are; undefined when the host has none. */
  async #folderOf(controller: string, path: string): Promise<string | undefined> {
    assertPath(path);
    if (this.version === 1) {
      const hierarchy = this.#hierarchies.find((name) => name.split(',').includes(controller));
      return hierarchy === undefined ? undefined : join(this.#root, hierarchy, path);
    }
    const available = (await read(join(this.#root, 'cgroup.controllers'))) ?? '';
    return available.split(/\s+/).includes(controller) ? join(this.#root, path) : undefined;
  }
}

/** systemd leaves empty folders for hierarchies that it could not mount. Where nothing is mounted, folders stand for them. */
async function mountedOf(root: string, folders: readonly string[]): Promise<readonly string[]> {
  const isMounted = await Promise.all(folders.map((name) => isThere(join(root, name, 'cgroup.procs'))));
  return isMounted.some(Boolean) ? folders.filter((_, i) => isMounted[i]) : folders;
}

/** Lets children of `folder` use the controllers that it has itself. */
async function enableControllers(folder: string): Promise<void> {
  const available = ((await read(join(folder, 'cgroup.controllers'))) ?? '').split(/\s+/);
  const enabled = ((await read(join(folder, 'cgroup.subtree_control'))) ?? '').split(/\s+/);
  const missing = v2Controllers.filter((name) => available.includes(name) && !enabled.includes(name));
  if (missing.length === 0) return;
  await write(join(folder, 'cgroup.subtree_control'), missing.map((name) => `+${name}`).join(' '));
}

function parentsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.slice(0, -1).map((_, i) => `/${parts.slice(0, i + 1).join('/')}`);
}

function assertPath(path: string): void {
  const isClean = posix.normalize(path) === path && (path === '/' || !path.endsWith('/'));
  if (!path.startsWith('/') || !isClean || path.includes('\0')) {
    throw new RangeError(`Cannot use cgroup path "${path}": expected an absolute path without "..", "." or "//"`);
  }
}

function assertInner(path: string): void {
  assertPath(path);
  if (path === '/') throw new RangeError('Cannot remove cgroup "/": it is the root');
}
