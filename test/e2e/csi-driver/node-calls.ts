import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, rmdirSync, statSync, statfsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import grpc from '@grpc/grpc-js';
import type { Capability, DriverConfig } from './driver-config.ts';
import type { Faults } from './faults.ts';
import type { StoredVolume, VolumeStore } from './volume-store.ts';

interface StageRequest {
  volume_id: string;
  staging_target_path: string;
  volume_capability?: Capability | null;
}

interface PublishRequest extends StageRequest {
  target_path: string;
  readonly: boolean;
  volume_context: Record<string, string>;
}

const failure = (code: number, message: string): Error => Object.assign(new Error(message), { code });

/** The Node service. */
export class NodeCalls {
  readonly #config: DriverConfig;
  readonly #store: VolumeStore;
  readonly #faults: Faults;

  constructor(config: DriverConfig, store: VolumeStore, faults: Faults) {
    this.#config = config;
    this.#store = store;
    this.#faults = faults;
  }

  async NodeGetInfo(): Promise<object> {
    const { nodeId, maxVolumes = 0, topology } = this.#config;
    return {
      node_id: nodeId,
      max_volumes_per_node: maxVolumes,
      ...(topology === undefined ? {} : { accessible_topology: { segments: topology } }),
    };
  }

  async NodeGetCapabilities(): Promise<object> {
    const names = this.#faults.control.capabilities ?? this.#config.capabilities;
    return { capabilities: names.map((type) => ({ rpc: { type } })) };
  }

  async NodeStageVolume(request: StageRequest): Promise<object> {
    const volume = this.#existing(request.volume_id);
    if (this.#config.noMounts === true) return {};
    if (volume.isBlock) this.#loopOf(volume, true);
    else bind(this.#store.path(volume), request.staging_target_path, false);
    return {};
  }

  async NodeUnstageVolume({ volume_id, staging_target_path }: StageRequest): Promise<object> {
    if (this.#config.noMounts === true) return {};
    const volume = this.#store.get(volume_id);
    const loop = volume?.isBlock === true ? this.#loopOf(volume, false) : undefined;
    if (loop !== undefined) execFileSync('losetup', ['-d', loop]);
    unmount(staging_target_path);
    return {};
  }

  async NodePublishVolume(request: PublishRequest): Promise<object> {
    const { volume_id: id, target_path: target, volume_context: context } = request;
    if (context['csi.storage.k8s.io/ephemeral'] === 'true') {
      this.#store.create({ id, capacityBytes: 0, isBlock: false, isEphemeral: true });
      writeFileSync(join(this.#store.path({ id, isBlock: false }), 'greeting'), context['greeting'] ?? '');
    }
    const volume = this.#existing(id);
    if (!existsSync(dirname(target))) throw failure(grpc.status.INTERNAL, `${dirname(target)} is not there`);
    if (this.#config.noMounts === true) {
      mkdirSync(target, { recursive: true });
      writeFileSync(join(target, 'volume-id'), id);
    } else if (volume.isBlock) {
      if (!existsSync(target)) writeFileSync(target, '');
      if (!isMounted(target)) execFileSync('mount', ['--bind', this.#loopOf(volume, true) ?? '', target]);
    } else bind(this.#store.path(volume), target, request.readonly);
    return {};
  }

  async NodeUnpublishVolume({ volume_id, target_path }: PublishRequest): Promise<object> {
    unmount(target_path);
    if (this.#config.noMounts === true) rmSync(target_path, { recursive: true, force: true });
    else if (existsSync(target_path)) (statSync(target_path).isDirectory() ? rmdirSync : rmSync)(target_path);
    if (this.#store.get(volume_id)?.isEphemeral === true) this.#store.remove(volume_id);
    return {};
  }

  async NodeExpandVolume({
    volume_id,
    capacity_range,
  }: StageRequest & { capacity_range: { required_bytes: string } }): Promise<object> {
    const volume = this.#existing(volume_id);
    const capacityBytes = Number(capacity_range.required_bytes);
    if (capacityBytes > volume.capacityBytes) this.#store.create({ ...volume, capacityBytes });
    const loop = volume.isBlock && this.#config.noMounts !== true ? this.#loopOf(volume, false) : undefined;
    if (loop !== undefined) execFileSync('losetup', ['-c', loop]);
    return { capacity_bytes: String(capacityBytes) };
  }

  async NodeGetVolumeStats({ volume_id, volume_path }: { volume_id: string; volume_path: string }): Promise<object> {
    if (!existsSync(volume_path)) throw failure(grpc.status.NOT_FOUND, `nothing is at ${volume_path}`);
    const { capacityBytes } = this.#existing(volume_id);
    const { bsize, bavail, blocks, bfree, files, ffree } = statfsSync(volume_path);
    const total = capacityBytes > 0 ? capacityBytes : blocks * bsize;
    return {
      usage: [
        {
          unit: 'BYTES',
          total: String(total),
          available: String(bavail * bsize),
          used: String((blocks - bfree) * bsize),
        },
        { unit: 'INODES', total: String(files), available: String(ffree), used: String(files - ffree) },
      ],
    };
  }

  #existing(id: string): StoredVolume {
    const volume = this.#store.get(id);
    if (volume === undefined) throw failure(grpc.status.NOT_FOUND, `volume ${id} does not exist`);
    return volume;
  }

  /** The loop device of a block volume, made when it is wanted and missing. */
  #loopOf(volume: StoredVolume, isWanted: boolean): string | undefined {
    const file = this.#store.path(volume);
    const found = execFileSync('losetup', ['-j', file, '-n', '-O', 'NAME'], { encoding: 'utf8' }).trim().split('\n')[0];
    if (found !== undefined && found !== '') return found;
    return isWanted ? execFileSync('losetup', ['-f', '--show', file], { encoding: 'utf8' }).trim() : undefined;
  }
}

function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === path);
}

function bind(source: string, target: string, isReadOnly: boolean): void {
  mkdirSync(target, { recursive: true });
  if (isMounted(target)) return;
  execFileSync('mount', ['--bind', source, target]);
  if (isReadOnly) execFileSync('mount', ['-o', 'remount,bind,ro', target]);
}

function unmount(path: string): void {
  if (isMounted(path)) execFileSync('umount', [path]);
}
