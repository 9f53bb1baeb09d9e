/**
 * What nobody wants any more: lanes, runtime pods, directories, cgroups, mirrors, ended containers and their logs.
 * Looks every two seconds at what is in memory, and at the disk when a pod has ended or a minute has passed.
 * Nothing is taken for unwanted before every source of pods has spoken.
 *
 * Each pod is cleaned up by itself: one whose removal hangs or fails holds up neither the look-around nor another pod.
 */
import { waitIsOver } from '../base/quiet-abort.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { KeyedRunner } from '../base/keyed-runner.ts';
import type { Logger } from '../base/logger.ts';
import type { Pod } from '../objects/generated/core-v1.ts';
import type { PodStore } from './desired/pod-store.ts';
import type { PodWorkers } from './dispatch/pod-workers.ts';
import { collectGarbage, removeDanglingLinks, removeLogDirectories, uidsWithLogs } from './execute/collect-garbage.ts';
import type { ContainerKiller } from './execute/container-kill.ts';
import { type Garbage, type GarbagePolicy, selectGarbage, selectSurplus } from './execute/select-garbage.ts';
import { UnknownContainers } from './execute/unknown-containers.ts';
import type { Cri } from '../adapters/cri/cri.ts';
import type { Observe } from './observe/observe.ts';
import { type ObservedPod, isStaticPod, isTerminalPhase, podFullName, uidOf } from './pod-model.ts';
import { type RemainsNeed, removeRemains } from './remove-remains.ts';

interface HousekeepingNeed {
  store: PodStore;
  workers: PodWorkers;
  observe: Observe;
  cri: Cri;
  killer: Pick<ContainerKiller, 'killContainer'>;
  volumes: RemainsNeed['volumes'] & { orphans(): Promise<string[]> };
  cgroups: RemainsNeed['cgroups'] & { list(): Promise<string[]> };
  deleteMirror(mirror: Pod, signal: AbortSignal): Promise<void>;
  /** The pod was refused: it has no lane, and is nobody's leftover. */
  isRejected(uid: string): boolean;
  /** Pods that a status is kept of. */
  reported(): Iterable<string>;
  /** Everything else that remembers the pod lets go of it. */
  forget(uid: string): void;
  garbage: GarbagePolicy;
  podLogsDir: string;
  containerLogsDir: string;
  clock: Clock;
  log: Logger;
}

const periodMs = 2000;
const diskPeriodMs = 60_000;

export class Housekeeping {
  readonly #need: HousekeepingNeed;
  readonly #collector = new KeyedRunner((uid) => this.#collect(uid));
  readonly #unknown: UnknownContainers;
  readonly #mirrors = new KeyedRunner((uid) => this.#tidyMirror(uid));
  #signal: AbortSignal = AbortSignal.abort();
  #diskIsDirty = true;
  #linksAreDirty = true;
  /** Ended containers that the last look at the whole node has found too many. */
  #surplus: ReadonlySet<string> = new Set();
  #wake: () => void = () => {};

  constructor(need: HousekeepingNeed) {
    this.#need = need;
    this.#unknown = new UnknownContainers({
      observed: (uid) => need.observe.get(uid),
      killer: need.killer,
      remove: (container, signal) => this.#drop(container.uid, { containers: [container], sandboxes: [] }, signal),
      onEnded: (uid) => this.collect(uid),
      log: need.log,
    });
  }

  /** A pod has ended: look soon. */
  touch(): void {
    this.#diskIsDirty = true;
    this.#wake();
  }

  /** Something of the pod has ended: drop what is not needed of it. */
  collect(uid: string): void {
    this.#collector.mark(uid);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#need;
    this.#signal = signal;
    let lastDiskMs = -Infinity;
    while (!signal.aborted) {
      const touched = new AbortController();
      try {
        if (this.#need.store.isComplete) {
          this.#tidyLanes();
          const nowMs = clock.monotonicMs();
          if (this.#diskIsDirty || nowMs - lastDiskMs >= diskPeriodMs) {
            this.#diskIsDirty = false;
            lastDiskMs = nowMs;
            this.#linksAreDirty = true;
            this.#surplus = selectSurplus(this.#need.garbage, {
              pods: [...this.#need.observe.list()],
              mayRemoveAll: (uid) => this.#mayRemove(uid),
              nowMs: clock.nowMs(),
            });
            await this.#lookEverywhere();
          }
          if (this.#linksAreDirty) {
            this.#linksAreDirty = false;
            await this.#tidyLinks();
          }
        }
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ err }, 'housekeeping failed, will retry');
      }
      this.#wake = () => touched.abort(waitIsOver);
      await clock.sleep(periodMs, AbortSignal.any([signal, touched.signal]));
    }
    // the collector's lanes end first: they begin what the others do
    await Promise.all([this.#collector.whenIdle(), this.#mirrors.whenIdle()]);
    await this.#unknown.whenIdle();
    await this.#collector.whenIdle();
  }

  #tidyLanes(): void {
    const { store, workers, observe } = this.#need;
    for (const uid of workers.uids()) {
      const state = workers.state(uid);
      const wanted = store.get(uid);
      if (wanted !== undefined && state?.isWantedAgain !== true) continue;
      if (state?.phase === 'finished') {
        workers.forget(uid);
        this.#need.forget(uid);
        this.#diskIsDirty = true;
        if (wanted !== undefined) workers.update({ pod: wanted, isNew: true });
      } else if (wanted === undefined && state !== undefined && state.phase === 'sync') {
        workers.update({ pod: state.pod, kill: {} });
      }
    }
    for (const pod of store.list()) {
      // Refused, and deleted since: it still has to be let go of on the API.
      if (pod.metadata.deletionTimestamp !== undefined && workers.state(pod.metadata.uid ?? '') === undefined) {
        workers.update({ pod });
      }
    }
    for (const observed of observe.list()) {
      const isKnown = workers.state(observed.uid) !== undefined || store.get(observed.uid) !== undefined;
      if (isKnown || !holdsSomething(observed)) continue;
      this.#need.log.info(
        { uid: observed.uid, pod: `${observed.namespace}/${observed.name}` },
        'ending a pod that nobody asks for',
      );
      workers.update({ pod: podFromRuntime(observed), isRuntimeOnly: true, kill: { gracePeriodSeconds: 1 } });
    }
    for (const mirror of store.mirrors()) this.#mirrors.mark(uidOf(mirror));
    for (const uid of this.#need.reported()) {
      // one that was refused never had a lane whose end it could be forgotten at
      if (store.get(uid) === undefined && workers.state(uid) === undefined) this.#need.forget(uid);
    }
  }

  /** Deletes a mirror whose static pod is gone. */
  async #tidyMirror(uid: string): Promise<void> {
    const { store, deleteMirror, log } = this.#need;
    const mirror = store.mirrors().find((one) => uidOf(one) === uid);
    if (mirror === undefined || store.staticOf(mirror) !== undefined || this.#isEnding(mirror)) return;
    try {
      await deleteMirror(mirror, this.#signal);
    } catch (err) {
      if (!this.#signal.aborted)
        log.warn({ uid, reason: describeError(err) }, 'cannot delete the mirror of a pod that is gone, will retry');
    }
  }

  /** The static pod behind a mirror is gone from its source, but not from the node: the API shows it until then. */
  #isEnding(mirror: Pod): boolean {
    const { workers } = this.#need;
    return workers.uids().some((uid) => {
      const state = workers.state(uid);
      if (state === undefined || state.phase === 'finished') return false;
      return isStaticPod(state.pod) && podFullName(state.pod) === podFullName(mirror);
    });
  }

  /** Marks every pod of which there is something in the runtime or on the disk. */
  async #lookEverywhere(): Promise<void> {
    const { volumes, cgroups, observe, podLogsDir, log } = this.#need;
    const found = await Promise.allSettled([volumes.orphans(), cgroups.list(), uidsWithLogs(podLogsDir)]);
    const uids = new Set([...observe.list()].map(({ uid }) => uid));
    for (const result of found) {
      if (result.status === 'fulfilled') for (const uid of result.value) uids.add(uid);
      else log.warn({ reason: describeError(result.reason) }, 'cannot see what is left of pods, will retry');
    }
    for (const uid of uids) this.#collector.mark(uid);
  }

  /** Drops what has ended of one pod, and all of one that is gone. */
  async #collect(uid: string): Promise<void> {
    const { observe, log, store, workers } = this.#need;
    const signal = this.#signal;
    // a turn in progress may still need what looks like garbage; it ends with a change, or the next round comes
    if (!store.isComplete || workers.isBusy(uid) || signal.aborted) return;
    const pod = observe.get(uid);
    if (pod !== undefined) {
      const garbage = selectGarbage(this.#need.garbage, this.#surplus, {
        pods: [pod],
        mayRemoveAll: (one) => this.#mayRemove(one),
      });
      for (const container of garbage.containers) if (container.isUnknown) this.#unknown.end(container, signal);
      const ended = garbage.containers.filter(({ isUnknown }) => !isUnknown);
      try {
        await this.#drop(uid, { ...garbage, containers: ended }, signal);
      } catch (err) {
        if (!signal.aborted) log.warn({ uid, reason: describeError(err) }, 'cannot look at a pod after its clean-up');
      }
    }
    if (!this.#mayRemove(uid) || this.#unknown.isEnding(uid)) return;
    const removeLogs = (one: string): Promise<void> => removeLogDirectories(this.#need.podLogsDir, one);
    await removeRemains({ ...this.#need, removeLogs }, uid, signal);
    this.#linksAreDirty = true;
  }

  async #drop(uid: string, garbage: Garbage, signal: AbortSignal): Promise<void> {
    const { observe, cri, log, podLogsDir } = this.#need;
    const touched = await collectGarbage({ cri, podLogsDir, log }, garbage, signal);
    if (touched.size > 0) await observe.inspect(uid, signal);
  }

  async #tidyLinks(): Promise<void> {
    const running = [...this.#need.observe.list()].flatMap(({ containers }) =>
      containers.filter(({ state }) => state === 'running').map(({ id }) => id),
    );
    await removeDanglingLinks(this.#need.containerLogsDir, (start) => running.some((id) => id.startsWith(start)));
  }

  /** Neither wanted, nor on its way out, nor running. */
  #mayRemove(uid: string): boolean {
    const { store, workers, observe } = this.#need;
    const state = workers.state(uid);
    if (state !== undefined) {
      const wanted = store.get(uid);
      const isEvicted = state.kill.isEviction === true || wanted?.status?.reason === 'Evicted';
      return state.phase === 'finished' && (isEvicted || isLetGo(wanted));
    }
    if (store.get(uid) !== undefined) return this.#need.isRejected(uid);
    const observed = observe.get(uid);
    if (observed === undefined) return !observe.isUnseen(uid); // nobody has looked yet: it may run
    return !holdsSomething(observed);
  }
}

/** Gone from the API, or kept there by a finalizer alone: how it ended is told. */
const isLetGo = (pod: Pod | undefined): boolean =>
  pod === undefined || (pod.metadata.deletionTimestamp !== undefined && isTerminalPhase(pod.status?.phase));

const holdsSomething = ({ containers, sandboxes }: ObservedPod): boolean =>
  containers.some(({ state }) => state === 'running' || state === 'unknown') ||
  sandboxes.some(({ isReady }) => isReady);

/** As much of a pod as the runtime remembers: names and images. */
function podFromRuntime({ uid, name, namespace, containers }: ObservedPod): Pod {
  const names = new Map(containers.map((container) => [container.name, container.image]));
  return {
    metadata: { uid, name, namespace },
    spec: { containers: [...names].map(([container, image]) => ({ name: container, image })) },
  };
}
