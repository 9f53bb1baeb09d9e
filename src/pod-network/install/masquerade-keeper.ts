/** Keeps the masquerade table as it was written. */
import { applyRules, readTable } from '../../adapters/host-network/rule-tables.ts';
import type { Clock } from '../../base/clock.ts';
import { removeTable, tableName } from '../compute/masquerade-table.ts';

/** The kernel tells nobody that rules are gone; a look is a process of a few milliseconds. */
const lookPeriodMs = 20_000;

export class MasqueradeKeeper {
  readonly #clock: Clock;
  /** What was written last, and how nft prints that. */
  #written: { text: string; printed: string | undefined } | undefined;
  #lookedMs = -Infinity;
  #isDropped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Who has taken one thing away may have taken all: the next call looks, however long ago the last look was. */
  lookSoon(): void {
    this.#lookedMs = -Infinity;
  }

  /** Where nothing is to be masqueraded: what an agent of other flags has left goes, once. @returns whether there was some */
  async drop(signal: AbortSignal): Promise<boolean> {
    if (this.#isDropped) return false;
    const wasThere = await removeMasquerade(signal);
    this.#isDropped = true;
    return wasThere;
  }

  /** @returns whether it had to be written */
  async keep(text: string, signal: AbortSignal): Promise<boolean> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#written?.text === text) {
      if (nowMs - this.#lookedMs < lookPeriodMs) return false;
      this.#lookedMs = nowMs;
      if ((await readTable(tableName, signal)) === this.#written.printed) return false;
    }
    this.#written = undefined;
    await applyRules(text, signal);
    this.#written = { text, printed: await readTable(tableName, signal) };
    this.#lookedMs = nowMs;
    return true;
  }
}

/** Only where there is one: on a machine without nft there is none. @returns whether there was */
export async function removeMasquerade(signal: AbortSignal): Promise<boolean> {
  if ((await readTable(tableName, signal)) === undefined) return false;
  await applyRules(`${removeTable().join('\n')}\n`, signal);
  return true;
}
