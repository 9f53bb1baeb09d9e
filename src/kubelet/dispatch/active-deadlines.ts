/**
 * When pods have been active for as long as they may (`spec.activeDeadlineSeconds`): each is given a turn at that moment.
 * Sleeps until the next deadline, and for good when there is none.
 */
import type { Clock } from '../../base/clock.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { isTerminalPhase, uidOf } from '../pod-model.ts';

interface ActiveDeadlinesNeed {
  /** The pod's time is up. Told once. */
  onDue(uid: string): void;
  clock: Clock;
}

/** What the status says of a pod whose time is up; the event has the same words. */
export const deadlineExceeded = {
  phase: 'Failed',
  reason: 'DeadlineExceeded',
  message: 'Pod was active on the node longer than the specified deadline',
} as const;

/** In wall-clock ms; undefined without a deadline, or before the pod was seen here first. */
export function activeDeadlineMs({ spec }: Pod, startTime: string | undefined): number | undefined {
  const { activeDeadlineSeconds: seconds } = spec;
  return seconds === undefined || startTime === undefined ? undefined : Date.parse(startTime) + seconds * 1000;
}

const forGoodMs = 2 ** 31;

export class ActiveDeadlines {
  readonly #need: ActiveDeadlinesNeed;
  readonly #dueMs = new Map<string, number>();
  #wake: () => void = () => {};

  constructor(need: ActiveDeadlinesNeed) {
    this.#need = need;
  }

  isPast(pod: Pod, startTime: string | undefined): boolean {
    const dueMs = activeDeadlineMs(pod, startTime);
    return dueMs !== undefined && this.#need.clock.nowMs() >= dueMs;
  }

  /** The newest of a pod: its deadline may have been moved, and one that is over has none. */
  note(pod: Pod, { phase, startTime }: { phase?: string | undefined; startTime?: string | undefined }): void {
    const uid = uidOf(pod);
    const dueMs = activeDeadlineMs(pod, startTime);
    if (dueMs === undefined || isTerminalPhase(phase) || this.#need.clock.nowMs() >= dueMs) {
      this.#dueMs.delete(uid);
    } else if (this.#dueMs.get(uid) !== dueMs) {
      this.#dueMs.set(uid, dueMs);
      this.#wake();
    }
  }

  forget(uid: string): void {
    this.#dueMs.delete(uid);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, onDue } = this.#need;
    while (!signal.aborted) {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      const nextMs = Math.min(...this.#dueMs.values());
      const waitMs = Math.min(nextMs - clock.nowMs(), forGoodMs);
      if (waitMs > 0) await clock.sleep(waitMs, AbortSignal.any([signal, woken.signal]));
      if (signal.aborted) return;
      for (const [uid, dueMs] of this.#dueMs) {
        if (dueMs > clock.nowMs()) continue;
        this.#dueMs.delete(uid);
        onDue(uid);
      }
    }
  }
}
