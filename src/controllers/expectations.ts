/**
 * What a controller has ordered and not seen yet. Until it has been seen, the informer's picture is too old to count
 * on, and the controller does not order more.
 */
import type { Clock } from '../base/clock.ts';

interface Entry {
  adds: number;
  deletes: Set<string>;
  setMs: number;
}

/** An order that was never seen is forgotten after so long. */
const ageMaxMs = 300_000;

export class Expectations {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  expectAdds(key: string, count: number): void {
    this.#entries.set(key, { adds: count, deletes: new Set(), setMs: this.#clock.monotonicMs() });
  }

  /** `objects` are keys of the objects to be deleted: each is counted once. */
  expectDeletes(key: string, objects: readonly string[]): void {
    this.#entries.set(key, { adds: 0, deletes: new Set(objects), setMs: this.#clock.monotonicMs() });
  }

  /** Seen, or never to be seen since the order failed. */
  lowerAdds(key: string, count = 1): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.adds -= count;
  }

  lowerDeletes(key: string, object: string): void {
    this.#entries.get(key)?.deletes.delete(object);
  }

  /** Whether everything ordered has been seen. */
  areMet(key: string): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined || (entry.adds <= 0 && entry.deletes.size === 0)) return true;
    return this.#clock.monotonicMs() - entry.setMs > ageMaxMs;
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }
}
