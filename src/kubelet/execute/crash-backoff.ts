/**
 * Owns how long a crashed container waits before its next start. The delays live in memory; a new process takes them
 * up from what the runtime remembers: the restart count and when the container last ended.
 */
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { Container, Pod } from '../../objects/generated/core-v1.ts';
import { type ObservedContainer, type PodContainer, podDescription, uidOf } from '../pod-model.ts';
import { containerHash } from './container-hash.ts';
import { annotations } from './pod-names.ts';

export const crashBackoffInitialMs = 10_000;
/** A container that ran this long starts over with the initial delay. */
export const crashBackoffResetMs = 600_000;

export type CrashDecision = { kind: 'start' } | { kind: 'wait'; message: string; untilMs: number };

export class CrashBackoff {
  readonly #clock: Clock;
  readonly #maxMs: number;
  readonly #backoff: Backoff;
  /** What was started before is an earlier process's: this one has noted nothing of it. */
  readonly #bornMs: number;
  /** Ended containers that were removed before their next start, by pod uid and name. */
  readonly #removed = new Map<string, ObservedContainer>();

  constructor(clock: Clock, maxMs: number) {
    this.#clock = clock;
    this.#maxMs = maxMs;
    this.#bornMs = clock.nowMs();
    this.#backoff = new Backoff({
      initialMs: Math.min(crashBackoffInitialMs, maxMs),
      maxMs,
      expireMs: crashBackoffResetMs,
    });
  }

  /** Asked before each start; a start that may go on is noted as one more. */
  decide(pod: Pod, { spec }: PodContainer, exited: ObservedContainer | undefined): CrashDecision {
    const place = `${uidOf(pod)}/${spec.name}`;
    const lastExited = exited ?? this.#removed.get(place);
    if (lastExited === undefined) return { kind: 'start' };
    const nowMs = this.#clock.nowMs();
    const finishedMs = Number(lastExited.finishedAtNs / 1_000_000n);
    const key = `${uidOf(pod)}/${spec.name}/${spec.image}/${JSON.stringify(spec.resources ?? {})}`;
    const restarts = lastExited.attempt;
    const startedMs = Number(lastExited.startedAtNs / 1_000_000n);
    if (restarts > 0 && startedMs < this.#bornMs && isOfImage(lastExited, spec)) {
      // The start of the instance that ended now was the last time the delay grew.
      this.#backoff.seed(key, delayAfterRestarts(restarts, this.#maxMs), startedMs);
    }
    if (this.#backoff.isInBackoffSince(key, finishedMs, nowMs)) {
      const delayMs = this.#backoff.delayMs(key);
      return {
        kind: 'wait',
        message: `back-off ${goDuration(delayMs)} restarting failed container=${spec.name} pod=${podDescription(pod)}`,
        untilMs: finishedMs + delayMs,
      };
    }
    this.collect();
    this.#removed.delete(place);
    this.#backoff.next(key, nowMs, finishedMs);
    return { kind: 'start' };
  }

  /** A container is removed whose exit starts all others of its pod over: it waits for its next start like any other. */
  noteRemoved(pod: Pod, container: ObservedContainer): void {
    this.#removed.set(`${uidOf(pod)}/${container.name}`, container);
  }

  /** Forgets what has expired. */
  collect(): void {
    const nowMs = this.#clock.nowMs();
    this.#backoff.collect(nowMs);
    for (const [place, { finishedAtNs }] of this.#removed) {
      if (nowMs - Number(finishedAtNs / 1_000_000n) > crashBackoffResetMs) this.#removed.delete(place);
    }
  }
}

/** Another image is a new beginning: its container has not crashed yet. */
const isOfImage = ({ annotations: told }: ObservedContainer, spec: Container): boolean =>
  told[annotations.hash] === containerHash(spec);

/** The delay that stands after so many restarts without a pause: 10 s, 20 s, … */
export function delayAfterRestarts(restarts: number, maxMs: number): number {
  return Math.min(crashBackoffInitialMs * 2 ** Math.min(restarts - 1, 20), maxMs);
}

/** A duration as Go prints it, whole seconds: `10s`, `1m20s`, `5m0s`. */
export function goDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
  return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m${seconds % 60}s`;
}
