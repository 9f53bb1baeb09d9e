import { AssertionError } from 'node:assert';
import type { Clock } from '../base/clock.ts';

export interface SyncRunnerOptions {
  /** Least time from the end of one run to the start of the next. */
  minIntervalMs: number;
  /** Longest time without a run. */
  maxIntervalMs: number;
  clock: Clock;
}

/**
 * Runs one thing as often as it is asked to, within bounds: requests during a run or its pause are one more run. The
 * first request after a quiet time is served at once.
 */
export class SyncRunner {
  readonly #options: SyncRunnerOptions;
  #isRequested = false;
  #wake: () => void = () => {};

  constructor(options: SyncRunnerOptions) {
    this.#options = options;
  }

  /** Asks for a run. Returns at once. */
  request(): void {
    this.#isRequested = true;
    this.#wake();
  }

  /** Serves requests until `signal` aborts. `sync` logs its failures and says when to try again, in ms. */
  async run(sync: (signal: AbortSignal) => Promise<{ retryMs?: number }>, signal: AbortSignal): Promise<void> {
    const { minIntervalMs, maxIntervalMs, clock } = this.#options;
    let nextMs = maxIntervalMs;
    while (!signal.aborted) {
      await this.#requestOrTimeout(nextMs, signal);
      if (signal.aborted) return;
      this.#isRequested = false;
      nextMs = maxIntervalMs;
      try {
        const { retryMs } = await sync(signal);
        if (retryMs !== undefined) nextMs = Math.min(retryMs, maxIntervalMs);
      } catch (err) {
        if (signal.aborted && !(err instanceof AssertionError)) return;
        throw err;
      }
      if (minIntervalMs > 0) await clock.sleep(minIntervalMs, signal);
      nextMs = Math.max(0, nextMs - minIntervalMs);
    }
  }

  async #requestOrTimeout(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#isRequested) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await this.#options.clock.sleep(ms, AbortSignal.any([signal, woken.signal]));
  }
}
