import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { runTogether } from '../../../base/run-together.ts';

export interface Look {
  /** What is missing, in words; empty when nothing is. */
  look: (signal: AbortSignal) => Promise<string[]>;
  /** How many rules a look reads: where there are many, it is seldom. */
  ruleCount: () => number;
  /** At least this long from one look to the next. */
  periodMs: number;
}

export interface WatchRulesOptions {
  looks: readonly Look[];
  /** The number of the sync whose rules the kernel holds; undefined while one is under way, or none has succeeded. */
  syncNumber: () => number | undefined;
  onLost: () => void;
  clock: Clock;
  log: Logger;
}

/** Who flushes one table usually flushes the others right after; mending in between would be in vain. */
const settleMs = 500;
/** A look reads a rule in 10 to 20 µs: this keeps it under a hundredth of the time. */
const restPerRuleMs = 2;

/**
 * Looks again and again whether our rules are still there, and says so once per loss; the full sync that follows puts
 * them back. A look that fails (lock held, tool killed), or that a sync came into, says nothing.
 */
export function watchRules(options: WatchRulesOptions, signal: AbortSignal): Promise<void> {
  return runTogether(
    signal,
    options.looks.map((look) => (inner) => repeat(look, options, inner)),
  );
}

async function repeat(
  { look, ruleCount, periodMs }: Look,
  { syncNumber, onLost, clock, log }: WatchRulesOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(Math.max(periodMs, restPerRuleMs * ruleCount()), signal);
    const before = syncNumber();
    if (signal.aborted) return;
    if (before === undefined) continue;
    try {
      const lost = await look(signal);
      if (lost.length > 0 && syncNumber() === before) {
        log.warn({ lost: lost.slice(0, 10) }, 'our iptables rules were removed by somebody else, writing them again');
        await clock.sleep(settleMs, signal);
        if (syncNumber() === before) onLost();
      }
    } catch (err) {
      if (!signal.aborted) log.debug({ reason: describeError(err) }, 'cannot look at our iptables rules');
    }
  }
}
