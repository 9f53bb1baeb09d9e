import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Pod, PodStatus } from '../../../objects/generated/core-v1.ts';
import { type ProbeResult, uidOf } from '../../pod-model.ts';
import {
  type ProbeMemory,
  type ProbeTarget,
  type ResultCount,
  countResult,
  endsProbing,
  isAdopted,
  nextProbeStep,
} from './next-probe-step.ts';
import { type ProbeEvent, probeEvent } from './probe-events.ts';
import type { ProbeOutcome } from './probe-outcome.ts';
import { probeContainer } from './prober.ts';
import type { ExecSync } from './prober-exec.ts';

export interface ProbeWorkerNeed {
  podStatus(podUid: string): PodStatus | undefined;
  execSync: ExecSync;
  /** Wall clock at the start of this process. */
  kubeletStartedMs: number;
  random(): number;
  publish(target: ProbeTarget, containerId: string, result: ProbeResult): void;
  forget(target: ProbeTarget, containerId: string): void;
  event(target: ProbeTarget, event: ProbeEvent): void;
  onAttempt(target: ProbeTarget, outcome: ProbeOutcome, durationMs: number): void;
  clock: Clock;
  log: Logger;
}

/** All workers wake up at multiples of this, many at once: a process that wakes up less often costs less. */
const tickMs = 25;

/** Probes one container of one pod in one way, as long as there is something to ask. */
export class ProbeWorker {
  #target: ProbeTarget;
  readonly #need: ProbeWorkerNeed;
  #memory: ProbeMemory = { containerId: undefined, isOnHold: false };
  #count: ResultCount = { last: undefined, run: 0 };
  #isTriggered = false;
  #wake: () => void = () => {};

  constructor(target: ProbeTarget, need: ProbeWorkerNeed) {
    this.#target = target;
    this.#need = need;
  }

  get target(): ProbeTarget {
    return this.#target;
  }

  get containerId(): string | undefined {
    return this.#memory.containerId;
  }

  /** The pod's newest version; a probe's own fields never change. */
  update(pod: Pod): void {
    this.#target = { ...this.#target, pod };
  }

  /** Asks once more as soon as possible; the period starts anew. */
  trigger(): void {
    this.#isTriggered = true;
    this.#wake();
  }

  /** Ends with `signal`, or when the container will never run again. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, kubeletStartedMs, random, log, podStatus } = this.#need;
    const { pod, container, spec } = this.#target;
    const periodMs = (spec.periodSeconds ?? 10) * 1000;
    const isYoung = periodMs > clock.nowMs() - kubeletStartedMs;
    // after our restart the workers of all that runs start at once: spread them
    if (isYoung && isAdopted(podStatus(uidOf(pod)), container.name, kubeletStartedMs)) {
      await clock.sleep(random() * periodMs, signal);
    }
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    let dueMs = clock.monotonicMs();
    while (!signal.aborted) {
      this.#isTriggered = false; // this tick is what was asked for
      try {
        if (!(await this.#tick(signal))) return;
      } catch (err) {
        if (!signal.aborted) log.error({ err, kind: this.#target.kind }, 'a probe broke off, will go on');
      }
      dueMs = Math.ceil((dueMs + periodMs) / tickMs) * tickMs;
      const lateMs = clock.monotonicMs() - dueMs;
      if (lateMs > 0) dueMs += Math.floor(lateMs / periodMs) * periodMs; // missed ticks count as one
      if (await this.#sleepUntil(dueMs, signal)) dueMs = clock.monotonicMs();
    }
  }

  /** Whether it was woken before the time. */
  async #sleepUntil(dueMs: number, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#need;
    if (!this.#isTriggered && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(dueMs - clock.monotonicMs(), resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
    }
    return this.#isTriggered;
  }

  async #tick(signal: AbortSignal): Promise<boolean> {
    const { clock, kubeletStartedMs } = this.#need;
    const status = this.#need.podStatus(uidOf(this.#target.pod));
    const step = nextProbeStep(this.#target, status, this.#memory, clock.nowMs(), kubeletStartedMs);
    this.#memory = step.memory;
    const { containerId } = step.memory;
    if (step.forget !== undefined) this.#need.forget(this.#target, step.forget);
    if (step.publish !== undefined && containerId !== undefined) {
      this.#need.publish(this.#target, containerId, step.publish);
    }
    if (step.action === 'probe' && containerId !== undefined && status !== undefined) {
      await this.#probe(containerId, status, signal);
    }
    return step.action !== 'end';
  }

  async #probe(containerId: string, status: PodStatus, signal: AbortSignal): Promise<void> {
    const { clock } = this.#need;
    const target = this.#target;
    const startedMs = clock.monotonicMs();
    const outcome = await probeContainer(target, containerId, status, this.#need, signal);
    if (signal.aborted) return;
    this.#need.onAttempt(target, outcome, clock.monotonicMs() - startedMs);
    const event = probeEvent(target.kind, outcome);
    if (event !== undefined) this.#need.event(target, event);
    if (outcome.kind === 'error') return; // it says nothing about the container
    const result = outcome.kind === 'failure' ? 'failure' : 'success';
    const { count, isPublished } = countResult(this.#count, result, target.spec);
    this.#count = count;
    if (!isPublished) return;
    this.#need.publish(target, containerId, result);
    if (endsProbing(target.kind, result)) {
      this.#memory = { containerId, isOnHold: true };
      this.#count = { last: result, run: 0 };
    }
  }
}
