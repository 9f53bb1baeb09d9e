import type { Clock } from './clock.ts';
import { DeadlineError } from './errors.ts';
import { waitIsOver } from './quiet-abort.ts';

/**
 * Runs `work` with a signal that aborts with the parent or after `ms`, whichever comes first, and returns its result.
 * A work that ignores its signal is abandoned at the deadline: the promise rejects, the work goes on unobserved.
 *
 * @param what finishes the sentence "… took longer than 5s"
 * @throws {DeadlineError} when the time is over
 */
export async function withDeadline<T>(
  what: string,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const end = new AbortController();
  const inner = AbortSignal.any([signal, end.signal]);
  const late = new AbortController();
  const timeout = clock.sleep(ms, AbortSignal.any([signal, late.signal])).then(() => {
    if (late.signal.aborted) return undefined as never;
    const err = signal.aborted
      ? asError(signal.reason)
      : new DeadlineError(`${what} took longer than ${Math.round(ms) / 1000}s`);
    end.abort(err);
    throw err;
  });
  try {
    return await Promise.race([work(inner), timeout]);
  } finally {
    late.abort(waitIsOver);
    timeout.catch(() => {}); // the race is over: nobody else looks at it
  }
}

export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
