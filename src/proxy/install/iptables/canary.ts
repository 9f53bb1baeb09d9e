import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { canaryChain } from '../../compute/iptables/static-rules.ts';
import type { IptablesNeed } from './iptables-installer.ts';

export interface CanaryOptions {
  iptables: Pick<IptablesNeed, 'chain'>;
  periodMs: number;
  /** Whether a full sync has succeeded and no loss been reported since: else there is nothing to lose. */
  isInstalled: () => boolean;
  onLost: () => void;
  clock: Clock;
  log: Logger;
}

/** Who flushes one table usually flushes the others right after; mending in between would be in vain. */
const settleMs = 500;
/** Every table that holds rules of ours. */
const tables = ['nat', 'filter'] as const;

/**
 * Looks every `periodMs` whether the canary's chain still has its rule: a flush takes the rule, a reload of foreign
 * rules takes the chain. Says so once per loss; the full sync that follows puts the canary back. A look that fails
 * (lock held, tool killed) says nothing.
 */
export async function watchCanary(
  { iptables, periodMs, isInstalled, onLost, clock, log }: CanaryOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(periodMs, signal);
    if (signal.aborted) return;
    if (!isInstalled()) continue;
    try {
      const lost: string[] = [];
      for (const table of tables) {
        const rules = await iptables.chain(table, canaryChain, signal);
        if (!(rules ?? []).some((rule) => rule.startsWith('-A '))) lost.push(table);
      }
      if (lost.length > 0 && isInstalled()) {
        log.warn({ tables: lost }, 'our iptables rules were removed by somebody else, writing them again');
        await clock.sleep(settleMs, signal);
        onLost();
      }
    } catch (err) {
      if (!signal.aborted) log.debug({ reason: describeError(err) }, 'cannot look at the canary chain');
    }
  }
}
