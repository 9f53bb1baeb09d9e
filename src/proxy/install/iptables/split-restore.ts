/** A sync as one call of iptables-restore or several: the tool's time grows with the square of a call's chains. Pure. */
import type { RestorePlan } from './restore-text.ts';

/** Services whose chains are written in one call: where the cost of a call and that of its chains are about the same. */
export const servicesMax = 300;
/** Chains that are removed in one call. */
export const chainsMax = 500;

/**
 * A small change is one call, all or nothing. A large one goes in steps that each leave a working state: first the
 * chains of some Services at a time, to which nothing new leads yet; then the shared chains, which lead to them; last
 * the removal of what nothing leads to any more.
 */
export function splitRestore(
  plan: Omit<RestorePlan, 'staleChains' | 'ownChains'>,
  keys: readonly string[],
  staleChains: readonly string[],
  ofServices: (keys: readonly string[]) => RestorePlan['ownChains'],
): RestorePlan[] {
  if (!plan.isFull && plan.dirty.size + plan.edits.size + keys.length + staleChains.length === 0) return [];
  const stale = removalOrder(staleChains);
  if (keys.length <= servicesMax && stale.length <= chainsMax) {
    return [{ ...plan, staleChains: stale, ownChains: ofServices(keys) }];
  }
  const nothing = { dirty: new Set<string>(), edits: new Map(), sharedLines: noLines };
  const part = { ...plan, ...nothing, isFull: false, existing: undefined };
  // the one shared chain that chains of Services lead to
  const mark = { ...part, dirty: new Set(['nat KUBE-MARK-MASQ']) };
  return [
    ...slices(keys, servicesMax).map((some) => ({ ...mark, staleChains: [], ownChains: ofServices(some) })),
    { ...plan, staleChains: [], ownChains: ofServices([]) },
    ...slices(stale, chainsMax).map((some) => ({ ...part, staleChains: some, ownChains: ofServices([]) })),
  ];
}

async function* noLines(): AsyncGenerator<string> {}

/** A chain goes before those that it leads to: one that is still led to cannot be removed. */
export function removalOrder(chains: readonly string[]): string[] {
  const rank = (chain: string): number => order.findIndex((prefix) => chain.startsWith(prefix));
  return chains.toSorted((a, b) => rank(a) - rank(b));
}

const order = ['KUBE-FW-', 'KUBE-EXT-', 'KUBE-SVL-', 'KUBE-SVC-', 'KUBE-SEP-'];

export function slices<T>(items: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let i = 0; i < items.length; i += size) parts.push(items.slice(i, i + size));
  return parts;
}
