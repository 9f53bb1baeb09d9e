/**
 * Volumes of kind `local`: a directory of this node that is bound into the pod, or a block device that is mounted once
 * and bound from there, or handed on as it is. The directory's data is never touched but for the pod's group.
 */
import { constants } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import { type BlockMap, mapBlock, podsOfMap, removeBlockMap, unmapBlock } from './block-maps.ts';
import { giveToPod } from './give-to-pod.ts';
import type { NodeDevice, PersistentHands, PersistentMounts, PodPlace } from './persistent-kinds.ts';
import { type PodVolume, mountOptions } from './persistent-model.ts';
import { type VolumePaths, isObjectName, isPodUid } from './volume-paths.ts';
import { namesIn, removeEmpty } from './volume-setup.ts';

interface LocalVolumesNeed {
  rootDir: string;
  paths: VolumePaths;
  mounts: PersistentMounts;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
  clock: Clock;
  log: Logger;
}

/** A path on a file server that is away never answers. */
const lookMs = 30_000;
/** A large device takes its time to be checked and formatted. */
const mountMs = 120_000;

const plugin = 'kubernetes.io/local-volume';

export class LocalVolumes implements PersistentHands {
  readonly hasMountOptions = true;
  readonly #need: LocalVolumesNeed;
  readonly #globalMounts: string;
  readonly #globalMaps: string;

  constructor(need: LocalVolumesNeed) {
    this.#need = need;
    this.#globalMounts = join(need.rootDir, 'plugins', plugin, 'mounts');
    this.#globalMaps = join(need.rootDir, 'plugins', plugin.replace('/', '~'), 'volumeDevices');
  }

  async check(volume: PodVolume, signal: AbortSignal): Promise<void> {
    await this.#modeOf(pathOf(volume), signal);
  }

  async stage(volume: PodVolume, _: Pod, signal: AbortSignal): Promise<void> {
    const path = pathOf(volume);
    const isDevice = ((await this.#modeOf(path, signal)) & constants.S_IFMT) === constants.S_IFBLK;
    if (volume.isBlock || !isDevice) return;
    const { mounts, clock } = this.#need;
    const target = join(this.#globalMounts, volume.specName);
    if (await mounts.isMountPoint(target, signal)) return;
    await mkdir(target, { recursive: true, mode: 0o750 });
    const options = mountOptions(volume);
    const fsType = volume.pv?.spec?.local?.fsType ?? '';
    await withDeadline(`mounting ${path}`, mountMs, clock, signal, (s) =>
      mounts.formatAndMount({ device: path, target, fsType, options }, s),
    ).catch(async (err: unknown) => {
      await removeEmpty(target).catch(() => {}); // the first failure tells more
      throw err;
    });
  }

  async unstage({ specName, isBlock }: NodeDevice, signal: AbortSignal): Promise<void> {
    if (isBlock) return await removeBlockMap(this.mapPath(specName));
    const target = join(this.#globalMounts, specName);
    await this.#takeOff(target, signal);
    await removeEmpty(target);
  }

  async publish(
    volume: PodVolume,
    pod: Pod,
    { otherPods }: { otherPods: readonly string[] },
    signal: AbortSignal,
  ): Promise<string> {
    const path = pathOf(volume);
    const uid = uidOf(pod);
    const type = (await this.#modeOf(path, signal)) & constants.S_IFMT;
    if (volume.isBlock) {
      if (type !== constants.S_IFBLK) throw new Error(`path "${path}" is not a block device`);
      return path;
    }
    if (type !== constants.S_IFBLK && type !== constants.S_IFDIR)
      throw new Error('only directory and block device are supported');
    const { mounts, clock, paths, event, log } = this.#need;
    const target = paths.persistent(uid, 'local-volume', volume.specName);
    const options = mountOptions(volume);
    const mounted = (await mounts.listMounts()).findLast((entry) => entry.target === target);
    if (mounted !== undefined && hasOptions(mounted.options, options)) return target;
    const source = type === constants.S_IFBLK ? join(this.#globalMounts, volume.specName) : path;
    if (mounted === undefined) {
      // Before it is bound: what is bound may be in use, also after a restart, and is never given away again.
      if (!options.includes('ro'))
        await giveToPod({ volume, pod, directory: source, otherPods }, { mounts, event, clock, log }, signal);
      await mkdir(target, { recursive: true, mode: 0o750 });
    }
    await withDeadline(`binding ${path}`, mountMs, clock, signal, (s) =>
      mounts.bindWithOptions({ source, target, options }, s),
    ).catch(async (err: unknown) => {
      if (mounted !== undefined) throw err;
      await this.#takeOff(target, signal).catch(() => {}); // the first failure tells more
      await removeEmpty(target).catch(() => {});
      throw err;
    });
    return target;
  }

  async map({ specName }: PodVolume, pod: Pod, device: string, signal: AbortSignal): Promise<string> {
    const map = this.#mapOf({ uid: uidOf(pod), specName, isBlock: true });
    await mapBlock(map, device, this.#need.mounts, signal);
    return map.link;
  }

  async unpublish(place: PodPlace, signal: AbortSignal): Promise<void> {
    if (place.isBlock) return await unmapBlock(this.#mapOf(place), this.#need.mounts, signal);
    const target = this.#need.paths.persistent(place.uid, 'local-volume', place.specName);
    await this.#takeOff(target, signal);
    await removeEmpty(target);
  }

  async findStaged(signal: AbortSignal): Promise<NodeDevice[]> {
    const found: NodeDevice[] = [];
    for (const specName of await namesIn(this.#globalMounts)) {
      if (await this.#need.mounts.isMountPoint(join(this.#globalMounts, specName), signal))
        found.push({ uniqueName: `${plugin}/${specName}`, specName, isBlock: false });
      else await removeEmpty(join(this.#globalMounts, specName)).catch(() => {}); // of somebody else: it stays
    }
    for (const specName of await namesIn(this.#globalMaps)) {
      found.push({ uniqueName: `${plugin}/${specName}`, specName, isBlock: true });
    }
    return found;
  }

  devicePath({ specName, isBlock }: NodeDevice): string | undefined {
    return isBlock ? undefined : join(this.#globalMounts, specName);
  }

  mapPath(specName: string): string {
    return join(this.#globalMaps, specName);
  }

  async findPublished(places: readonly PodPlace[]): Promise<Array<PodPlace & { uniqueName: string }>> {
    const found = [...places];
    for (const specName of (await namesIn(this.#globalMaps)).filter(isObjectName)) {
      // a bind without a link: somebody died between the two
      for (const uid of (await podsOfMap(this.mapPath(specName))).filter(isPodUid)) {
        const isKnown = places.some((one) => one.isBlock && one.uid === uid && one.specName === specName);
        if (!isKnown) found.push({ uid, specName, isBlock: true });
      }
    }
    return found.map((place) => ({ ...place, uniqueName: `${plugin}/${place.specName}` }));
  }

  #mapOf({ uid, specName }: PodPlace): BlockMap {
    return {
      mapDirectory: this.mapPath(specName),
      podUid: uid,
      link: this.#need.paths.device(uid, 'local-volume', specName),
    };
  }

  async #takeOff(target: string, signal: AbortSignal): Promise<void> {
    const { mounts, clock } = this.#need;
    await withDeadline(`unmounting ${target}`, mountMs, clock, signal, (s) => mounts.unmountFileSystem(target, {}, s));
  }

  async #modeOf(path: string, signal: AbortSignal): Promise<number> {
    const { mounts, clock } = this.#need;
    const mode = await withDeadline(`looking at ${path}`, lookMs, clock, signal, (s) => mounts.modeOf(path, s));
    if (mode === undefined) throw new Error(`path "${path}" does not exist`);
    return mode;
  }
}

/** Options of a mount point that say what may not be done there; others are the file system's. */
const restrictions = new Set(['ro', 'nodev', 'noexec', 'nosuid']);

/** Whether a bind has the options that it was to get: a kubelet may have died in between. */
const hasOptions = (has: readonly string[], wanted: readonly string[]): boolean =>
  wanted.every((option) => !restrictions.has(option) || has.includes(option));

function pathOf({ pv }: PodVolume): string {
  const path = pv?.spec?.local?.path ?? '';
  if (!path.startsWith('/') || path.split('/').includes('..')) throw new Error(`invalid path: ${path}`);
  return path;
}
