/**
 * The volumes of this node's pods: what containers find mounted.
 *
 * Owns `<root>/pods/<uid>` with everything in it, and the mounts below it. Promises: mounting is idempotent and adopts
 * what an earlier kubelet made; projected content follows the API while the pod runs, whole sets at a time; a pod's
 * volumes are worked on by one hand at a time, and a stuck one holds up its pod alone; taking down never deletes
 * across a mount point and leaves nothing. Needs the objects and tokens from the API, and the mounts adapter; retries
 * and back-off are the caller's.
 */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../../../base/errors.ts';
import { KeyedRunner } from '../../../base/keyed-runner.ts';
import { Semaphore } from '../../../base/semaphore.ts';
import type { Pod, Volume } from '../../../objects/generated/core-v1.ts';
import { memoryBytesOf, parseResources } from '../../../objects/resource-list.ts';
import { podKey, uidOf } from '../../pod-model.ts';
import type { VolumeSpace } from '../../volume-model.ts';
import { type PayloadSources, fetchPayload, payloadDigest } from './fetch-payload.ts';
import { checkWithin } from './host-path-volumes.ts';
import { limitFailure, mountFailure } from './mount-failure.ts';
import { nestedMountPoints } from './nested-mounts.ts';
import type { NodeVolumesNeed } from './node-volumes-need.ts';
import { NodeVolumes, volumeWaitMs } from './node-volumes.ts';
import { operationLabel } from './operation-labels.ts';
import { PodDirectories } from './pod-directories.ts';
import { type IssuedToken, ServiceAccountTokens, type TokenWish } from './service-account-tokens.ts';
import { isPersistent } from './resolve-volume.ts';
import { tryUntil } from './try-until.ts';
import {
  type VolumeKind,
  isProjectedKind,
  referencedObjects,
  selectUnsupportedVolume,
  usedVolumes,
  volumeKind,
} from './volume-kinds.ts';
import { type Medium, mediumOf } from './volume-medium.ts';
import { VolumeOperations } from './volume-operations.ts';
import { VolumePaths } from './volume-paths.ts';
import { type Hands, type MountsNeed, type PlaceOfVolume, setUpEmptyDir, setUpProjected } from './volume-setup.ts';

export type { PodFields } from './file-payload.ts';
export type { IssuedToken, TokenWish } from './service-account-tokens.ts';

export interface MountedVolume {
  /** The path that containers mount (for hostPath the host's own). */
  hostPath: string;
  /** Containers may not write, whatever their volumeMount says. */
  readOnly: boolean;
  /** The name of its directory when that is not the volume's: a PersistentVolume's. */
  specName?: string;
  /** `hostPath` is a link to a device, for containers to have and not to mount. */
  isBlock?: boolean;
  /** A group that containers are to be in to use it. */
  gid?: number | undefined;
  /** Upstream's name of its kind, where that is not the kind of the pod's own volume: what a claim stands for. */
  plugin?: string;
  space?: VolumeSpace;
}

/** How often content is compared with the API without being told of a change, in ms, is `syncFrequencyMs`. */
export interface VolumesNeed extends Omit<PayloadSources, 'getToken'>, NodeVolumesNeed {
  /** How long a pod's turn waits for volumes that fail; 2m03s by default. */
  mountWaitMs?: number;
  /** The newest state of a pod; undefined when it is not wanted any more. */
  getPod(uid: string): Pod | undefined;
  requestToken(wish: TokenWish, signal: AbortSignal): Promise<IssuedToken>;
  mounts: MountsNeed & NodeVolumesNeed['mounts'];
  /** What pods may use of the node. */
  nodeAllocatable(): Record<string, string>;
}

/** While a claim leads nowhere the pod waits no longer for the first try of its other volumes. */
const besideMs = 10_000;
/** A volume that takes as long is worth a line of its own in the pod's timeline. */
const slowVolumeMs = 500;
/** Volumes whose files are written at one time; each holds a few descriptors open. */
const writersMax = 16;
/** Pods whose content is compared at one time. */
const refreshesMax = 4;

interface MountedPod {
  /** Digest of what each projected volume shows, as far as we wrote it or found it. */
  digests: Map<string, string>;
}

export class Volumes {
  readonly #need: VolumesNeed;
  readonly #paths: VolumePaths;
  readonly #hands: Hands;
  readonly #directories: PodDirectories;
  readonly #operations: VolumeOperations;
  /** Volumes that are mounted from elsewhere. */
  readonly node: NodeVolumes;
  readonly #tokens: ServiceAccountTokens;
  readonly #sources: PayloadSources;
  readonly #mounted = new Map<string, MountedPod>();
  readonly #turns = new Map<string, Promise<void>>();
  readonly #writers = new Semaphore(writersMax);
  readonly #refreshes = new Semaphore(refreshesMax);
  readonly #refresher = new KeyedRunner((uid) => this.#refresh(uid));
  /** Uids whose files are to be compared on disk too, not just with what we remember. */
  readonly #toVerify = new Set<string>();
  #running: AbortSignal | undefined;

  constructor(need: VolumesNeed) {
    this.#need = need;
    this.#paths = new VolumePaths(need.rootDir);
    this.#hands = { paths: this.#paths, mounts: need.mounts, log: need.log };
    this.node = new NodeVolumes(need);
    this.#operations = new VolumeOperations(need.clock);
    this.#directories = new PodDirectories(this.#hands, this.node);
    this.#tokens = new ServiceAccountTokens(need);
    this.#sources = {
      getConfigMap: (namespace, name, signal) => need.getConfigMap(namespace, name, signal),
      getSecret: (namespace, name, signal) => need.getSecret(namespace, name, signal),
      podFields: (pod) => need.podFields(pod),
      getToken: (wish, signal) => this.#tokens.get(wish, signal),
      getTrustAnchors: (wish, signal) => need.getTrustAnchors(wish, signal),
      getPodCertificate: (...about) => need.getPodCertificate(...about),
    };
  }

  /** Makes the root directory, and makes mounts below it visible to containers that ask for propagation. */
  async prepareRoot(signal: AbortSignal): Promise<void> {
    await this.#need.mounts.ensureShared(this.#need.rootDir, signal);
    await mkdir(this.#paths.pods, { recursive: true, mode: 0o750 });
    await mkdir(join(this.#need.rootDir, 'plugins'), { recursive: true, mode: 0o750 });
  }

  /** Keeps projected content and tokens of mounted pods fresh until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    this.#running = signal;
    while (!signal.aborted) {
      await this.#need.clock.sleep(this.#need.syncFrequencyMs, signal);
      if (signal.aborted) break;
      for (const [uid, { digests }] of this.#mounted) {
        if (digests.size === 0 && !this.node.hasDriven(uid)) continue;
        this.#toVerify.add(uid);
        this.#refresher.mark(uid);
      }
    }
    await this.#refresher.whenIdle();
    this.#running = undefined;
  }

  /** An object changed, appeared or went: volumes of running pods that show it are brought up to date. */
  markObject(kind: 'ConfigMap' | 'Secret', namespace: string, name: string): void {
    this.markVolumes(
      (volume, pod) =>
        (pod.metadata.namespace ?? 'default') === namespace &&
        referencedObjects(volume).some((ref) => ref.kind === kind && ref.name === name),
    );
  }

  /**
   * What some volumes show has changed: they are brought up to date, and those that wait for it are tried at once.
   * @returns the uids of their pods
   */
  markVolumes(isMeant: (volume: Volume, pod: Pod) => boolean): string[] {
    const uids: string[] = [];
    for (const uid of this.#mounted.keys()) {
      const pod = this.#need.getPod(uid);
      if (pod === undefined) continue;
      const meant = usedVolumes(pod).filter((volume) => isMeant(volume, pod));
      for (const volume of meant) this.#operations.hurry(`${uid}/${volume.name}`);
      if (meant.length === 0) continue;
      uids.push(uid);
      this.markPod(uid);
    }
    return uids;
  }

  /** The pod's own fields changed. */
  markPod(uid: string): void {
    if (this.#running !== undefined && this.#mounted.has(uid)) this.#refresher.mark(uid);
  }

  /** Names the first volume that this node cannot serve; undefined when it can serve all. */
  refused(pod: Pod): string | undefined {
    return selectUnsupportedVolume(pod, { hasCsi: this.#need.csi !== undefined });
  }

  /**
   * Sets up every volume that some container mounts; what is set up is brought up to date. What fails is tried again for
   * as long as a pod's turn waits.
   *
   * @returns the volumes by their name in the pod
   * @throws {VolumeLimitError} when the node cannot have one of them attached
   * @throws {Error} naming all that could not be set up; each has had its `FailedMount` event
   */
  async mount(pod: Pod, signal: AbortSignal): Promise<ReadonlyMap<string, MountedVolume>> {
    const uid = uidOf(pod);
    return await this.#inTurn(uid, async () => {
      signal.throwIfAborted();
      const known = this.#mounted.get(uid) ?? { digests: new Map() };
      this.#mounted.set(uid, known);
      const used = new Map(usedVolumes(pod).map((volume) => [volume.name, volume]));
      const resolved = await this.node.resolve(pod, [...used.values()].filter(isPersistent), signal);
      const unprocessed = new Map([...resolved].filter((one): one is [string, Error] => one[1] instanceof Error));
      const { mountWaitMs = volumeWaitMs, clock } = this.#need;
      const tried = [...used.keys()].filter((name) => !unprocessed.has(name));
      const { done, failed } = await tryUntil(
        tried,
        async (name, inner): Promise<MountedVolume> => {
          const other = resolved.get(name);
          if (other !== undefined && !(other instanceof Error)) return await this.node.mount(pod, other, inner);
          return await this.#setUpOwn(pod, used.get(name) ?? { name }, known, inner);
        },
        {
          retryForMs: unprocessed.size > 0 ? 0 : mountWaitMs,
          limitMs: unprocessed.size > 0 ? besideMs : volumeWaitMs,
          delayMs: (name) => {
            const other = resolved.get(name);
            if (other !== undefined && !(other instanceof Error)) return this.node.waitMs(other, uid);
            return this.#operations.waitMs(`${uid}/${name}`, 'mount');
          },
          clock,
        },
        signal,
      );
      const unmounted = [...used.keys()].filter((name) => !done.has(name));
      if (unmounted.length === 0) return done;
      const [cause] = [...failed.values()].filter((err) => err !== undefined);
      const lacking = { unmounted, unattached: this.node.unattached(uid), unprocessed, cause };
      if (await this.node.isOverLimit(uid, resolved, signal)) throw limitFailure(lacking);
      const failure = mountFailure(lacking);
      if (unprocessed.size > 0) this.#need.event(pod, 'Warning', 'FailedMount', describeError(failure));
      throw failure;
    });
  }

  /** A volume that is a directory of its pod's. It is waited for to its end: what comes after must not meet it. */
  async #setUpOwn(pod: Pod, volume: Volume, known: MountedPod, signal: AbortSignal): Promise<MountedVolume> {
    const { clock, onOperation } = this.#need;
    const attempt = async (): Promise<MountedVolume> => {
      const beganMs = clock.monotonicMs();
      let hasFailed = true;
      try {
        const setUp = (): Promise<MountedVolume> => this.#setUp(pod, volume, known, signal);
        const options = { quietBelowMs: slowVolumeMs };
        const mounted = await this.#need.phases.span(pod, `volume ${volume.name}`, setUp, options);
        hasFailed = false;
        return mounted;
      } catch (err) {
        if (!signal.aborted) this.#reportFailure(pod, volume.name, err);
        throw err;
      } finally {
        const plugin = `kubernetes.io/${volumeKind(volume) ?? 'unknown'}`;
        const durationMs = clock.monotonicMs() - beganMs;
        onOperation({ plugin, operation: operationLabel('mount'), durationMs, hasFailed });
      }
    };
    return await this.#operations.run(`${uidOf(pod)}/${volume.name}`, 'mount', attempt, signal, { isLeft: false });
  }

  #reportFailure(pod: Pod, volume: string, err: unknown): void {
    const message = `MountVolume.SetUp failed for volume "${volume}" : ${describeError(err)}`;
    this.#need.event(pod, 'Warning', 'FailedMount', message);
  }

  async #setUp(pod: Pod, volume: Volume, known: MountedPod, signal: AbortSignal): Promise<MountedVolume> {
    const kind = volumeKind(volume);
    if (kind === undefined) throw new Error(this.refused(pod) ?? 'no volume plugin matched');
    if (kind === 'host-path') {
      const source = volume.hostPath ?? { path: '' };
      await checkWithin(source, this.#need, signal);
      return { hostPath: source.path, readOnly: false };
    }
    if (kind === 'image') return { hostPath: '', readOnly: true }; // the runtime's own: it mounts it by itself
    const place = { uid: uidOf(pod), kind, name: volume.name };
    if (isProjectedKind(kind)) await this.#project(pod, volume, place, known, signal);
    else {
      const options = { medium: this.#mediumOf(pod, volume, kind), fsGroup: pod.spec.securityContext?.fsGroup };
      await this.#writers.with(signal, () => setUpEmptyDir(place, options, this.#hands, signal));
    }
    return { hostPath: this.#paths.volume(place.uid, kind, volume.name), readOnly: isProjectedKind(kind) };
  }

  async #project(
    pod: Pod,
    volume: Volume,
    place: PlaceOfVolume,
    known: MountedPod,
    signal: AbortSignal,
  ): Promise<void> {
    const payload = await fetchPayload(pod, volume, this.#sources, signal);
    const nested = nestedMountPoints(pod, volume.name);
    const digest = createHash('sha256').update(payloadDigest(payload)).update(JSON.stringify(nested)).digest('base64');
    if (known.digests.get(volume.name) === digest) return; // nothing new, and nobody else writes there
    await this.#writers.with(signal, () => {
      return setUpProjected(
        place,
        {
          payload,
          nested,
          medium: this.#mediumOf(pod, volume, place.kind),
          fsGroup: pod.spec.securityContext?.fsGroup,
          nowMs: this.#need.clock.nowMs(),
        },
        this.#hands,
        signal,
      );
    });
    known.digests.set(volume.name, digest);
  }

  #mediumOf(pod: Pod, volume: Volume, kind: VolumeKind): Medium {
    return mediumOf(pod, volume, kind, memoryBytesOf(parseResources(this.#need.nodeAllocatable())));
  }

  /** Never rejects: the runner counts on it. */
  async #refresh(uid: string): Promise<void> {
    const signal = this.#running;
    if (signal === undefined || signal.aborted) return;
    try {
      // The turn first: a pod that waits for its own stuck mount takes no place from the others.
      await this.#inTurn(uid, () => this.#refreshes.with(signal, () => this.#refreshInTurn(uid, signal)));
    } catch (err) {
      if (!signal.aborted) this.#need.log.warn({ err, uid }, 'cannot refresh the volumes of a pod, will retry');
    }
  }

  async #refreshInTurn(uid: string, signal: AbortSignal): Promise<void> {
    const pod = this.#need.getPod(uid);
    const known = this.#mounted.get(uid);
    if (pod === undefined || known === undefined) return;
    const isVerifying = this.#toVerify.delete(uid);
    // its end may come at any moment: what is made after that would come back from the dead
    const isEnded = (): boolean => this.#mounted.get(uid) !== known;
    for (const volume of usedVolumes(pod)) {
      if (isEnded()) return;
      const kind = volumeKind(volume);
      if (kind === undefined || !isProjectedKind(kind) || !known.digests.has(volume.name)) continue;
      const digests = isVerifying ? new Map<string, string>() : known.digests;
      try {
        await this.#project(pod, volume, { uid, kind, name: volume.name }, { digests }, signal);
        known.digests.set(volume.name, digests.get(volume.name) ?? '');
      } catch (err) {
        if (signal.aborted) return;
        this.#reportFailure(pod, volume.name, err);
        this.#need.log.warn(
          { err, pod: podKey(pod), uid, volume: volume.name },
          'cannot bring a volume up to date, its old content stays',
        );
      }
    }
    if (isVerifying && !isEnded()) await this.node.refresh(pod, usedVolumes(pod).filter(isPersistent), signal);
  }

  /**
   * Takes down all volumes of a pod, known or found on disk, sub paths first. Success when nothing is there.
   * @throws {Error} naming the first volume that stays; the others are taken down nevertheless
   */
  async unmount(uid: string, signal: AbortSignal): Promise<void> {
    const forget = (): void => {
      this.node.leave(uid);
      this.#mounted.delete(uid); // first, and for good: what is being taken down is not refreshed, whether it goes or not
      this.#toVerify.delete(uid);
    };
    forget();
    await this.#inTurn(uid, async () => {
      forget(); // a turn in between may have mounted
      await this.#directories.takeDown(uid, signal);
      this.#operations.forget(`${uid}/`);
      this.#tokens.forget(uid);
    });
  }

  /** Uids that have a directory below the root, or something of a volume elsewhere. */
  async orphans(): Promise<string[]> {
    return [...new Set([...(await this.#directories.uids()), ...this.node.uids()])];
  }

  /** Makes the directories that every pod has. */
  ensurePodDirs(uid: string): Promise<void> {
    return this.#directories.ensure(uid);
  }

  /** Removes what is left of a pod whose volumes are down. Refuses while a volume holds a file or a mount. */
  async removePodDir(uid: string, signal: AbortSignal): Promise<void> {
    await this.#inTurn(uid, () => this.#directories.remove(uid, signal));
    this.node.forget(uid);
  }

  /** One hand at a time for each pod, in the order of asking. */
  async #inTurn<T>(uid: string, work: () => Promise<T>): Promise<T> {
    const mine = (this.#turns.get(uid) ?? Promise.resolve()).then(work);
    const settled = mine.then(
      () => {},
      () => {}, // the caller gets it from `mine`
    );
    this.#turns.set(uid, settled);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(uid) === settled) this.#turns.delete(uid);
    }
  }
}
