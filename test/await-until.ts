import { systemClock } from '../src/base/clock.ts';

/** What `look` throws when waiting on is no use. */
export class HopelessError extends Error {
  override name = 'HopelessError';
}

/**
 * Awaits a condition of the real world: asks `look` until it returns something else than `undefined` or `false`.
 *
 * @param what finishes "waited 10s for …" in the failure
 * @throws with the last error of `look` as cause, when the time is over
 */
export async function awaitUntil<T>(
  what: string,
  look: () => T | Promise<T>,
  { timeoutMs = 25_000, periodMs = 25 }: { timeoutMs?: number; periodMs?: number } = {},
): Promise<Exclude<T, undefined | false>> {
  const endMs = systemClock.monotonicMs() + timeoutMs;
  const never = new AbortController().signal;
  for (;;) {
    let cause: unknown;
    try {
      const seen = await look();
      if (seen !== undefined && seen !== false) return seen as Exclude<T, undefined | false>; // excluded just now
    } catch (err) {
      if (err instanceof HopelessError) throw err;
      cause = err; // not yet is what we wait for; told when it stays so
    }
    if (systemClock.monotonicMs() > endMs) throw new Error(`waited ${timeoutMs / 1000}s for ${what}`, { cause });
    await systemClock.sleep(periodMs, never);
  }
}
