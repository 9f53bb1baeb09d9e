/**
 * The volumes of the node that outlive pods: what is mounted of each, for all pods and for single ones, and who is to
 * have it. The owner of that knowledge; it starts with what lies on disk, so that a restart changes nothing.
 *
 * One volume is worked on by one hand at a time; what is done once for all pods comes before the first pod's part and
 * goes after the last one's. A mount that hangs holds up the pods of its volume and nobody else. Nothing is taken down
 * that is not known to be unused: until all sources of pods have spoken and each pod's claims were looked at once, what
 * was found stays.
 */
import { withDeadline } from '../../../base/deadline.ts';
import { describeError } from '../../../base/errors.ts';
import type { Pod, Volume } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import { AttachWaits } from './attach-waits.ts';
import { CsiHands, csiVolume, mayBeOf } from './csi-hands.ts';
import { HostPathVolumes } from './host-path-volumes.ts';
import { LocalVolumes } from './local-volumes.ts';
import { NfsVolumes } from './nfs-volumes.ts';
import { mountVolume } from './mount-steps.ts';
import { type NodeVolume, isUnused, volumesInUse } from './node-volume-state.ts';
import type { NodeVolumesNeed } from './node-volumes-need.ts';
import { operationLabel, pluginOfKey } from './operation-labels.ts';
import { otherReferences } from './other-references.ts';
import type { NodeDevice, PersistentHands } from './persistent-kinds.ts';
import { type PersistentKind, type PodVolume, VolumeStepError, mismatchOf } from './persistent-model.ts';
import { isPersistent, resolveVolume, volumeGroup } from './resolve-volume.ts';
import { VolumeExpander } from './volume-expander.ts';
import type { VolumeSpace } from '../../volume-model.ts';
import { VolumeOperations } from './volume-operations.ts';
import { type FoundPlace, findPlaces } from './find-places.ts';
import { spaceOf } from './volume-space.ts';
import { usedVolumes } from './volume-kinds.ts';
import { VolumeLanes } from './volume-lanes.ts';
import { VolumePaths, isObjectName, isPodUid } from './volume-paths.ts';

/** How long a pod's turn waits for its volumes, and its end for them to be down. */
export const volumeWaitMs = 123_000;

export interface MountedPersistent {
  hostPath: string;
  readOnly: boolean;
  specName: string;
  /** `hostPath` is a link to a device, for containers to have and not to mount. */
  isBlock: boolean;
  /** A group that containers are to be in to use it. */
  gid: number | undefined;
  /** Upstream's name of its kind. */
  plugin: string;
  space: VolumeSpace;
}

export class NodeVolumes {
  readonly #need: NodeVolumesNeed;
  readonly #hands: Record<PersistentKind, PersistentHands | undefined>;
  readonly #paths: VolumePaths;
  readonly #operations: VolumeOperations;
  readonly #expander: VolumeExpander;
  readonly #attaching: AttachWaits;
  readonly #volumes = new Map<string, NodeVolume>();
  readonly #lanes = new VolumeLanes();
  /** Pods whose claims were looked at. */
  readonly #looked = new Set<string>();
  /** Ends what is done for a pod and may be given up. */
  readonly #enders = new Map<string, AbortController>();
  readonly #releases = new Map<string, Promise<void>>();
  readonly #lifetime = new AbortController();
  #inUse = '';

  constructor(need: NodeVolumesNeed) {
    this.#need = need;
    this.#paths = new VolumePaths(need.rootDir);
    this.#operations = new VolumeOperations(need.clock, (key, operation, durationMs, hasFailed) =>
      need.onOperation({ plugin: pluginOfKey(key), operation: operationLabel(operation), durationMs, hasFailed }),
    );
    this.#expander = new VolumeExpander(need);
    this.#attaching = new AttachWaits(need, this.#operations, this.#lifetime.signal);
    this.#hands = {
      'host-path': new HostPathVolumes(need),
      'local-volume': new LocalVolumes({ ...need, paths: this.#paths }),
      nfs: new NfsVolumes({ ...need, paths: this.#paths }),
      csi: need.csi === undefined ? undefined : new CsiHands(need.csi, { ...need, paths: this.#paths }),
    };
  }

  /** Takes up what lies on disk, before any pod has its turn. Touches nothing of it. */
  async reconstruct(signal: AbortSignal): Promise<void> {
    const { log } = this.#need;
    const places = await findPlaces(this.#paths);
    for (const [name, hands] of Object.entries(this.#hands)) {
      if (hands === undefined) continue;
      const kind = name as PersistentKind; // the keys of a record of kinds
      const ours = places.filter((place) => place.kind === kind);
      try {
        for (const { uid, specName, isBlock, uniqueName } of await hands.findPublished(ours, signal)) {
          const entry = this.#entry({ uniqueName, specName, isBlock }, kind);
          entry.pods.set(uid, { state: 'uncertain', specName, isBlock, isFound: true });
        }
        for (const device of await hands.findStaged(signal)) {
          const entry = this.#entry(device, kind);
          entry.device = 'uncertain';
          entry.isDeviceFound = true;
        }
      } catch (err) {
        signal.throwIfAborted();
        log.warn({ kind, reason: describeError(err) }, 'cannot tell what is mounted of volumes of a kind');
      }
    }
  }

  /** Ends when `signal` aborts and what is being done has come to its end, or has been waited for long enough. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, syncFrequencyMs } = this.#need;
    while (!signal.aborted) {
      this.tidy();
      const isIdle = this.#volumes.size === 0;
      await clock.sleep(isIdle ? syncFrequencyMs : Math.min(syncFrequencyMs, tidyPeriodMs), signal);
    }
    this.#lifetime.abort(signal.reason);
    await Promise.allSettled(this.#releases.values());
  }

  /** The node's object has changed: somebody may have attached what pods wait for. */
  nodeChanged(): void {
    this.#attaching.nodeChanged();
  }

  /** A driver has come: what has failed without it need not wait any longer. */
  driverCame(driver: string): void {
    this.#operations.hurryAll((key) => mayBeOf(driver, key));
  }

  /** Names of volumes that must stay attached; undefined until that is known. */
  inUse(): string[] | undefined {
    return this.#need.isComplete() ? volumesInUse([...this.#volumes.values()], this.#need.ownNode()) : undefined;
  }

  /** Names of the pod's volumes that it waits for somebody to attach. */
  unattached(uid: string): string[] {
    return this.#attaching.of(uid);
  }

  /** Whether one of the pod's volumes is not attached because the node has as many as it can have. */
  async isOverLimit(
    uid: string,
    resolved: ReadonlyMap<string, PodVolume | Error>,
    signal: AbortSignal,
  ): Promise<boolean> {
    for (const name of this.unattached(uid)) {
      const volume = resolved.get(name);
      if (volume === undefined || volume instanceof Error || volume.kind !== 'csi') continue;
      if ((await this.#need.csi?.isOverLimit(csiVolume(volume, uid), signal)) === true) return true;
    }
    return false;
  }

  /**
   * Follows the claims of a pod's volumes, and notes that the pod is to have them.
   * @returns by name in the pod: the volume, or why it cannot be had
   */
  async resolve(pod: Pod, volumes: readonly Volume[], signal: AbortSignal): Promise<Map<string, PodVolume | Error>> {
    const uid = uidOf(pod);
    const found = new Map<string, PodVolume | Error>();
    const toAttach = new Map<PodVolume, boolean>();
    await Promise.all(
      volumes.map(async (volume) => {
        try {
          const one = await resolveVolume(pod, volume, this.#need, signal);
          if (!isObjectName(one.specName)) throw new TypeError(`Cannot use "${one.specName}" as a volume's name`);
          if (this.#hands[one.kind] === undefined) throw new Error(`volumes of kind ${one.kind} are not served here`);
          toAttach.set(one, await this.#needsAttach(one, uid, signal));
          found.set(volume.name, one);
        } catch (err) {
          found.set(volume.name, err instanceof Error ? err : new Error(String(err)));
        }
      }),
    );
    signal.throwIfAborted();
    // in one breath: what nobody wants may be taken away between two
    for (const [one, isAttachable] of toAttach) {
      const entry = this.#entry(one, one.kind);
      entry.isAttachable = isAttachable;
      entry.wanted.add(uid);
    }
    this.#looked.add(uid);
    this.#tellInUse();
    return found;
  }

  /** How long it is until the volume can be tried again for a pod, in ms. */
  waitMs({ uniqueName }: PodVolume, uid: string): number {
    return this.#operations.waitMs(`${uniqueName}/${uid}`, 'mount');
  }

  /** Tries once, when what runs on the volume and the wait after its last failure are over. Hanging, it goes on alone. */
  async mount(pod: Pod, volume: PodVolume, signal: AbortSignal): Promise<MountedPersistent> {
    const uid = uidOf(pod);
    const entry = this.#entry(volume, volume.kind);
    if (entry.isAttachable === true) await this.#attaching.whenAttached(pod, volume, signal);
    const steps = { ...this.#need, hands: this.#handsOf(volume.kind), expander: this.#expander };
    const attempt = async (): Promise<MountedPersistent> => {
      const inner = this.#enderOf(uid);
      const path = await this.#need.phases.span(pod, `volume ${volume.name}`, () =>
        // a driver is not interrupted: what it had begun would be in doubt
        this.#lanes.run(entry.uniqueName, inner, () =>
          mountVolume(pod, volume, entry, steps, volume.kind === 'csi' ? this.#lifetime.signal : inner),
        ),
      );
      const { isReadOnly: readOnly, specName, isBlock, pv } = volume;
      const { plugin, space } = spaceOf(volume, uid, this.#need.csi);
      return { hostPath: path, readOnly, specName, isBlock, gid: volumeGroup(pv), plugin, space };
    };
    return await this.#operations.run(
      `${entry.uniqueName}/${uid}`,
      'mount',
      () => this.#said(pod, volume, attempt),
      signal,
    );
  }

  async #said<T>(pod: Pod, { pv }: PodVolume, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (err) {
      if (err instanceof VolumeStepError) {
        this.#need.event(pod, 'Warning', err.reason, describeError(err));
        const mismatch = mismatchOf(err);
        if (mismatch !== undefined && pv !== undefined) {
          const object = { kind: 'PersistentVolume', metadata: pv.metadata } as const;
          this.#need.storageEvent(object, 'Warning', 'FailedMountOnFilesystemMismatch', mismatch);
        }
      }
      throw err;
    }
  }

  /** Whether the pod has a volume of a driver. */
  hasDriven(uid: string): boolean {
    return [...this.#volumes.values()].some(({ kind, pods }) => kind === 'csi' && pods.has(uid));
  }

  /** Looks at a running pod's volumes of drivers again: what has grown is expanded, and drivers that want it are told anew. */
  async refresh(pod: Pod, volumes: readonly Volume[], signal: AbortSignal): Promise<void> {
    const { csi, log } = this.#need;
    const uid = uidOf(pod);
    if (csi === undefined || !this.hasDriven(uid)) return;
    const inner = AbortSignal.any([signal, this.#enderOf(uid)]);
    for (const volume of (await this.resolve(pod, volumes, inner)).values()) {
      if (volume instanceof Error || volume.kind !== 'csi') continue;
      const entry = this.#entry(volume, volume.kind);
      if (entry.pods.get(uid)?.state !== 'mounted') continue;
      const key = `${entry.uniqueName}/${uid}`;
      const expand = (): Promise<void> =>
        this.#lanes.run(entry.uniqueName, inner, () =>
          this.#expander.expandIfNeeded(pod, volume, this.#lifetime.signal),
        );
      try {
        if (csi.isRepublished(csiVolume(volume, uid).driver)) await this.mount(pod, volume, inner);
        else await this.#operations.run(key, 'expand', expand, inner);
      } catch (err) {
        if (inner.aborted) return;
        log.warn({ volume: entry.uniqueName, uid, reason: describeError(err) }, 'cannot bring a volume up to date');
      }
    }
  }

  /** Uids of pods that have a volume, or may have. */
  uids(): string[] {
    return [...this.#volumes.values()].flatMap(({ pods }) => [...pods.keys()]).filter(isPodUid);
  }

  /** What the pod has of the node's volumes, by memory and by disk. */
  async placesOf(uid: string): Promise<FoundPlace[]> {
    const places = await findPlaces(this.#paths, uid);
    const known = new Set(places.map(keyOf));
    for (const { kind, pods } of this.#volumes.values()) {
      const mount = pods.get(uid);
      if (mount === undefined) continue;
      const place = { kind, uid, specName: mount.specName, isBlock: mount.isBlock };
      if (!known.has(keyOf(place))) places.push(place);
    }
    return places;
  }

  /** What is in progress for the pod and can be given up is; claims of a pod that ends are nobody's wish. */
  leave(uid: string): void {
    this.#enders.get(uid)?.abort(new Error('the pod has ended'));
    this.#enders.delete(uid);
    this.#looked.add(uid);
    for (const { wanted } of this.#volumes.values()) wanted.delete(uid);
  }

  /** Takes one volume from a pod, and from the node when no pod has it any more (that goes on by itself). */
  async unmount(place: FoundPlace, signal: AbortSignal): Promise<void> {
    const { uid } = place;
    const entry = [...this.#volumes.values()].find(({ pods, kind }) => {
      const mount = pods.get(uid);
      return mount?.specName === place.specName && mount.isBlock === place.isBlock && kind === place.kind;
    });
    if (entry === undefined) {
      await this.#hands[place.kind]?.unpublish(place, signal); // which volume it was is not known: as its directory tells
      return;
    }
    const { clock } = this.#need;
    const unmount = async (): Promise<void> => {
      await this.#lanes.run(entry.uniqueName, this.#lifetime.signal, async () => {
        try {
          await this.#handsOf(entry.kind).unpublish(place, this.#lifetime.signal);
          entry.pods.delete(uid);
        } catch (err) {
          const mount = entry.pods.get(uid);
          if (mount !== undefined) entry.pods.set(uid, { ...mount, state: 'uncertain' });
          throw err;
        }
      });
    };
    const what = `taking down volume "${place.specName}"`;
    const key = `${entry.uniqueName}/${uid}`;
    await withDeadline(what, volumeWaitMs, clock, signal, (s) => this.#operations.run(key, 'unmount', unmount, s));
    this.#operations.forget(key);
    this.#release(entry);
    this.#tellInUse();
  }

  /** The pod is gone with everything of it. */
  forget(uid: string): void {
    this.#looked.delete(uid);
    this.#attaching.forget(uid);
  }

  /** Begins to take away what nobody uses. */
  tidy(): void {
    for (const entry of this.#volumes.values()) this.#release(entry);
    this.#tellInUse();
  }

  #mayRelease(entry: NodeVolume): boolean {
    const { isComplete, activePods } = this.#need;
    if (!isUnused(entry) || !isComplete() || this.#lifetime.signal.aborted) return false;
    return activePods().every((pod) => this.#looked.has(uidOf(pod)) || !usedVolumes(pod).some(isPersistent));
  }

  /** Never rejects, and goes on until the volume is gone from the node or wanted again. */
  #release(entry: NodeVolume): void {
    const { uniqueName } = entry;
    if (this.#releases.has(uniqueName) || !this.#mayRelease(entry)) return;
    const work = (async () => {
      const signal = this.#lifetime.signal;
      while (this.#mayRelease(entry)) {
        try {
          const unstage = (): Promise<void> =>
            this.#lanes.run(entry.uniqueName, signal, () => this.#unstageInLane(entry, signal));
          await this.#operations.run(`${uniqueName}/`, 'unmount device', unstage, signal);
          if (!this.#mayRelease(entry)) return;
          this.#volumes.delete(uniqueName);
          this.#operations.forget(`${uniqueName}/`);
          this.#tellInUse();
          return;
        } catch (err) {
          if (signal.aborted) return;
          const reason = describeError(err);
          this.#need.log.warn({ volume: uniqueName, reason }, 'UnmountDevice failed, will retry');
        }
      }
    })().finally(() => this.#releases.delete(uniqueName));
    this.#releases.set(uniqueName, work);
    work.catch(() => {}); // it does not reject; the map keeps it
  }

  async #unstageInLane(entry: NodeVolume, signal: AbortSignal): Promise<void> {
    if (!this.#mayRelease(entry) || entry.device === 'none') return;
    const hands = this.#handsOf(entry.kind);
    const path = hands.devicePath(entry);
    if (path !== undefined) {
      const others = otherReferences(await this.#need.mounts.listMounts(), path);
      if (others.length > 0) {
        throw new Error(`the device mount path "${path}" is still mounted by other references [${others.join(' ')}]`);
      }
    }
    entry.device = 'uncertain';
    await hands.unstage(entry, signal);
    entry.device = 'none';
  }

  async #needsAttach(volume: PodVolume, uid: string, signal: AbortSignal): Promise<boolean> {
    const { csi } = this.#need;
    if (csi === undefined || volume.kind !== 'csi' || volume.pv === undefined) return false;
    return await csi.needsAttach(csiVolume(volume, uid), signal);
  }

  #tellInUse(): void {
    const names = this.inUse()?.join() ?? '';
    if (names === this.#inUse) return;
    this.#inUse = names;
    this.#need.onInUse();
  }

  #enderOf(uid: string): AbortSignal {
    let ender = this.#enders.get(uid);
    if (ender === undefined) this.#enders.set(uid, (ender = new AbortController()));
    return AbortSignal.any([ender.signal, this.#lifetime.signal]);
  }

  #entry({ uniqueName, specName, isBlock }: NodeDevice, kind: PersistentKind): NodeVolume {
    let entry = this.#volumes.get(uniqueName);
    if (entry === undefined) {
      entry = {
        uniqueName,
        kind,
        specName,
        isBlock,
        device: 'none',
        isDeviceFound: false,
        pods: new Map(),
        wanted: new Set(),
        isAttachable: kind === 'csi' ? undefined : false,
      };
      this.#volumes.set(uniqueName, entry);
    }
    if (entry.specName === '') entry.specName = specName;
    return entry;
  }

  #handsOf(kind: PersistentKind): PersistentHands {
    const hands = this.#hands[kind];
    if (hands === undefined) throw new Error(`volumes of kind ${kind} are not served here`);
    return hands;
  }
}

/** Containers may be slow to go, and a look costs next to nothing. */
const tidyPeriodMs = 10_000;

const keyOf = ({ kind, isBlock, specName }: FoundPlace): string => `${kind}/${isBlock ? 'block' : 'files'}/${specName}`;
