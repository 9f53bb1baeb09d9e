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
  statuses: { get(uid: string): PodStatus | undefined; set(uid: string, status: PodStatus): void };
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

  constructor(need: PodReportNeed) {
    this.#need = need;
  }

  /** Computes the pod's status from all that is known, has it told, and returns it. */
  report(pod: Pod, observed: ObservedPod | undefined, options: ReportOptions): PodStatus {
    const { failures, isEnding, override, isOver = false } = options;
    const { statuses, deadlines, resizes, probes, clock } = this.#need;
    const uid = uidOf(pod);
    const old = statuses.get(uid) ?? (isStaticPod(pod) ? this.#need.mirrorOf(pod)?.status : pod.status);
    const isLate = deadlines.isPast(pod, old?.startTime) && !isTerminalPhase(old?.phase);
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
    const told = isOver ? closePodStatus(pod, computed) : computed;
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
