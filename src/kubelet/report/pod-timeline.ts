/**
 * How long each phase of a pod's life took and how it ended: owns a bounded record per pod that outlives the pod for a
 * while. `/statusz` shows it.
 */
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { type PodPhases, podKey, uidOf } from '../pod-model.ts';

export interface PhaseSpan {
  name: string;
  /** Wall clock, ms. */
  startMs: number;
  /** Undefined while it runs. */
  durationMs: number | undefined;
  /** Undefined: it went well, or still runs. */
  error: string | undefined;
}

export interface PodTimelineEntry {
  uid: string;
  pod: string;
  spans: PhaseSpan[];
}

const podsMax = 500;
const spansMax = 100;

export class PodTimeline implements PodPhases {
  readonly #clock: Clock;
  readonly #entries = new Map<string, PodTimelineEntry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async span<T>(pod: Pod, name: string, work: () => Promise<T>): Promise<T> {
    const entry = this.#entryOf(pod);
    const span: PhaseSpan = { name, startMs: this.#clock.nowMs(), durationMs: undefined, error: undefined };
    entry.spans.push(span);
    if (entry.spans.length > spansMax) entry.spans.shift();
    const beganMs = this.#clock.monotonicMs();
    try {
      return await work();
    } catch (err) {
      span.error = describeError(err);
      throw err;
    } finally {
      span.durationMs = Math.round((this.#clock.monotonicMs() - beganMs) * 10) / 10;
    }
  }

  /** A moment without a length: seen, admitted, ready. */
  note(pod: Pod, name: string, error?: string): void {
    const entry = this.#entryOf(pod);
    entry.spans.push({ name, startMs: this.#clock.nowMs(), durationMs: 0, error });
    if (entry.spans.length > spansMax) entry.spans.shift();
  }

  of(uid: string): readonly PhaseSpan[] {
    return this.#entries.get(uid)?.spans ?? [];
  }

  list(): PodTimelineEntry[] {
    return [...this.#entries.values()];
  }

  /** Oldest pods go first when there are too many. */
  #entryOf(pod: Pod): PodTimelineEntry {
    const uid = uidOf(pod);
    const known = this.#entries.get(uid);
    if (known !== undefined) return known;
    const entry = { uid, pod: podKey(pod), spans: [] };
    this.#entries.set(uid, entry);
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size > podsMax && oldest !== undefined) this.#entries.delete(oldest);
    return entry;
  }
}
