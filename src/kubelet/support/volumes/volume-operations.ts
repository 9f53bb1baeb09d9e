/**
 * What is being done about volumes, and what must wait since it failed. Owns the operations in progress, by key: one at
 * a time, whoever asks for the same joins. A caller that stops waiting leaves the operation running: a mount that hangs
 * is neither forgotten nor started a second time.
 *
 * After a failure the same operation waits 0.5 s, doubling to 2m02s; another one on the same key does not.
 */
import type { Clock } from '../../../base/clock.ts';
import { waitIsOver } from '../../../base/quiet-abort.ts';

const initialDelayMs = 500;
const maxDelayMs = 122_000;

interface Failure {
  operation: string;
  delayMs: number;
  atMs: number;
}

/** Told of each operation when it has ended, however it did. */
export type OnOperation = (key: string, operation: string, durationMs: number, hasFailed: boolean) => void;

export class VolumeOperations {
  readonly #clock: Clock;
  readonly #onEnd: OnOperation;
  readonly #running = new Map<string, { operation: string; result: Promise<unknown> }>();
  readonly #failures = new Map<string, Failure>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(clock: Clock, onEnd: OnOperation = () => {}) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /** How long the operation still has to wait, in ms; 0 when it may start. */
  waitMs(key: string, operation: string): number {
    const failure = this.#failures.get(key);
    if (failure?.operation !== operation) return 0;
    return Math.max(0, failure.atMs + failure.delayMs - this.#clock.monotonicMs());
  }

  /**
   * Runs `work`, when what runs on the key and the wait after its last failure are over.
   * @param isLeft whether a caller that stops waiting leaves it alone; otherwise it is waited for to its end
   */
  async run<T>(
    key: string,
    operation: string,
    work: () => Promise<T>,
    signal: AbortSignal,
    { isLeft = true }: { isLeft?: boolean } = {},
  ): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      const running = this.#running.get(key);
      if (running?.operation === operation) return await orAborted(running.result as Promise<T>, signal); // the same work
      if (running !== undefined) {
        await orAborted(
          running.result.then(
            () => {},
            () => {}, // its own caller gets it
          ),
          signal,
        );
        continue;
      }
      const waitMs = this.waitMs(key, operation);
      if (waitMs === 0) break;
      await this.#sleep(key, waitMs, signal);
    }
    const result = this.#start(key, operation, work);
    return await (isLeft ? orAborted(result, signal) : result);
  }

  #start<T>(key: string, operation: string, work: () => Promise<T>): Promise<T> {
    const beganMs = this.#clock.monotonicMs();
    let hasFailed = false;
    const result = (async () => {
      try {
        const value = await work();
        this.#failures.delete(key);
        return value;
      } catch (err) {
        hasFailed = true;
        const before = this.#failures.get(key);
        const delayMs = before?.operation === operation ? Math.min(2 * before.delayMs, maxDelayMs) : initialDelayMs;
        this.#failures.set(key, { operation, delayMs, atMs: this.#clock.monotonicMs() });
        throw err;
      } finally {
        this.#running.delete(key);
        this.#onEnd(key, operation, this.#clock.monotonicMs() - beganMs, hasFailed);
      }
    })();
    this.#running.set(key, { operation, result });
    result.catch(() => {}); // nobody may wait for it any more
    return result;
  }

  /** What an operation failed for has come: it need not wait any longer. */
  hurry(key: string): void {
    this.#failures.delete(key);
    for (const wake of this.#waiting.get(key) ?? []) wake();
  }

  /** As `hurry`, for all keys that fit. */
  hurryAll(fits: (key: string) => boolean): void {
    for (const key of new Set([...this.#failures.keys(), ...this.#waiting.keys()])) if (fits(key)) this.hurry(key);
  }

  /** Drops what is remembered of all keys that begin so; what runs goes on. */
  forget(start: string): void {
    for (const key of this.#failures.keys()) if (key.startsWith(start)) this.#failures.delete(key);
  }

  async #sleep(key: string, ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = (): void => woken.abort(waitIsOver);
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting.add(wake));
    await this.#clock.sleep(ms, AbortSignal.any([signal, woken.signal]));
    waiting.delete(wake);
    if (waiting.size === 0) this.#waiting.delete(key);
  }
}

/** The result of `work`, unless the wait for it is ended first; the work goes on then. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    const done = (): void => signal.removeEventListener('abort', leave);
    work
      .then(resolve, reject)
      .finally(done)
      .catch(() => {}); // `resolve` and `reject` throw nothing
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
  });
}
