/**
 * The room in the file system that a path lies on, or the size of a block device. A child process looks: the path may
 * lie on a network mount that is dead, and then the child hangs, not one of our threads. There is one for a path at most.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../processes/processes.ts';

/** Undefined: this kind of volume has no such figure. */
export interface VolumeSpace {
  capacityBytes: number | undefined;
  availableBytes: number | undefined;
  usedBytes: number | undefined;
  inodes: number | undefined;
  inodesFree: number | undefined;
  inodesUsed: number | undefined;
}

const [kindMask, blockDevice] = [0xf000, 0x6000];
const sectorBytes = 512;

export class VolumeSpaces {
  readonly #sys: string;
  readonly #program: string;
  readonly #looking = new Map<string, Promise<unknown>>();

  /** @param options.program another than `stat` */
  constructor({ sys = '/sys', program = 'stat' }: { sys?: string; program?: string } = {}) {
    this.#sys = sys;
    this.#program = program;
  }

  /** Who has waited long enough abandons the promise. @throws when the path is not there, or an earlier look still hangs */
  async at(path: string, signal: AbortSignal): Promise<VolumeSpace> {
    if (this.#looking.has(path)) throw new Error(`Cannot look at "${path}": an earlier look still hangs`);
    const look = this.#look(path, signal);
    this.#looking.set(path, look);
    try {
      return await look;
    } finally {
      this.#looking.delete(path);
    }
  }

  async #look(path: string, signal: AbortSignal): Promise<VolumeSpace> {
    const [mode = '', major = '', minor = ''] = await this.#ask(['-L', '--format=%f %t %T', '--', path], signal);
    if ((Number.parseInt(mode, 16) & kindMask) === blockDevice) {
      const device = `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`;
      const sectors = Number(await readFile(join(this.#sys, 'dev/block', device, 'size'), 'utf8'));
      return { ...nothing, capacityBytes: sectors * sectorBytes };
    }
    const words = await this.#ask(['-f', '--format=%S %b %f %a %c %d', '--', path], signal);
    const [size = 0, blocks = 0, free = 0, available = 0, inodes = 0, inodesFree = 0] = words.map(Number);
    return {
      capacityBytes: size * blocks,
      availableBytes: size * available,
      usedBytes: size * (blocks - free),
      inodes,
      inodesFree,
      inodesUsed: inodes - inodesFree,
    };
  }

  async #ask(args: readonly string[], signal: AbortSignal): Promise<string[]> {
    const { stdout } = await runCommand(this.#program, args, { env: { LC_ALL: 'C' }, signal });
    return stdout.trim().split(' ');
  }
}

const nothing: VolumeSpace = {
  capacityBytes: undefined,
  availableBytes: undefined,
  usedBytes: undefined,
  inodes: undefined,
  inodesFree: undefined,
  inodesUsed: undefined,
};
