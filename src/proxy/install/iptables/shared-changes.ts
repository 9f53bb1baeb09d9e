import { sharedChains } from '../../compute/iptables/static-rules.ts';
import type { SharedChain } from '../../compute/iptables/service-rules.ts';
import type { ChainEdit, ServiceDiff } from './diff-service-rules.ts';

/** A chain up to this long is written whole: that is as quick, and keeps the order of its rules. */
const shortChain = 100;

/**
 * What a sync does to the chains that all Services share. One that many Services use is not written whole for the sake
 * of a few: its new rules go on top (only the last rule's place means anything), its old ones are taken out singly. The
 * tool compares a rule to take out with all of its chain, so many of them cost more than the whole.
 */
export class SharedChanges {
  readonly #ruleCount: (chain: SharedChain) => number;
  readonly #dirty: Set<string>;
  readonly #edits = new Map<string, { added: string[]; removed: string[] }>();

  constructor(isFull: boolean, ruleCount: (chain: SharedChain) => number) {
    this.#ruleCount = ruleCount;
    this.#dirty = new Set(isFull ? allSharedChains : []);
  }

  /** To be written whole, as `table CHAIN`. */
  get dirty(): ReadonlySet<string> {
    return this.#dirty;
  }

  /** To be changed rule by rule, by `table CHAIN`. */
  get edits(): ReadonlyMap<string, ChainEdit> {
    return this.#edits;
  }

  add(diff: ServiceDiff['shared']): void {
    for (const [chain, { added, removed }] of diff) {
      if (this.#dirty.has(chain)) continue;
      const edit = this.#edits.get(chain) ?? { added: [], removed: [] };
      edit.added.push(...added);
      edit.removed.push(...removed);
      this.#edits.set(chain, edit);
      const rules = this.#ruleCount(chain);
      if (rules > shortChain && edit.removed.length * 100 + edit.added.length * 4 <= rules) continue;
      this.#edits.delete(chain);
      this.#dirty.add(chain);
    }
  }
}

const allSharedChains = [
  ...sharedChains.filter.map((chain) => `filter ${chain}`),
  ...sharedChains.nat.map((chain) => `nat ${chain}`),
];
