/** How many rules of Services there are, kept by adding and taking away: nothing walks over all Services to know it. */
import type { ServiceRules } from '../../compute/iptables/service-rules.ts';
import type { SyncReport } from '../installer.ts';

export class RuleTally {
  /** By `table CHAIN`. */
  readonly #byChain = new Map<string, number>();
  #ownRules = 0;
  #lacksInternal = 0;
  #lacksExternal = 0;

  /** `sign` -1 takes away what was added before. */
  add(rules: readonly ServiceRules[], sign: 1 | -1): void {
    for (const { shared, chains, lacksLocal } of rules) {
      for (const { chain } of shared) this.#byChain.set(chain, this.inChain(chain) + sign);
      for (const { rules: own } of chains) this.#ownRules += sign * own.length;
      if (lacksLocal.internal) this.#lacksInternal += sign;
      if (lacksLocal.external) this.#lacksExternal += sign;
    }
  }

  /** Rules of Services in a shared chain. */
  inChain(chain: string): number {
    return this.#byChain.get(chain) ?? 0;
  }

  /** Rules of all chains that belong to one Service. */
  get ownRules(): number {
    return this.#ownRules;
  }

  get lacksLocal(): SyncReport['lacksLocal'] {
    return { internal: this.#lacksInternal, external: this.#lacksExternal };
  }

  /** Rules by table: those of Services, and `fixed` ones by `table CHAIN`. */
  total(fixed: ReadonlyMap<string, readonly string[]>): { filter: number; nat: number } {
    const total = { filter: 0, nat: this.#ownRules };
    const count = (chain: string, rules: number): void => {
      total[chain.startsWith('nat ') ? 'nat' : 'filter'] += rules;
    };
    for (const [chain, rules] of fixed) count(chain, rules.length);
    for (const [chain, rules] of this.#byChain) count(chain, rules);
    return total;
  }
}
