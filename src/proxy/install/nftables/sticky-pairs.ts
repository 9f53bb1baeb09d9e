import type { NftFamily } from '../../../adapters/nftables/nftables.ts';

export interface StickyPairsNeed {
  setElements(family: NftFamily, table: string, set: string, signal: AbortSignal): Promise<string[][]>;
}

/**
 * Pairs of client and endpoint that the kernel remembers. One whose endpoint is gone is tried no more, but would be
 * again if the endpoint came back, although its client has moved on: such pairs are deleted, some time after their
 * endpoint went, and in any case before another one comes.
 */
export class StickyPairs {
  readonly #table: readonly [NftFamily, string];
  readonly #need: StickyPairsNeed;
  #mayHaveGone = false;

  constructor(table: readonly [NftFamily, string], need: StickyPairsNeed) {
    this.#table = table;
    this.#need = need;
  }

  noteGone(): void {
    this.#mayHaveGone = true;
  }

  forgotten(): void {
    this.#mayHaveGone = false;
  }

  /** Commands that delete pairs with other endpoints than `numbers`; empty when there are none. */
  async forgetGone(numbers: ReadonlySet<number>, signal: AbortSignal): Promise<string> {
    if (!this.#mayHaveGone) return '';
    const [family, table] = this.#table;
    const pairs = await this.#need.setElements(family, table, 'affinity', signal);
    const gone = pairs.filter(([, number]) => !numbers.has(Number(number))).map((pair) => pair.join(' . '));
    if (gone.length === 0) return '';
    const elements = gone.join(', ');
    // added first: one that has just timed out could not be deleted
    return `add element ${family} ${table} affinity { ${elements} }\ndelete element ${family} ${table} affinity { ${elements} }\n`;
  }
}
