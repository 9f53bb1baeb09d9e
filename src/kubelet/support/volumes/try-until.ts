/** Tries several things until each has been done or the time is over. */
import type { Clock } from '../../../base/clock.ts';
import { waitIsOver } from '../../../base/quiet-abort.ts';

export interface TryOptions {
  /** For so long what has failed is tried again; what cannot be tried within that time is not waited for. */
  retryForMs: number;
  /** Nothing is waited for any longer than that. */
  limitMs: number;
  /** How long it is until `name` can be tried again. */
  delayMs(name: string): number;
  clock: Clock;
}

export interface TryResult<T> {
  done: Map<string, T>;
  /** The last failure of each; undefined of what has not come to its end. */
  failed: Map<string, unknown>;
}

/** @param attempt waits by itself until it may be made */
export async function tryUntil<T>(
  names: readonly string[],
  attempt: (name: string, signal: AbortSignal) => Promise<T>,
  { retryForMs, limitMs, delayMs, clock }: TryOptions,
  signal: AbortSignal,
): Promise<TryResult<T>> {
  const done = new Map<string, T>();
  const failed = new Map<string, unknown>();
  const end = new AbortController();
  const endMs = clock.monotonicMs() + retryForMs;
  const cancel = clock.after(limitMs, () => end.abort(waitIsOver));
  const inner = AbortSignal.any([signal, end.signal]);
  const tryOne = async (name: string): Promise<void> => {
    for (;;) {
      try {
        done.set(name, await attempt(name, inner));
        failed.delete(name);
        return;
      } catch (err) {
        if (inner.aborted) {
          failed.set(name, failed.get(name));
          return;
        }
        failed.set(name, err);
        if (clock.monotonicMs() + delayMs(name) >= endMs) return;
      }
    }
  };
  try {
    await Promise.all(names.map(tryOne));
  } finally {
    cancel();
  }
  signal.throwIfAborted();
  return { done, failed };
}
