import type { Backoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import { describeError } from './errors.ts';
import type { Logger } from './logger.ts';

interface WorkQueueOptions {
  /** Keys handled side by side at most. */
  workersMax: number;
  /** Delay before a failed key's next try, by key. */
  backoff: Backoff;
  clock: Clock;
  log: Logger;
}

/**
 * Keys waiting to be reconciled. A key touched while it waits is one run; touched while it runs, one more run after.
 * A failed key comes back after its back-off; a success forgets the back-off.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #again = new Set<string>();
  #wake: () => void = () => {};

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    if (this.#running.has(key)) this.#again.add(key);
    else this.#waiting.add(key);
    this.#wake();
  }

  /** Adds `key` once `delayMs` has passed. The wait ends with `signal`. */
  addAfter(key: string, delayMs: number, signal: AbortSignal): void {
    // `sleep` never rejects
    void this.#options.clock.sleep(delayMs, signal).then(() => {
      if (!signal.aborted) this.add(key);
    });
  }

  get length(): number {
    return this.#waiting.size + this.#again.size;
  }

  /** Handles keys until `signal` aborts, then waits for those in progress. */
  async run(handle: (key: string, signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#wake();
    signal.addEventListener('abort', onAbort, { once: true });
    const running = new Set<Promise<void>>();
    while (!signal.aborted) {
      const key = this.#running.size < this.#options.workersMax ? this.#waiting.values().next().value : undefined;
      if (key === undefined) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      this.#waiting.delete(key);
      this.#running.add(key);
      const turn = this.#turn(key, handle, signal).finally(() => running.delete(turn));
      running.add(turn);
    }
    await Promise.allSettled(running);
    signal.removeEventListener('abort', onAbort);
  }

  async #turn(
    key: string,
    handle: (key: string, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { backoff, clock, log } = this.#options;
    try {
      await handle(key, signal);
      backoff.reset(key);
    } catch (err) {
      if (!signal.aborted) {
        const delayMs = backoff.next(key, clock.nowMs());
        log.warn({ key, delayMs, reason: describeError(err) }, 'reconcile failed, will retry');
        this.addAfter(key, delayMs, signal);
      }
    } finally {
      this.#running.delete(key);
      if (this.#again.delete(key)) this.#waiting.add(key);
      this.#wake();
    }
  }
}
