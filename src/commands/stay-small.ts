/** Keeps a daemon small: what only its start needed is given back, once it is over and every now and then. */
import { giveBackProgramPages } from '../adapters/program-memory/program-memory.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { runLoop } from '../base/run-loop.ts';

/** Until then every part of the program has run once. */
const startIsOverMs = 30_000;
/** What is used now and then comes back in the meantime, 64 KiB around each page; a look costs 10 ms of a thread. */
const periodMs = 10 * 60_000;

export interface StaySmallNeed {
  clock: Clock;
  log: Logger;
  giveBack?: () => Promise<number>;
}

export async function staySmall(
  { clock, log, giveBack = giveBackProgramPages }: StaySmallNeed,
  signal: AbortSignal,
): Promise<void> {
  await clock.sleep(startIsOverMs, signal);
  await runLoop(
    async () => {
      const bytes = await giveBack();
      log.debug({ bytes }, 'gave back pages of the program that nobody uses');
    },
    { periodMs, clock, log },
    signal,
  );
}
