/**
 * What should run: the one owner of the desired pods, merged from all sources, and of which sources have spoken.
 * Mirror pods are kept apart: they stand for static pods on the API and never run themselves.
 */
import type { Clock } from '../../base/clock.ts';
import { rfc3339Nanos } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import {
  type PodChange,
  type PodSource,
  configSeenAnnotation,
  isMirrorPod,
  isStaticPod,
  podFullName,
  podKey,
  podSource,
  uidOf,
} from '../pod-model.ts';
import { classifyChange, dropDuplicates, inDeliveryOrder, withLocalAnnotations } from './merge-sources.ts';

interface PodStoreNeed {
  sources: readonly PodSource[];
  onChanges(changes: readonly PodChange[]): void;
  /** Two pods of one source with the same name: the later one is left out. */
  onDuplicate(pod: Pod, source: PodSource): void;
  clock: Clock;
  log: Logger;
}

export class PodStore {
  readonly #need: PodStoreNeed;
  readonly #pods = new Map<string, Pod>();
  readonly #uidByFullName = new Map<string, string>();
  readonly #mirrors = new Map<string, Pod>();
  readonly #uidsBySource = new Map<PodSource, Set<string>>();

  constructor(need: PodStoreNeed) {
    this.#need = need;
  }

  /** A source's complete set. Told as often as the source likes; only differences go on. */
  setAll(source: PodSource, all: readonly Pod[]): void {
    const { pods, duplicates } = dropDuplicates(all);
    for (const pod of duplicates) this.#need.onDuplicate(pod, source);
    const before = this.#uidsBySource.get(source) ?? new Set<string>();
    const now = new Set(pods.map(uidOf));
    this.#uidsBySource.set(source, now);
    const changes: PodChange[] = [];
    for (const uid of before) if (!now.has(uid)) this.#apply(changes, uid, undefined, source);
    for (const pod of pods) this.#apply(changes, uidOf(pod), pod, source);
    if (changes.length > 0) this.#need.onChanges(inDeliveryOrder(changes));
  }

  /** One pod of a source that has delivered its set before; `undefined` removes it. */
  setOne(source: PodSource, uid: string, pod: Pod | undefined): void {
    const uids = this.#uidsBySource.get(source) ?? new Set<string>();
    this.#uidsBySource.set(source, uids);
    if (pod === undefined) uids.delete(uid);
    else uids.add(uid);
    const changes: PodChange[] = [];
    this.#apply(changes, uid, pod, source);
    if (changes.length > 0) this.#need.onChanges(changes);
  }

  #apply(changes: PodChange[], uid: string, pod: Pod | undefined, source: PodSource): void {
    const old = this.#pods.get(uid) ?? this.#mirrors.get(uid);
    // A uid belongs to the source that brought it; another source cannot take it away.
    if (pod === undefined && old !== undefined && podSource(old) !== source) return;
    const seen = old?.metadata.annotations?.[configSeenAnnotation] ?? rfc3339Nanos(this.#need.clock.nowMs());
    const now = pod === undefined ? undefined : withLocalAnnotations(pod, source, seen);
    const change = classifyChange(old, now);
    if (change === undefined) {
      // Nothing to act on, yet the newest resource version and status are ours to know.
      if (now !== undefined) this.#put(uid, now);
      return;
    }
    if (now === undefined) this.#remove(uid);
    else this.#put(uid, now);
    changes.push(change);
  }

  #put(uid: string, pod: Pod): void {
    if (isMirrorPod(pod)) {
      this.#mirrors.set(uid, pod);
      return;
    }
    this.#pods.set(uid, pod);
    this.#uidByFullName.set(podFullName(pod), uid);
  }

  #remove(uid: string): void {
    const pod = this.#pods.get(uid);
    this.#pods.delete(uid);
    this.#mirrors.delete(uid);
    if (pod === undefined || this.#uidByFullName.get(podFullName(pod)) !== uid) return;
    const name = podFullName(pod);
    // another source may have a pod of that name, which has it from now on
    const other = [...this.#pods.values()].findLast((one) => podFullName(one) === name);
    if (other === undefined) this.#uidByFullName.delete(name);
    else this.#uidByFullName.set(name, uidOf(other));
  }

  /** Whether every source has delivered its first set: only then may unknown pods be taken for removed ones. */
  get isComplete(): boolean {
    return this.#need.sources.every((source) => this.#uidsBySource.has(source));
  }

  hasSpoken(source: PodSource): boolean {
    return this.#uidsBySource.has(source);
  }

  get(uid: string): Pod | undefined {
    return this.#pods.get(uid);
  }

  byName(namespace: string, name: string): Pod | undefined {
    const uid = this.#uidByFullName.get(`${name}_${namespace}`);
    return uid === undefined ? undefined : this.#pods.get(uid);
  }

  /** Everything that should run here; mirrors are not in it. */
  list(): Pod[] {
    return [...this.#pods.values()];
  }

  mirrors(): Pod[] {
    return [...this.#mirrors.values()];
  }

  /** The mirror of a static pod, as the API has it. */
  mirrorOf(pod: Pod): Pod | undefined {
    const name = podFullName(pod);
    for (const mirror of this.#mirrors.values()) if (podFullName(mirror) === name) return mirror;
    return undefined;
  }

  /** The static pod that a mirror stands for. */
  staticOf(mirror: Pod): Pod | undefined {
    const uid = this.#uidByFullName.get(podFullName(mirror));
    const pod = uid === undefined ? undefined : this.#pods.get(uid);
    return pod !== undefined && isStaticPod(pod) ? pod : undefined;
  }

  /** For messages: `namespace/name` of a uid, or the uid itself. */
  describe(uid: string): string {
    const pod = this.#pods.get(uid) ?? this.#mirrors.get(uid);
    return pod === undefined ? uid : podKey(pod);
  }
}
