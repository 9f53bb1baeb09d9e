/**
 * The machine: who it is, how large, which addresses. Reads /proc, /sys and /etc (their roots are parameters) and
 * never starts a process. Facts that cannot change while we run are read once per `facts()`.
 */
import { readFile, readdir, statfs, writeFile } from 'node:fs/promises';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { arch, networkInterfaces, release } from 'node:os';
import { join } from 'node:path';
import {
  defaultInterfaces,
  goArchitecture,
  parseCpuList,
  parseHugepageSize,
  parseMeminfo,
  parseOsRelease,
} from './parse-host.ts';

export interface HugepagePool {
  sizeBytes: number;
  pages: number;
}

export interface HostFacts {
  machineId: string;
  bootId: string;
  systemUuid: string;
  kernelVersion: string;
  osImage: string;
  /** As Go names it: amd64, arm64 … */
  architecture: string;
  cpuCount: number;
  memoryBytes: number;
  swapBytes: number;
  /** Every supported page size, pools of 0 pages too; small sizes first. */
  hugepages: readonly HugepagePool[];
  /** Process ids that the kernel hands out at most. */
  pidMax: number;
  isAppArmorEnabled: boolean;
  isSeLinuxEnabled: boolean;
  /** Folders to be masked in containers; none on most virtual machines. */
  thermalThrottlePaths: readonly string[];
}

export interface HostAddress {
  interfaceName: string;
  address: string;
  family: 4 | 6;
  /** Loopback, link-local and the like: no address to reach a node by. */
  isLocal: boolean;
}

export interface Filesystem {
  capacityBytes: number;
  availableBytes: number;
  inodes: number;
  inodesFree: number;
}

export interface HostRoots {
  proc: string;
  sys: string;
  etc: string;
  usrLib: string;
  varLib: string;
}

const systemRoots: HostRoots = { proc: '/proc', sys: '/sys', etc: '/etc', usrLib: '/usr/lib', varLib: '/var/lib' };

/** CAP_SYS_RESOURCE in the kernel's bit sets. */
const sysResource = 1n << 24n;

export class Host {
  readonly #roots: HostRoots;

  constructor(roots: Partial<HostRoots> = {}) {
    this.#roots = { ...systemRoots, ...roots };
  }

  async facts(): Promise<HostFacts> {
    const { proc, sys, etc, usrLib, varLib } = this.#roots;
    const machineId = await firstText([join(etc, 'machine-id'), join(varLib, 'dbus/machine-id')]);
    const { memoryBytes, swapBytes } = await this.memory();
    const cpuCount = await this.#cpuCount();
    const pidLimits = await Promise.all(
      ['sys/kernel/pid_max', 'sys/kernel/threads-max'].map(async (file) => Number(await textOf(join(proc, file)))),
    );
    const osRelease = await firstText([join(etc, 'os-release'), join(usrLib, 'os-release')]);
    const systemUuid = await firstText([
      join(sys, 'class/dmi/id/product_uuid'),
      join(proc, 'device-tree/system-id'),
      join(proc, 'device-tree/vm,uuid'),
      join(etc, 'machine-id'),
    ]);
    return {
      machineId,
      bootId: await textOf(join(proc, 'sys/kernel/random/boot_id')),
      systemUuid: systemUuid.replaceAll('\0', ''),
      kernelVersion: (await textOf(join(proc, 'sys/kernel/osrelease'))) || release(),
      osImage: parseOsRelease(osRelease)['PRETTY_NAME'] ?? 'Unknown',
      architecture: goArchitecture(arch()),
      cpuCount,
      memoryBytes,
      swapBytes,
      hugepages: await this.#hugepages(),
      pidMax: Math.min(...pidLimits.filter((limit) => limit > 0)),
      isAppArmorEnabled: (await textOf(join(sys, 'module/apparmor/parameters/enabled'))).startsWith('Y'),
      isSeLinuxEnabled: (await textOf(join(sys, 'fs/selinux/enforce'))) !== '',
      thermalThrottlePaths: await this.#thermalThrottlePaths(),
    };
  }

  /** Total memory and swap. */
  async memory(): Promise<{ memoryBytes: number; swapBytes: number }> {
    const file = join(this.#roots.proc, 'meminfo');
    const { MemTotal, SwapTotal = 0 } = parseMeminfo(await textOf(file));
    if (MemTotal === undefined) throw new Error(`Cannot tell the memory of this machine: "${file}" has no MemTotal`);
    return { memoryBytes: MemTotal, swapBytes: SwapTotal };
  }

  /** When the machine started, ms since the epoch; undefined where the kernel does not say. */
  async bootedMs(): Promise<number | undefined> {
    const seconds = /^btime (\d+)$/m.exec(await textOf(join(this.#roots.proc, 'stat')))?.[1];
    return seconds === undefined ? undefined : Number(seconds) * 1000;
  }

  /** Processes and threads that there are now. */
  async taskCount(): Promise<number | undefined> {
    const count = /^\S+ \S+ \S+ \d+\/(\d+)/.exec(await textOf(join(this.#roots.proc, 'loadavg')))?.[1];
    return count === undefined ? undefined : Number(count);
  }

  /** Addresses of all interfaces, in the kernel's order. */
  addresses(): HostAddress[] {
    return Object.entries(networkInterfaces()).flatMap(([interfaceName, addresses = []]) =>
      addresses.map(({ address, family, internal }) => ({
        interfaceName,
        address,
        family: family === 'IPv6' ? 6 : 4,
        isLocal: internal || /^(127\.|169\.254\.|fe[89ab][0-9a-f]:|::1$)/i.test(address),
      })),
    );
  }

  /** The first address of the interface that has the default route of this family; undefined when there is none. */
  async defaultRouteAddress(family: 4 | 6): Promise<string | undefined> {
    const text = await textOf(join(this.#roots.proc, family === 4 ? 'net/route' : 'net/ipv6_route'));
    const addresses = this.addresses();
    for (const name of defaultInterfaces(text, family)) {
      const found = addresses.find((a) => a.interfaceName === name && a.family === family && !a.isLocal);
      if (found !== undefined) return found.address;
    }
    return undefined;
  }

  /** What the host's name service says about a name; none when it doesn't know it. */
  async lookup(name: string): Promise<string[]> {
    if (isIP(name) !== 0) return [name];
    try {
      return (await lookup(name, { all: true })).map(({ address }) => address);
    } catch {
      return []; // an unknown name is an answer, too: the caller looks elsewhere
    }
  }

  /** Of the file system that holds `path`. */
  async filesystem(path: string): Promise<Filesystem> {
    try {
      const { bsize, blocks, bavail, files, ffree } = await statfs(path);
      return {
        capacityBytes: bsize * blocks,
        availableBytes: bsize * bavail,
        inodes: files,
        inodesFree: ffree,
      };
    } catch (cause) {
      throw new Error(`Cannot tell the space of the file system at "${path}"`, { cause });
    }
  }

  /**
   * This process's own place in the order in which the kernel kills when memory is short.
   *
   * @throws {Error} when it would be lowered without CAP_SYS_RESOURCE
   */
  async setOwnOomScoreAdj(value: number): Promise<void> {
    const file = join(this.#roots.proc, 'self/oom_score_adj');
    try {
      await writeFile(file, String(value));
    } catch (cause) {
      throw new Error(`Cannot write "${value}" to "${file}": lowering it needs CAP_SYS_RESOURCE`, { cause });
    }
  }

  /**
   * The lowest `oom_score_adj` that processes of this machine's owner may get: this process's own, where it lacks
   * CAP_SYS_RESOURCE; undefined where there is no such bound.
   */
  async oomScoreFloor(): Promise<number | undefined> {
    const status = await textOf(join(this.#roots.proc, 'self/status'));
    const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
    if ((capabilities & sysResource) !== 0n) return undefined;
    return Number(await textOf(join(this.#roots.proc, 'self/oom_score_adj'))) || 0;
  }

  async #cpuCount(): Promise<number> {
    const file = join(this.#roots.sys, 'devices/system/cpu/online');
    const count = parseCpuList(await textOf(file)).length;
    if (count > 0) return count;
    const info = await textOf(join(this.#roots.proc, 'cpuinfo'));
    const processors = info.match(/^processor\s*:/gm)?.length ?? 0;
    if (processors === 0) throw new Error(`Cannot count the CPUs of this machine: "${file}" lists none`);
    return processors;
  }

  async #hugepages(): Promise<HugepagePool[]> {
    const folder = join(this.#roots.sys, 'kernel/mm/hugepages');
    const pools: HugepagePool[] = [];
    for (const name of await namesIn(folder)) {
      const sizeBytes = parseHugepageSize(name);
      if (sizeBytes === undefined) continue;
      pools.push({ sizeBytes, pages: Number(await textOf(join(folder, name, 'nr_hugepages'))) });
    }
    return pools.toSorted((a, b) => a.sizeBytes - b.sizeBytes);
  }

  async #thermalThrottlePaths(): Promise<string[]> {
    const folder = join(this.#roots.sys, 'devices/system/cpu');
    const paths: string[] = [];
    for (const cpu of (await namesIn(folder)).filter((name) => /^cpu\d+$/.test(name))) {
      const entries = await namesIn(join(folder, cpu));
      if (entries.includes('thermal_throttle')) paths.push(`/sys/devices/system/cpu/${cpu}/thermal_throttle`);
    }
    return paths.toSorted();
  }
}

/** The trimmed text of a small file; empty when it isn't there. */
async function textOf(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch {
    return ''; // kernels and machines differ in which of these files they have
  }
}

async function firstText(files: readonly string[]): Promise<string> {
  for (const file of files) {
    const text = await textOf(file);
    if (text !== '') return text;
  }
  return '';
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    return []; // as above
  }
}
