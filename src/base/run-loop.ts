import { AssertionError } from 'node:assert';
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';

export interface LoopOptions {
  periodMs: number;
  /** Wait after a failed run; defaults to `periodMs`. */
  retryMs?: number;
  clock: Clock;
  log: Logger;
}

/** Reconciles now and every `periodMs` after the last run, never twice at once. Ends after the run in progress. */
export async function runLoop(
  reconcile: (signal: AbortSignal) => Promise<void>,
  { periodMs, retryMs = periodMs, clock, log }: LoopOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    let waitMs = periodMs;
    try {
      await reconcile(signal);
    } catch (err) {
      if (signal.aborted) return;
      if (err instanceof AssertionError) throw err; // a broken assumption is not retried
      waitMs = retryMs;
      log.warn({ err, retryMs }, 'reconcile failed, will retry');
    }
    await clock.sleep(waitMs, signal);
  }
}
