/** What must be written when one Service changes: the rules it had against the rules it has now. Pure. */
import type { ServiceRules, SharedChain } from '../../compute/iptables/service-rules.ts';

export interface OwnChain {
  readonly chain: string;
  readonly rules: readonly string[];
}

/** Rules that one Service adds to a shared chain and takes from it, each in its order. */
export interface ChainEdit {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export interface ServiceDiff {
  /** Chains whose text is new; each is written whole. */
  readonly chains: readonly OwnChain[];
  /** Names of chains that are no longer wanted. */
  readonly gone: readonly string[];
  readonly shared: ReadonlyMap<SharedChain, ChainEdit>;
}

export function diffServiceRules(before: readonly ServiceRules[], after: readonly ServiceRules[]): ServiceDiff {
  const had = ownChains(before);
  const has = ownChains(after);
  const chains = [...has].filter(([chain, rules]) => !isSameText(had.get(chain), rules));
  return {
    chains: chains.map(([chain, rules]) => ({ chain, rules })),
    gone: [...had.keys()].filter((chain) => !has.has(chain)),
    shared: sharedEdits(sharedRules(before), sharedRules(after)),
  };
}

function sharedEdits(
  had: ReadonlyMap<SharedChain, ReadonlySet<string>>,
  has: ReadonlyMap<SharedChain, ReadonlySet<string>>,
): Map<SharedChain, ChainEdit> {
  const edits = new Map<SharedChain, ChainEdit>();
  for (const chain of new Set([...had.keys(), ...has.keys()])) {
    const old = had.get(chain) ?? new Set();
    const now = has.get(chain) ?? new Set();
    const added = [...now].filter((rule) => !old.has(rule));
    const removed = [...old].filter((rule) => !now.has(rule));
    if (added.length > 0 || removed.length > 0) edits.set(chain, { added, removed });
  }
  return edits;
}

function ownChains(rules: readonly ServiceRules[]): Map<string, readonly string[]> {
  return new Map(rules.flatMap(({ chains }) => chains.map((own) => [own.chain, own.rules] as const)));
}

function sharedRules(rules: readonly ServiceRules[]): Map<SharedChain, Set<string>> {
  const byChain = new Map<SharedChain, Set<string>>();
  for (const { shared } of rules) {
    for (const { chain, rule } of shared) {
      const known = byChain.get(chain);
      if (known === undefined) byChain.set(chain, new Set([rule]));
      else known.add(rule);
    }
  }
  return byChain;
}

function isSameText(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a !== undefined && a.length === b.length && a.every((line, i) => line === b[i]);
}
