/**
 * A mount table in memory that outlives kubelets, and the view that one kubelet has of it: each call passes the kubelet's
 * gate. What is mounted shows as a file at the place, which no one but an unmount may remove: data that a kubelet deletes
 * is missed.
 */
import { constants } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DiskMount, type FileSystemMount, type MountEntry, Mounts } from '../../src/adapters/mounts/mounts.ts';
import type { FaultGate, GateStep } from './fault-gate.ts';

const never = new Promise<never>(() => {});
const witness = 'precious';

export class MountTable {
  /** Target → source. */
  readonly mounted = new Map<string, string>();
  /** Paths of the node that are there: a directory, or a device. */
  readonly paths = new Map<string, 'directory' | 'device'>();
  readonly formatted: string[] = [];
  /** Places whose data was gone when they were unmounted. */
  readonly deleted: string[] = [];
  /** What reboots take. */
  async reboot(): Promise<void> {
    for (const target of this.mounted.keys()) await rm(join(target, witness), { force: true });
    this.mounted.clear();
  }
}

export class TableMounts extends Mounts {
  readonly #table: MountTable;
  readonly #gate: FaultGate;

  constructor(table: MountTable, gate: FaultGate) {
    super();
    this.#table = table;
    this.#gate = gate;
  }

  override ensureShared(directory: string): Promise<void> {
    return mkdir(directory, { recursive: true }).then(() => {});
  }

  override modeOf(path: string): Promise<number | undefined> {
    return this.#step('look', path, () => {
      const kind = this.#table.paths.get(path);
      if (kind === undefined) return Promise.resolve(undefined);
      return Promise.resolve(kind === 'device' ? constants.S_IFBLK : constants.S_IFDIR);
    });
  }

  override ownerOf(): Promise<{ mode: number; gid: number }> {
    return Promise.resolve({ mode: 0o755, gid: 0 });
  }

  override bindWithOptions({ source, target }: Omit<FileSystemMount, 'type'>): Promise<void> {
    return this.#step('bind', target, () => this.#mount(source, target));
  }

  override mountFileSystem({ source, target }: FileSystemMount): Promise<void> {
    return this.#step('mount', target, () => this.#mount(source, target));
  }

  override formatAndMount({ device, target }: DiskMount): Promise<void> {
    return this.#step('format', target, async () => {
      if (!this.#table.formatted.includes(device)) this.#table.formatted.push(device);
      await this.#mount(device, target);
    });
  }

  override unmountFileSystem(target: string): Promise<void> {
    return this.#step('unmount', target, async () => {
      if (!this.#table.mounted.delete(target)) return;
      await rm(join(target, witness)).catch(() => this.#table.deleted.push(target)); // somebody was there before
    });
  }

  override isMountPoint(path: string): Promise<boolean> {
    return Promise.resolve(this.#table.mounted.has(path));
  }

  override unmount(): Promise<void> {
    return Promise.resolve();
  }

  override listMounts(): Promise<MountEntry[]> {
    const entries = [...this.#table.mounted].map(([target, source], id) => {
      const rest = { options: [], propagation: [], fsType: 'ext4', superOptions: [] };
      return { id, device: this.#deviceOf(source), root: '/', target, source, ...rest };
    });
    return Promise.resolve(entries);
  }

  /** A bind is of the file system that lies at its source. */
  #deviceOf(source: string): string {
    const below = this.#table.mounted.get(source);
    return below === undefined ? source : this.#deviceOf(below);
  }

  async #mount(source: string, target: string): Promise<void> {
    if (this.#table.mounted.has(target)) throw new Error(`"${target}" is mounted twice`);
    await mkdir(target, { recursive: true });
    await writeFile(join(target, witness), '');
    this.#table.mounted.set(target, source);
  }

  #step<T>(method: string, path: string, work: () => Promise<T>): Promise<T> {
    const podUid = /\/pods\/([^/]+)\//.exec(path)?.[1];
    const step: GateStep = { method, podUid, container: undefined, request: path, state: 'asked' };
    return this.#gate.pass(step, never, work);
  }
}
