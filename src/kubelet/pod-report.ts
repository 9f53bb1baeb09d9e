/**
 * What a turn says of its pod: the status is computed from all that the rooms know of it, held against what was told
 * before, and handed to those who tell it. Connects rooms; each is known here only by what is asked of it.
 */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Pod, PodStatus } from '../objects/generated/core-v1.ts';
import { podQos } from '../objects/qos.ts';
import { type ActiveDeadlines, deadlineExceeded } from './dispatch/active-deadlines.ts';
import { decideSandbox } from './execute/compute-pod-actions.ts';
import { isRestartingAll, mayRestartAll } from './execute/compute-restart-all.ts';
import { hasEndedForGood, isToStartNext } from './execute/restart-policy.ts';
import {
  type ObservedPod,
  type PodContainer,
  type PodEvents,
  configHashAnnotation,
  configMirrorAnnotation,
  isStaticPod,
  isTerminalPhase,
  podKey,
  uidOf,
} from './pod-model.ts';
import type { ReportOptions } from './pod-sync.ts';
import { type PodStatusInput, computePodStatus } from './report/compute-pod-status.ts';
import { closePodStatus, findIllegalTransition, withDisruption } from './report/guard-pod-status.ts';
import type { Resizes } from './support/resize/resizes.ts';

interface PodReportNeed {
  statuses: {
    get(uid: string): PodStatus | undefined;
    set(uid: string, status: PodStatus): void;
    forget(uid: string): void;
  };
  mirrorOf(pod: Pod): Pod | undefined;
  deadlines: Pick<ActiveDeadlines, 'isPast' | 'note'>;
  resizes: Pick<Resizes, 'settle' | 'actual' | 'conditions'>;
  probes: PodStatusInput['probes'] & { statusChanged(uid: string): void };
  /** Who else wants to know how a status changed. */
  onStatus(pod: Pod, old: PodStatus | undefined, status: PodStatus): void;
  hostIps(): string[];
  runtimeName(): string;
  hasRecursiveReadOnly(): boolean;
  hasStopSignals: boolean;
  terminationMessage(uid: string, containerId: string): string | undefined;
  events: PodEvents;
  clock: Clock;
  log: Logger;
}

export class PodReport {
  readonly #need: PodReportNeed;
  /** Static pods that were told of before their mirror was known, by uid. */
  readonly #blind = new Set<string>();

  constructor(need: PodReportNeed) {
    this.#need = need;
  }

  forget(uid: string): void {
    this.#blind.delete(uid);
  }

  /**
   * The mirror of a static pod has come. What an earlier process told through it goes before what was computed here
   * without it, which is dropped: since when the pod is ready, and that it is, though nobody has probed it again.
   * @returns whether the pod is to be reported anew
   */
  takesUpMirror(pod: Pod): boolean {
    if (!this.#blind.delete(uidOf(pod)) || this.#toldBefore(pod)?.startTime === undefined) return false;
    this.#need.statuses.forget(uidOf(pod));
    return true;
  }

  /** What another process told of the pod. */
  #toldBefore(pod: Pod): PodStatus | undefined {
    if (!isStaticPod(pod)) return pod.status;
    const mirror = this.#need.mirrorOf(pod);
    const hash = pod.metadata.annotations?.[configHashAnnotation];
    // that of another manifest tells of another pod, whatever its name
    if (mirror === undefined || mirror.metadata.annotations?.[configMirrorAnnotation] !== hash) return undefined;
    const { status = {} } = mirror;
    if (!isTerminalPhase(status.phase)) return status;
    // over, as the runtime shows again; or put back since, and then nothing of it is over
    const { startTime, conditions } = status;
    return { ...(startTime === undefined ? {} : { startTime }), ...(conditions === undefined ? {} : { conditions }) };
  }

  /** Computes the pod's status from all that is known, has it told, and returns it. */
  report(pod: Pod, observed: ObservedPod | undefined, options: ReportOptions): PodStatus {
    const { failures, isEnding, override } = options;
    const { statuses, deadlines, resizes, probes, clock } = this.#need;
    const uid = uidOf(pod);
    const known = statuses.get(uid);
    if (known === undefined && isStaticPod(pod) && this.#need.mirrorOf(pod) === undefined) this.#blind.add(uid);
    const old = known ?? this.#toldBefore(pod);
    const hasEnded = isTerminalPhase(old?.phase) || isTerminalPhase(pod.status?.phase);
    const isLate = !hasEnded && deadlines.isPast(pod, old?.startTime);
    if (isLate) this.#need.events.pod(pod, 'Normal', deadlineExceeded.reason, deadlineExceeded.message);
    const staysDown = (container: PodContainer, exitCode: number): boolean => hasEndedForGood(pod, container, exitCode);
    if (!isEnding) resizes.settle(pod, observed);
    const computed = computePodStatus({
      pod,
      actualPod: resizes.actual(pod),
      resizeConditions: isEnding ? [] : resizes.conditions(uid),
      observed,
      old,
      failures,
      isToStart: (container) => !isEnding && isToStartNext(pod, container, observed),
      staysDown,
      needsSandbox: decideSandbox(pod, observed).kind === 'create',
      isRestartingAll: mayRestartAll(pod) ? isRestartingAll(pod, observed) : undefined,
      hasStopSignals: this.#need.hasStopSignals,
      hasRecursiveReadOnly: this.#need.hasRecursiveReadOnly(),
      probes,
      hasProbe: ({ spec }, kind) => (kind === 'startup' ? spec.startupProbe : spec.readinessProbe) !== undefined,
      isEnding,
      override: isLate ? deadlineExceeded : undefined,
      lastWord: override,
      qosClass: podQos(pod),
      hostIps: this.#need.hostIps(),
      runtimeName: this.#need.runtimeName(),
      terminationMessage: (id) => this.#need.terminationMessage(uid, id),
      nowMs: clock.nowMs(),
    });
    const told = options.isOver === true ? closePodStatus(pod, computed) : computed;
    const status = withDisruption(pod, told, old, override?.disruption, clock.nowMs());
    deadlines.note(pod, status);
    const container = findIllegalTransition(pod, old, status, staysDown);
    if (container !== undefined) {
      const about = { pod: podKey(pod), uid, container };
      this.#need.log.warn(about, 'status dropped: a container that ended would run again');
      return status;
    }
    statuses.set(uid, status);
    this.#need.onStatus(pod, old, status);
    probes.statusChanged(uid); // a container that is not ready is asked at once, not at the next tick
    return status;
  }
}
