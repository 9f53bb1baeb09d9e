/**
 * What pods use of disks: their volumes, their logs, their hosts file.
 *
 * Owns the newest figures of each pod. Measures in rounds of `volumeStatsAggPeriod` to twice that, all pods in one walk,
 * and only while somebody asks or a pod has a limit: without either it does nothing. Promises: who asks waits a moment
 * for the first figures, never for a slow disk; what cannot be measured has no figures, and holds up nobody else's.
 * Needs a walk of directories, the space of file systems, and whoever knows of volumes that are not made here.
 */
import { join } from 'node:path';
import type { DirectoryUsage, Measured } from '../../../adapters/disk-usage/disk-usage.ts';
import type { Filesystem } from '../../../adapters/host/host.ts';
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { podKey, uidOf } from '../../pod-model.ts';
import type { VolumeFigures } from '../../volume-model.ts';
import { type PodOnDisk, type PodStorageFigures, type VolumeStorage, nothingKnown } from './storage-figures.ts';
import { containerNames, hasStorageLimit, volumeMeasures } from './volume-measures.ts';

interface PodStorageNeed {
  /** Pods whose volumes are mounted. */
  pods(): Iterable<PodOnDisk>;
  walk(paths: readonly string[], signal: AbortSignal): Promise<Measured>;
  filesystem(path: string): Promise<Filesystem>;
  /** Of a claim's or a CSI driver's volume; undefined when nobody can tell. */
  askVolume(pod: Pod, volume: string, signal: AbortSignal): Promise<VolumeFigures | undefined>;
  /** Told of pods with limits when their figures are new. */
  onMeasured(pods: readonly Pod[], signal: AbortSignal): Promise<void>;
  /** `volumeStatsAggPeriod`; 0 or less: nothing is ever measured. */
  periodMs: number;
  /** From 0 to 1: how much of a period each wait is longer than one. */
  random(): number;
  clock: Clock;
  log: Logger;
}

/** `claims`: just the volumes of which others know, which costs no walk. */
export type Wish = 'claims' | 'all';

/** Who asked so long ago asks no more. */
const interestMs = 5 * 60_000;
/** Figures of a claim that take longer than this have none this time. */
const askDeadlineMs = 10_000;
/** A walk takes at most this part of the time: after a long one comes a longer rest. */
const restFactor = 20;

export class PodStorage {
  readonly #need: PodStorageNeed;
  readonly #figures = new Map<string, PodStorageFigures>();
  readonly #once = new Map<string, Map<string, DirectoryUsage>>();
  /** Pods with limits: measured although nobody asks. */
  readonly #limited = new Set<string>();
  readonly #askedMs = new Map<Wish, number>();
  /** When the next round of each kind is due, by the monotonic clock; absent: at once, when it is wanted. */
  readonly #dueMs = new Map<Wish, number>();
  /** Pods that were in a round of the kind, found or not. */
  readonly #measured: Record<Wish, ReadonlySet<string>> = { claims: new Set(), all: new Set() };
  /** Paths that could not be measured, so that each is told once. */
  readonly #failed = new Set<string>();
  /** Somebody asks for pods that were in no round yet: they get one of their own. */
  readonly #hasNew = new Set<Wish>();
  readonly #woken = new Map<Wish, PromiseWithResolvers<void>>();
  readonly #rounds = new Map<Wish, PromiseWithResolvers<void>>();

  constructor(need: PodStorageNeed) {
    this.#need = need;
  }

  get(uid: string): PodStorageFigures | undefined {
    return this.#figures.get(uid);
  }

  /** A pod has come: one with limits is measured from the next round on. */
  note(pod: Pod): void {
    if (this.#need.periodMs <= 0 || !hasStorageLimit(pod)) return;
    this.#limited.add(uidOf(pod));
    if (!this.#dueMs.has('all')) this.#dueMs.set('all', this.#need.clock.monotonicMs() + this.#nextWaitMs());
    this.#woken.get('all')?.resolve();
  }

  forget(uid: string): void {
    this.#figures.delete(uid);
    this.#once.delete(uid);
    this.#limited.delete(uid);
  }

  /** Somebody wants to see figures: waits for those of pods that have none, but no longer than `maxMs`. */
  async ask(wish: Wish, maxMs: number, signal: AbortSignal): Promise<void> {
    const { clock, periodMs } = this.#need;
    if (periodMs <= 0) return;
    const pods = [...this.#need.pods()].filter(({ pod }) => wish === 'all' || hasOthersVolumes(pod));
    if (pods.length === 0) return;
    this.#askedMs.set(wish, clock.monotonicMs());
    const isNew = pods.some(({ pod }) => !this.#measured[wish].has(uidOf(pod)));
    if (isNew) this.#hasNew.add(wish);
    const round = this.#rounds.get(wish) ?? Promise.withResolvers<void>();
    this.#rounds.set(wish, round);
    this.#woken.get(wish)?.resolve();
    if (!isNew) return;
    const enough = new AbortController();
    await Promise.race([round.promise, clock.sleep(maxMs, AbortSignal.any([signal, enough.signal]))]);
    enough.abort();
  }

  /** A walk that takes long does not hold up those who ask for claims alone. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#loop('claims', signal), this.#loop('all', signal)]);
  }

  async #loop(wish: Wish, signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#woken.get(wish)?.resolve(), { once: true });
    while (!signal.aborted) {
      const isDue = this.#isWanted(wish) && this.#untilDueMs(wish) <= 0;
      if (!isDue && !this.#hasNew.has(wish)) {
        await this.#untilWanted(wish, signal);
        continue;
      }
      this.#hasNew.delete(wish);
      const beganMs = this.#need.clock.monotonicMs();
      try {
        await this.#round(wish, isDue ? 'all' : 'new', signal);
      } catch (err) {
        if (signal.aborted) return;
        this.#need.log.warn({ reason: describeError(err) }, 'cannot measure what pods use of the disk, will retry');
      }
      const nowMs = this.#need.clock.monotonicMs();
      if (isDue) this.#dueMs.set(wish, nowMs + Math.max(this.#nextWaitMs(), (nowMs - beganMs) * restFactor));
      this.#rounds.get(wish)?.resolve();
      this.#rounds.delete(wish);
    }
  }

  #nextWaitMs(): number {
    return this.#need.periodMs * (1 + this.#need.random());
  }

  #isWanted(wish: Wish): boolean {
    return (wish === 'all' && this.#limited.size > 0) || this.#isAsked(wish);
  }

  #isAsked(wish: Wish): boolean {
    const askedMs = this.#askedMs.get(wish);
    return askedMs !== undefined && this.#need.clock.monotonicMs() - askedMs < interestMs;
  }

  #untilDueMs(wish: Wish): number {
    return (this.#dueMs.get(wish) ?? 0) - this.#need.clock.monotonicMs();
  }

  /** Until the next round is due, or somebody asks; without either no timer runs. */
  async #untilWanted(wish: Wish, signal: AbortSignal): Promise<void> {
    const woken = Promise.withResolvers<void>();
    this.#woken.set(wish, woken);
    if (!this.#isWanted(wish)) {
      await woken.promise;
      return;
    }
    const rest = new AbortController();
    const due = this.#need.clock.sleep(this.#untilDueMs(wish), AbortSignal.any([signal, rest.signal]));
    await Promise.race([due, woken.promise]);
    rest.abort();
  }

  async #round(wish: Wish, which: 'all' | 'new', signal: AbortSignal): Promise<void> {
    const isAsked = this.#isAsked(wish);
    const before = this.#measured[wish];
    const pods = [...this.#need.pods()].filter(({ pod }) =>
      which === 'new' ? !before.has(uidOf(pod)) : isAsked || this.#limited.has(uidOf(pod)),
    );
    await Promise.all([
      ...pods.map((one) => this.#askVolumes(one, signal)),
      wish === 'all' ? this.#walk(pods, signal) : undefined,
    ]);
    this.#measured[wish] = new Set([...(which === 'new' ? before : []), ...pods.map(({ pod }) => uidOf(pod))]);
    const here = new Set([...this.#need.pods()].map(({ pod }) => uidOf(pod)));
    for (const known of [this.#figures, this.#once]) {
      for (const uid of known.keys()) if (!here.has(uid)) known.delete(uid); // it went in the meantime
    }
  }

  async #walk(pods: readonly PodOnDisk[], signal: AbortSignal): Promise<void> {
    const paths = pods.flatMap((one) => this.#pathsOf(one));
    const { usages, failures } = await this.#need.walk(paths, signal);
    this.#tell(failures);
    await Promise.all(pods.map((one) => this.#noteWalked(one, usages)));
    const limited = pods.map(({ pod }) => pod).filter((pod) => this.#limited.has(uidOf(pod)));
    if (limited.length > 0) await this.#need.onMeasured(limited, signal);
  }

  /** Asks for the volumes that others keep; one that does not answer has no figures. */
  async #askVolumes({ pod, volumes }: PodOnDisk, signal: AbortSignal): Promise<void> {
    const { askVolume, clock, log } = this.#need;
    const measures = volumeMeasures(pod).filter(({ name, how }) => how === 'ask' && volumes.has(name));
    const found = await Promise.all(
      measures.map(async ({ name, claim, isLocalEphemeral }): Promise<VolumeStorage[]> => {
        const what = `Asking for the figures of volume "${name}" of pod "${podKey(pod)}"`;
        try {
          const figures = await withDeadline(what, askDeadlineMs, clock, signal, (s) => askVolume(pod, name, s));
          return figures === undefined ? [] : [{ name, claim, isLocalEphemeral, atMs: clock.nowMs(), figures }];
        } catch (err) {
          log.debug({ pod: podKey(pod), volume: name, reason: describeError(err) }, 'a volume has no figures');
          return [];
        }
      }),
    );
    const known = this.#figures.get(uidOf(pod)) ?? nothingKnown(clock.nowMs());
    const others = known.volumes.filter(({ name }) => !measures.some((one) => one.name === name));
    this.#figures.set(uidOf(pod), { ...known, volumes: [...others, ...found.flat()] });
  }

  #pathsOf({ pod, volumes, logDirectory, hostsFile }: PodOnDisk): string[] {
    const once = this.#once.get(uidOf(pod));
    const ofVolumes = volumeMeasures(pod).flatMap(({ name, how }) =>
      how === 'ask' || once?.has(name) === true ? [] : [volumes.get(name)?.hostPath ?? []].flat(),
    );
    const ofLogs = containerNames(pod).map((name) => join(logDirectory, name));
    return [...ofVolumes, logDirectory, ...ofLogs, hostsFile];
  }

  async #noteWalked(
    { pod, volumes, logDirectory, hostsFile }: PodOnDisk,
    usages: ReadonlyMap<string, DirectoryUsage>,
  ): Promise<void> {
    const { clock } = this.#need;
    const uid = uidOf(pod);
    const atMs = clock.nowMs();
    const walked: VolumeStorage[] = [];
    const once = this.#once.get(uid) ?? new Map<string, DirectoryUsage>();
    for (const { name, how, claim, isLocalEphemeral } of volumeMeasures(pod)) {
      const path = volumes.get(name)?.hostPath;
      if (how === 'ask' || path === undefined) continue;
      const usage = once.get(name) ?? usages.get(path);
      if (usage === undefined) continue;
      if (how === 'walk-once') once.set(name, usage);
      walked.push({ name, claim, isLocalEphemeral, atMs, figures: await this.#figuresAt(path, usage) });
    }
    if (once.size > 0) this.#once.set(uid, once);
    const logs = containerNames(pod).flatMap((name) => {
      const usage = usages.get(join(logDirectory, name));
      return usage === undefined ? [] : [[name, usage] as const];
    });
    const asked = this.#figures.get(uid)?.volumes ?? [];
    const figures = {
      atMs,
      volumes: [...walked, ...asked.filter(({ name }) => !walked.some((one) => one.name === name))],
      podLogs: usages.get(logDirectory),
      containerLogs: new Map(logs),
      hostsFile: usages.get(hostsFile),
    };
    this.#figures.set(uid, figures);
  }

  /** Space and inodes are those of the file system that the directory lies on. */
  async #figuresAt(path: string, { bytes, inodes }: DirectoryUsage): Promise<VolumeFigures> {
    const space = await this.#need.filesystem(path).catch(() => undefined); // it has just gone
    return {
      capacityBytes: space?.capacityBytes,
      availableBytes: space?.availableBytes,
      usedBytes: bytes,
      inodes: space?.inodes,
      inodesFree: space?.inodesFree,
      inodesUsed: inodes,
    };
  }

  #tell(failures: ReadonlyMap<string, Error>): void {
    for (const path of this.#failed) if (!failures.has(path)) this.#failed.delete(path);
    for (const [path, err] of failures) {
      if (this.#failed.has(path)) continue;
      this.#failed.add(path);
      this.#need.log.warn({ reason: describeError(err) }, 'cannot measure what a directory of a pod holds');
    }
  }
}

const hasOthersVolumes = (pod: Pod): boolean => volumeMeasures(pod).some(({ how }) => how === 'ask');
