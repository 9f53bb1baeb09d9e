/**
 * Volumes of CSI drivers: the room's door. Owns which drivers there are and what of their volumes is in use. Promises:
 * calls may be repeated; what must be known to take a volume back is on disk before a driver hears of it; a driver
 * that hangs holds up its own volumes alone; nothing is deleted through a mount.
 */
import { readFile, stat } from 'node:fs/promises';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import type { CsiVolume, CsiVolumes, PublishedVolume, StagedVolume, VolumeFigures } from '../../volume-model.ts';
import { BlockVolumes } from './block-volumes.ts';
import { CsiContext } from './csi-context.ts';
import { CsiDrivers } from './csi-drivers.ts';
import { callFailure } from './csi-failure.ts';
import type { CsiNeed } from './csi-need.ts';
import { CsiPaths } from './csi-paths.ts';
import { canStage, volumeCapability } from './csi-requests.ts';
import { requiresAttach } from './driver-policies.ts';
import { FileVolumes } from './file-volumes.ts';
import { VolumeFinder } from './find-volumes.ts';
import { NodeInfo } from './node-info.ts';

export class NodeCsi implements CsiVolumes {
  /** Serves plugins of the type `CSIPlugin`. */
  readonly drivers: CsiDrivers;
  readonly #need: CsiNeed;
  readonly #paths: CsiPaths;
  readonly #nodeInfo: NodeInfo | undefined;
  readonly #context: CsiContext;
  readonly #files: FileVolumes;
  readonly #blocks: BlockVolumes;
  readonly #finder: VolumeFinder;

  constructor(need: CsiNeed) {
    this.#need = need;
    this.#paths = new CsiPaths(need.rootDir);
    this.#nodeInfo = need.api === undefined ? undefined : new NodeInfo(need.api, need);
    this.drivers = new CsiDrivers(this.#nodeInfo, need);
    this.#context = new CsiContext(need, this.drivers);
    this.#files = new FileVolumes(this.#context, this.#paths);
    this.#blocks = new BlockVolumes(this.#context, this.#paths);
    this.#finder = new VolumeFinder(this.#paths, need.log);
  }

  /** Makes the node known as one that takes volumes, and keeps what drivers say of it up to date. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#nodeInfo?.initialize(signal);
    await this.drivers.run(signal);
  }

  /** Why the node is not ready, as far as volumes are concerned. */
  problems(): string[] {
    return this.#nodeInfo?.problems() ?? [];
  }

  async needsAttach(volume: CsiVolume, signal: AbortSignal): Promise<boolean> {
    if ('inline' in volume.source) return false;
    return requiresAttach(await this.#context.driverObject(volume.driver, signal));
  }

  isRepublished(driver: string): boolean {
    return this.#need.api?.cachedDriver(driver)?.spec.requiresRepublish === true;
  }

  checkAttached(volume: CsiVolume, signal: AbortSignal): Promise<void> {
    return this.#context.checkAttached(volume, signal);
  }

  async isOverLimit(volume: CsiVolume, signal: AbortSignal): Promise<boolean> {
    if (!(await this.#context.isOverLimit(volume, signal))) return false;
    await this.drivers.lookNow(volume.driver, signal); // whoever comes for the pod must not send the next one here
    return true;
  }

  async stage(volume: CsiVolume, pod: Pod, signal: AbortSignal): Promise<void> {
    if ('inline' in volume.source) return;
    await (volume.isBlock ? this.#blocks : this.#files).stage(volume, pod, signal);
  }

  unstage(volume: StagedVolume, signal: AbortSignal): Promise<void> {
    return (volume.isBlock ? this.#blocks : this.#files).unstage(volume, signal);
  }

  publish(volume: CsiVolume, pod: Pod, signal: AbortSignal): Promise<string> {
    return (volume.isBlock ? this.#blocks : this.#files).publish(volume, pod, signal);
  }

  unpublish(volume: PublishedVolume, signal: AbortSignal): Promise<void> {
    this.#need.forgetTokens(volume.podUid);
    return (volume.isBlock ? this.#blocks : this.#files).unpublish(volume, signal);
  }

  async expand(volume: CsiVolume, pod: Pod, sizeBytes: number, signal: AbortSignal): Promise<boolean> {
    const { driver, handle, specName, isBlock } = volume;
    const socket = this.drivers.socketOf(driver, 'Expander.NodeExpand failed to get CSI client');
    const capabilities = await this.#context.capabilities(socket, 'Expander.NodeExpand failed: ', signal);
    if (!capabilities.has('EXPAND_VOLUME')) return false;
    const secrets = await this.#context.secrets(volume, 'expand', pod, signal);
    const staging = isBlock ? this.#paths.blockStaging(specName) : this.#paths.staging(driver, handle);
    const request = {
      volume_id: handle,
      volume_path: this.#pathOf(volume, uidOf(pod)),
      ...(canStage(capabilities) ? { staging_target_path: staging } : {}),
      capacity_range: { required_bytes: String(sizeBytes) },
      volume_capability: volumeCapability(volume, pod, capabilities, undefined),
      secrets,
    };
    try {
      await this.#need.csi.expand(socket, request, signal);
    } catch (err) {
      signal.throwIfAborted();
      throw callFailure(err, 'Expander.NodeExpand failed to expand the volume : ');
    }
    return true;
  }

  async figures(volume: CsiVolume, podUid: string, signal: AbortSignal): Promise<VolumeFigures | undefined> {
    const path = this.#pathOf(volume, podUid);
    if (volume.isBlock) return await deviceFigures(path);
    const socket = this.drivers.socketOf(volume.driver, 'metrics are not available');
    const capabilities = await this.#context.capabilities(socket, '', signal);
    if (!capabilities.has('GET_VOLUME_STATS')) return undefined;
    const request = { volume_id: volume.handle, volume_path: path };
    const usage = await this.#context.early('', () => this.#need.csi.stats(socket, request, signal), signal);
    const bytes = usage.find(({ unit }) => unit === 'BYTES');
    const inodes = usage.find(({ unit }) => unit === 'INODES');
    return {
      capacityBytes: bytes?.total,
      availableBytes: bytes?.available,
      usedBytes: bytes?.used,
      inodes: inodes?.total,
      inodesFree: inodes?.available,
      inodesUsed: inodes?.used,
    };
  }

  findPublished(): Promise<PublishedVolume[]> {
    return this.#finder.published();
  }

  findStaged(): Promise<StagedVolume[]> {
    return this.#finder.staged();
  }

  #pathOf({ specName, isBlock }: CsiVolume, podUid: string): string {
    return isBlock ? this.#paths.blockTarget(specName, podUid) : this.#paths.target(podUid, specName);
  }
}

const sectorBytes = 512;

/** A device says how large it is, and nothing more. */
async function deviceFigures(path: string): Promise<VolumeFigures> {
  const { rdev } = await stat(path);
  const [major, minor] = [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00)];
  const sectors = Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, 'utf8'));
  const nothing = { availableBytes: undefined, usedBytes: undefined };
  return {
    capacityBytes: sectors * sectorBytes,
    ...nothing,
    inodes: undefined,
    inodesFree: undefined,
    inodesUsed: undefined,
  };
}
