/**
 * In-place resize: what each pod was given, what its containers run with, and whose wish for more (or less) waits.
 * Everybody else works with the pod as it was given (`given`); only this room compares that with the spec. A wish is
 * granted when the node would admit the pod with it; the pod's lane then carries it out and says so here.
 * Needs the two records, the store of desired pods, admission, and somebody to tell that a pod has changed.
 */
import type { Clock } from '../../../base/clock.ts';
import { rfc3339Seconds } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Container, Pod, PodCondition, ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import {
  type ObservedPod,
  type PodEvents,
  isTerminalPhase,
  latestContainer,
  podContainers,
  podKey,
  uidOf,
} from '../../pod-model.ts';
import {
  type ResizeTurn,
  byTurn,
  changedResources,
  infeasibleReason,
  isResized,
  needsRestart,
  resourcesOf,
  withResources,
} from './pod-resources.ts';
import { resizeMessage } from './resize-messages.ts';
import { recoverResources } from './recover-resources.ts';
import type { ResourceRecords } from './resource-records.ts';

type Records = Pick<
  ResourceRecords,
  'get' | 'container' | 'set' | 'setContainer' | 'setPod' | 'forget' | 'uids' | 'flush'
>;

/** Who counts what came of wishes. */
interface ResizeCounts {
  resizeRefused(detail: string): void;
  resizeGrantedLate(trigger: string): void;
}

/** What made us ask for those that wait, by the names under which it is counted. */
type Trigger = 'pod_updated' | 'pod_terminated' | 'periodic_retry';

interface ResizesNeed {
  allocated: Records;
  actuated: Records;
  /** The pod as its source wants it; undefined when nobody does. */
  desired(uid: string): Pod | undefined;
  /** Whether the node would take this pod, resized, beside all others. */
  refusal(desired: Pod): { message: string } | undefined;
  mayUseSwap(pod: Pod, container: Container): boolean;
  /** The pod was given something else: its lane carries it out. */
  onGiven(pod: Pod): void;
  /** The pod's status says something else now. */
  onStatusChanged(uid: string): void;
  /** Every source of pods has spoken. */
  isComplete(): boolean;
  counts: ResizeCounts;
  events: Pick<PodEvents, 'pod'>;
  clock: Clock;
  log: Logger;
}

interface Wish {
  reason: 'Deferred' | 'Infeasible' | undefined;
  message: string;
  generation: number | undefined;
  sinceMs: number;
}

interface Progress {
  generation: number | undefined;
  error: string | undefined;
  sinceMs: number;
  /** The lane has set everything; what is left is up to containers that start anew. */
  isApplied: boolean;
}

const retryMs = 180_000;
const retryBeforeCompleteMs = 30_000;
const pendingType = 'PodResizePending';
const progressType = 'PodResizeInProgress';

export class Resizes {
  readonly #need: ResizesNeed;
  readonly #wishes = new Map<string, Wish>();
  readonly #progress = new Map<string, Progress>();

  constructor(need: ResizesNeed) {
    this.#need = need;
  }

  /** Asks again for all that wait, from time to time. Lives until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, isComplete } = this.#need;
    let wasComplete = false;
    while (!signal.aborted) {
      const complete = isComplete();
      if (complete && !wasComplete) this.#forgetUnknown();
      wasComplete = complete;
      this.retry('periodic_retry');
      await clock.sleep(complete ? retryMs : retryBeforeCompleteMs, signal);
    }
  }

  /** The pod with what it was given, which is what it holds of the node and what its containers are to run with. */
  given(pod: Pod): Pod {
    return withResources(pod, this.#need.allocated.get(uidOf(pod)));
  }

  /** A pod that this process sees for the first time, and takes. */
  take(pod: Pod, isRunning: boolean): void {
    const { allocated, actuated } = this.#need;
    const uid = uidOf(pod);
    const known = isRunning ? recoverResources(pod) : resourcesOf(pod);
    if (allocated.get(uid) === undefined) allocated.set(uid, known);
    if (isRunning && actuated.get(uid) === undefined) actuated.set(uid, known);
    if (isRunning) this.#recoverConditions(pod);
    this.updated(pod);
  }

  /** The spec has changed, perhaps in what can be resized: then the pod waits to be asked for. */
  updated(pod: Pod): void {
    const uid = uidOf(pod);
    const allocated = this.#need.allocated.get(uid);
    if (allocated === undefined) return;
    if (!isResized(resourcesOf(pod), allocated) || pod.metadata.deletionTimestamp !== undefined) {
      this.#wishes.delete(uid); // taken back, or pointless by now
      return;
    }
    const sinceMs = this.#need.clock.nowMs();
    this.#wishes.set(uid, this.#wishes.get(uid) ?? { reason: undefined, message: '', generation: undefined, sinceMs });
  }

  /** Asks for each pod that waits, in order, until no more can be given; not before all pods are known. */
  retry(trigger: Trigger = 'pod_updated'): void {
    if (this.#wishes.size === 0 || !this.#need.isComplete()) return;
    let gaveBack = true;
    // what one pod gives back may be enough for another
    while (gaveBack) {
      gaveBack = false;
      for (const turn of this.#turns()) if (this.#ask(turn, trigger) === 'given') gaveBack = true;
    }
  }

  #turns(): ResizeTurn[] {
    const turns: ResizeTurn[] = [];
    for (const [uid, { sinceMs }] of this.#wishes) {
      const desired = this.#need.desired(uid);
      if (desired === undefined || isTerminalPhase(desired.status?.phase)) continue;
      turns.push({ desired, allocated: this.given(desired), sinceMs });
    }
    return turns.toSorted(byTurn);
  }

  #ask(turn: ResizeTurn, trigger: Trigger): 'given' | 'waits' {
    const { refusal, mayUseSwap } = this.#need;
    const { desired } = turn;
    try {
      const never = infeasibleReason(turn, (container) => mayUseSwap(desired, container));
      if (never !== undefined) return this.#refuse(desired, 'Infeasible', never, 'swap_limitation');
    } catch (err) {
      return this.#refuse(desired, 'Infeasible', describeError(err), 'unreadable'); // what cannot be read cannot be given
    }
    const refused = refusal(desired);
    if (refused !== undefined) return this.#refuse(desired, 'Deferred', refused.message);
    if (this.#wishes.get(uidOf(desired))?.reason === 'Deferred') this.#need.counts.resizeGrantedLate(trigger);
    return this.#give(desired);
  }

  /** @param detail of what can never be granted, as it is counted */
  #refuse(pod: Pod, reason: 'Deferred' | 'Infeasible', message: string, detail?: string): 'waits' {
    const { clock, counts, events, onStatusChanged, log } = this.#need;
    const uid = uidOf(pod);
    const { generation } = pod.metadata;
    const before = this.#wishes.get(uid);
    const isSame = before?.reason === reason && before.generation === generation;
    const sinceMs = before?.sinceMs ?? clock.nowMs();
    this.#wishes.set(uid, { reason, message, generation, sinceMs });
    if (isSame && before.message === message) return 'waits';
    onStatusChanged(uid);
    if (isSame) return 'waits';
    if (detail !== undefined) counts.resizeRefused(detail);
    log.info({ pod: podKey(pod), uid, reason, message }, 'pod cannot be resized now');
    events.pod(pod, 'Warning', `Resize${reason}`, resizeMessage(reason, pod, generation, message));
    return 'waits';
  }

  #give(pod: Pod): 'given' {
    const { allocated, clock, events, onGiven, log } = this.#need;
    const uid = uidOf(pod);
    const { generation } = pod.metadata;
    allocated.set(uid, resourcesOf(pod));
    this.#wishes.delete(uid);
    this.#progress.set(uid, { generation, error: undefined, sinceMs: clock.nowMs(), isApplied: false });
    log.info({ pod: podKey(pod), uid, generation }, 'pod is resized');
    events.pod(pod, 'Normal', 'ResizeStarted', resizeMessage('started', pod, generation));
    onGiven(pod);
    return 'given';
  }

  // ---- carrying it out

  /** The pod's lane has something to set. */
  isWanted(uid: string): boolean {
    return this.#progress.get(uid)?.isApplied === false;
  }

  /** The container runs with other amounts than it was given, and only a new start brings the new ones. */
  mustRestart(uid: string, container: Container): boolean {
    return needsRestart(container, this.changed(uid, container));
  }

  /** What of a running container is other than what it was given. */
  changed(uid: string, container: Container): ReturnType<typeof changedResources> {
    const runsWith = this.#need.actuated.container(uid, container.name);
    return runsWith === undefined ? [] : changedResources(runsWith, container.resources);
  }

  /** What of the pod's own amounts is other than what its cgroup was last given. */
  changedOfPod(pod: Pod): ReturnType<typeof changedResources> {
    if (pod.spec.resources === undefined) return [];
    const runsWith = this.#need.actuated.get(uidOf(pod))?.pod;
    return runsWith === undefined ? [] : changedResources(runsWith, pod.spec.resources);
  }

  /** The pod with what its containers were started or last updated with. */
  actual(pod: Pod): Pod {
    return withResources(pod, this.#need.actuated.get(uidOf(pod)));
  }

  /** A container is about to start. What differs from before is on disk first: else a restart would repeat it. */
  async starts(pod: Pod, { name, resources = {} }: Container): Promise<void> {
    const { actuated } = this.#need;
    const uid = uidOf(pod);
    const before = actuated.container(uid, name);
    const isChange = before !== undefined && changedResources(before, resources).length > 0;
    if (before !== undefined && !isChange) return;
    if (actuated.get(uid) === undefined) actuated.setPod(uid, pod.spec.resources);
    actuated.setContainer(uid, name, resources);
    if (isChange) await actuated.flush();
  }

  /** A running container has new amounts. */
  setContainer(uid: string, name: string, resources: ResourceRequirements): void {
    this.#need.actuated.setContainer(uid, name, resources);
  }

  /** Nothing is set in the runtime before the disk knows that it was given. */
  async whenRecorded(): Promise<void> {
    await this.#need.allocated.flush();
  }

  applied(pod: Pod): void {
    const uid = uidOf(pod);
    const progress = this.#progress.get(uid);
    if (pod.spec.resources !== undefined) this.#need.actuated.setPod(uid, pod.spec.resources);
    if (progress !== undefined) this.#progress.set(uid, { ...progress, error: undefined, isApplied: true });
  }

  failed(pod: Pod, err: unknown): void {
    const uid = uidOf(pod);
    const error = describeError(err);
    const progress = this.#progress.get(uid);
    if (progress === undefined || progress.error === error) return;
    this.#progress.set(uid, { ...progress, error, sinceMs: this.#need.clock.nowMs() });
    const message = resizeMessage('error', pod, progress.generation, error);
    this.#need.events.pod(pod, 'Warning', 'ResizeError', message);
  }

  /** Before each status: is there still something to do, or is it done? */
  settle(pod: Pod, observed: ObservedPod | undefined): void {
    const uid = uidOf(pod);
    const progress = this.#progress.get(uid);
    const isOpen = podContainers(pod).some(
      ({ kind, spec }) =>
        kind !== 'ephemeral' &&
        latestContainer(observed, spec.name)?.state === 'running' &&
        this.changed(uid, spec).length > 0,
    );
    if (progress === undefined) {
      if (!isOpen && this.changedOfPod(pod).length === 0) return;
      // given by an earlier process, which did not get to the end of it
      const { generation } = pod.metadata;
      const sinceMs = this.#need.clock.nowMs();
      this.#progress.set(uid, { generation, error: undefined, sinceMs, isApplied: false });
    } else if (progress.isApplied && !isOpen && this.changedOfPod(pod).length === 0) {
      this.#progress.delete(uid);
      const message = resizeMessage('completed', pod, progress.generation);
      this.#need.events.pod(pod, 'Normal', 'ResizeCompleted', message);
    }
  }

  // ---- status

  /** How many wait, by the reason, and how many are being carried out. */
  figures(): { deferred: number; infeasible: number; inProgress: number } {
    const reasons = [...this.#wishes.values()].map(({ reason }) => reason);
    const count = (wanted: Wish['reason']): number => reasons.filter((reason) => reason === wanted).length;
    return { deferred: count('Deferred'), infeasible: count('Infeasible'), inProgress: this.#progress.size };
  }

  conditions(uid: string): PodCondition[] {
    const wish = this.#wishes.get(uid);
    const progress = this.#progress.get(uid);
    return [
      ...(wish?.reason === undefined
        ? []
        : [condition(pendingType, wish.sinceMs, wish.generation, { reason: wish.reason, message: wish.message })]),
      ...(progress === undefined
        ? []
        : [
            condition(
              progressType,
              progress.sinceMs,
              progress.generation,
              progress.error === undefined ? {} : { reason: 'Error', message: progress.error },
            ),
          ]),
    ];
  }

  /** Drops what is remembered of a pod that is gone. */
  forget(uid: string): void {
    this.#wishes.delete(uid);
    this.#progress.delete(uid);
    this.#need.allocated.forget(uid);
    this.#need.actuated.forget(uid);
  }

  #recoverConditions({ metadata, status }: Pod): void {
    const uid = metadata.uid ?? '';
    for (const { type, reason, message = '', observedGeneration, lastTransitionTime } of status?.conditions ?? []) {
      const sinceMs = Date.parse(lastTransitionTime ?? '') || this.#need.clock.nowMs();
      const generation = observedGeneration ?? metadata.generation;
      if (type === pendingType && (reason === 'Deferred' || reason === 'Infeasible')) {
        this.#wishes.set(uid, { reason, message, generation, sinceMs });
      }
      if (type === progressType) {
        const error = reason === 'Error' ? message : undefined;
        this.#progress.set(uid, { generation, error, sinceMs, isApplied: false });
      }
    }
  }

  /** Records of pods that went while no kubelet looked. */
  #forgetUnknown(): void {
    const { allocated, actuated, desired } = this.#need;
    for (const uid of [...allocated.uids(), ...actuated.uids()]) if (desired(uid) === undefined) this.forget(uid);
  }
}

function condition(
  type: string,
  sinceMs: number,
  generation: number | undefined,
  verdict: { reason?: string; message?: string },
): PodCondition {
  const since = rfc3339Seconds(sinceMs);
  return {
    type,
    status: 'True',
    ...verdict,
    lastProbeTime: since,
    lastTransitionTime: since,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
}
