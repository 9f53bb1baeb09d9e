import type { Clock } from './clock.ts';
import { DeadlineError } from './errors.ts';

/**
 * Runs `work` with a signal that aborts with the parent or after `ms`, whichever comes first, and returns its result.
 * A work that ignores its signal is abandoned at the deadline: the promise rejects, the work goes on unobserved.
 *
 * @param what finishes the sentence "… took longer than 5s"
 * @throws {DeadlineError} when the time is over
 */
export function withDeadline<T>(
  what: string,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return closedByDeadline(what, ms, clock, signal, (resolve, reject) => {
    const end = new AbortController();
    if (signal.aborted) end.abort(signal.reason);
    work(end.signal).then(resolve, reject);
    return (reason) => {
      if (reason !== undefined) end.abort(reason);
    };
  });
}

/**
 * As `withDeadline`, for work that needs no signal because it can be closed: cheap enough for what happens hundreds of
 * times each second.
 *
 * @param start begins the work, and returns what ends it: called once, when the work has settled or, with the reason,
 *   when it is cut off
 * @throws {DeadlineError} when the time is over
 */
export function closedByDeadline<T>(
  what: string,
  ms: number,
  clock: Clock,
  signal: AbortSignal,
  start: (resolve: (value: T) => void, reject: (err: unknown) => void) => (reason?: unknown) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    let close: ((reason?: unknown) => void) | undefined;
    const end = (reason?: unknown): void => {
      isOver = true;
      cancel();
      signal.removeEventListener('abort', onAbort);
      close?.(reason);
    };
    const onAbort = (): void => {
      if (isOver) return;
      reject(asError(signal.reason));
      end(signal.reason);
    };
    const cancel = clock.after(ms, () => {
      const late = new DeadlineError(`${what} took longer than ${Math.round(ms) / 1000}s`);
      reject(late);
      end(late);
    });
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      close = start(
        (value) => {
          if (isOver) return;
          resolve(value);
          end();
        },
        (err) => {
          if (isOver) return;
          reject(err);
          end();
        },
      );
    } catch (err) {
      reject(err);
      end();
    }
    if (isOver) close?.();
    else if (signal.aborted) onAbort();
  });
}

export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
