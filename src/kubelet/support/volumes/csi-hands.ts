/** Volumes of CSI drivers among the others: translates what the volumes room asks into the contract with the drivers' room. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import type { CsiVolume, CsiVolumes, PublishedVolume } from '../../volume-model.ts';
import { type BlockMap, mapBlock, removeBlockMap, unmapBlock } from './block-maps.ts';
import type { NodeDevice, PersistentHands, PersistentMounts, PodPlace } from './persistent-kinds.ts';
import type { PodVolume } from './persistent-model.ts';
import type { VolumePaths } from './volume-paths.ts';

const plugin = 'kubernetes.io/csi';

interface CsiHandsNeed {
  rootDir: string;
  paths: VolumePaths;
  mounts: PersistentMounts;
}

export class CsiHands implements PersistentHands {
  readonly hasMountOptions = true;
  readonly #csi: CsiVolumes;
  readonly #need: CsiHandsNeed;
  /** By place: what must be told to a driver to take a volume back, when neither pod nor PersistentVolume is there. */
  readonly #published = new Map<string, PublishedVolume>();

  constructor(csi: CsiVolumes, need: CsiHandsNeed) {
    this.#csi = csi;
    this.#need = need;
  }

  check(): Promise<void> {
    return Promise.resolve();
  }

  async stage(volume: PodVolume, pod: Pod, signal: AbortSignal): Promise<void> {
    if (volume.pv !== undefined) await this.#csi.stage(csiVolume(volume, uidOf(pod)), pod, signal);
  }

  async unstage({ uniqueName, specName, isBlock }: NodeDevice, signal: AbortSignal): Promise<void> {
    const ids = idsOf(uniqueName);
    if (isBlock && specName !== '') await removeBlockMap(this.mapPath(specName));
    if (ids !== undefined) await this.#csi.unstage({ ...ids, isBlock, pvName: specName || undefined }, signal);
  }

  devicePath({ uniqueName, isBlock }: NodeDevice): string | undefined {
    const ids = idsOf(uniqueName);
    if (ids === undefined || isBlock) return undefined;
    const hash = createHash('sha256').update(ids.handle).digest('hex');
    return join(this.#need.rootDir, 'plugins', plugin, ids.driver, hash, 'globalmount');
  }

  async publish(volume: PodVolume, pod: Pod, _: unknown, signal: AbortSignal): Promise<string> {
    const uid = uidOf(pod);
    const asked = csiVolume(volume, uid);
    const { specName, isBlock } = volume;
    this.#published.set(keyOf({ uid, specName, isBlock }), {
      podUid: uid,
      specName,
      driver: asked.driver,
      handle: asked.handle,
      isBlock,
      isInline: volume.pv === undefined,
    });
    return await this.#csi.publish(asked, pod, signal);
  }

  async map({ specName }: PodVolume, pod: Pod, device: string, signal: AbortSignal): Promise<string> {
    const map = this.#mapOf({ uid: uidOf(pod), specName, isBlock: true });
    if (device !== map.link) await mapBlock(map, device, this.#need.mounts, signal);
    return map.link;
  }

  mapPath(specName: string): string {
    return join(this.#need.rootDir, 'plugins', plugin, 'volumeDevices', specName, 'dev');
  }

  #mapOf({ uid, specName }: PodPlace): BlockMap {
    const link = this.#need.paths.device(uid, 'csi', specName);
    return { mapDirectory: this.mapPath(specName), podUid: uid, link };
  }

  async unpublish(place: PodPlace, signal: AbortSignal): Promise<void> {
    const key = keyOf(place);
    const known = this.#published.get(key);
    if (place.isBlock) await unmapBlock(this.#mapOf(place), this.#need.mounts, signal);
    if (known === undefined) return; // it left nothing that could be told to a driver
    await this.#csi.unpublish(known, signal);
    this.#published.delete(key);
  }

  async findStaged(signal: AbortSignal): Promise<NodeDevice[]> {
    const found = await this.#csi.findStaged(signal);
    return found.map(({ driver, handle, isBlock, pvName = '' }) => ({
      uniqueName: `${plugin}/${driver}^${handle}`,
      specName: pvName,
      isBlock,
    }));
  }

  async findPublished(_: readonly PodPlace[], signal: AbortSignal): Promise<Array<PodPlace & { uniqueName: string }>> {
    const found = await this.#csi.findPublished(signal);
    return found.map((one) => {
      const { podUid: uid, specName, driver, handle, isBlock, isInline } = one;
      this.#published.set(keyOf({ uid, specName, isBlock }), one);
      const uniqueName = isInline ? `${plugin}/${uid}-${specName}` : `${plugin}/${driver}^${handle}`;
      return { uid, specName, isBlock, uniqueName };
    });
  }
}

const keyOf = ({ uid, specName, isBlock }: PodPlace): string => `${uid}/${isBlock ? 'block' : 'files'}/${specName}`;

/** Of a volume that is the node's; undefined for one of a single pod. */
function idsOf(uniqueName: string): { driver: string; handle: string } | undefined {
  const [driver = '', handle] = uniqueName.slice(plugin.length + 1).split(/\^(.*)/s);
  return handle === undefined ? undefined : { driver, handle };
}

/** Whether a volume may be of a driver: the names of those that pods describe themselves do not say. */
export function mayBeOf(driver: string, uniqueName: string): boolean {
  if (!uniqueName.startsWith(`${plugin}/`)) return false;
  return (idsOf(uniqueName)?.driver ?? driver) === driver;
}

/** @param uid of the pod: an inline volume's handle is made of it */
export function csiVolume({ pv, volume, specName, isReadOnly, isBlock }: PodVolume, uid: string): CsiVolume {
  const common = { specName, isReadOnly, isBlock };
  if (pv?.spec?.csi !== undefined) {
    const { driver, volumeHandle } = pv.spec.csi;
    return { ...common, driver, handle: volumeHandle, source: { pv } };
  }
  const inline = volume.csi ?? { driver: '' };
  const handle = `csi-${createHash('sha256').update(`${uid}${specName}`).digest('hex')}`;
  return { ...common, driver: inline.driver, handle, source: { inline } };
}
