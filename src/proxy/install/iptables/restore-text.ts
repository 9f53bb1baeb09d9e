/** A sync's changes as the input of iptables-restore, piece by piece. Pure but for the counts it keeps. */
import { canaryChain, jumpRule, jumps, sharedChains } from '../../compute/iptables/static-rules.ts';
import type { ChainEdit, OwnChain } from './diff-service-rules.ts';
import type { ExistingRules } from './existing-rules.ts';

export interface RestorePlan {
  readonly isFull: boolean;
  /** Read before a full sync. */
  readonly existing: { readonly filter: ExistingRules; readonly nat: ExistingRules } | undefined;
  /** Shared chains to write whole, as `table CHAIN`. Any other keeps what it has. */
  readonly dirty: ReadonlySet<string>;
  /** Shared chains to change rule by rule. */
  readonly edits: ReadonlyMap<string, ChainEdit>;
  /** Rules of shared chains that belong to no Service, by `table CHAIN`; they end their chain. */
  readonly fixed: ReadonlyMap<string, readonly string[]>;
  /** Per-service chains of table nat to remove. */
  readonly staleChains: readonly string[];
  /** Lines that Services have in the shared chains of a table that are written whole. */
  readonly sharedLines: (table: 'filter' | 'nat', chains: ReadonlySet<string>) => AsyncIterable<string>;
  /** Chains of Services to write: made when their turn comes, as they are the bulk. */
  readonly ownChains: () => Promise<readonly OwnChain[]>;
}

const pieceLengthMax = 64 * 1024;

/** `written` is set to the number of rules per table. */
export async function* restoreText(
  plan: RestorePlan,
  written: { filter: number; nat: number },
): AsyncGenerator<string> {
  written.filter = 0;
  written.nat = 0;
  let piece = '';
  for await (const line of lines(plan, written)) {
    piece += `${line}\n`;
    if (piece.length > pieceLengthMax) {
      yield piece;
      piece = '';
    }
  }
  if (piece !== '') yield piece;
}

async function* lines(plan: RestorePlan, written: { filter: number; nat: number }): AsyncGenerator<string> {
  if (plan.isFull) yield* ['*mangle', `:${canaryChain} - [0:0]`, 'COMMIT'];
  for (const table of ['filter', 'nat'] as const) {
    let isOpen = false;
    for await (const line of tableLines(table, plan)) {
      if (!isOpen) yield `*${table}`;
      isOpen = true;
      if (line.startsWith('-A') || line.startsWith('-I KUBE-')) written[table]++;
      yield line;
    }
    if (isOpen) yield 'COMMIT';
  }
}

async function* tableLines(table: 'filter' | 'nat', plan: RestorePlan): AsyncGenerator<string> {
  const { existing, fixed, edits } = plan;
  const whole = sharedChains[table].filter(
    (chain) => plan.dirty.has(`${table} ${chain}`) && !(chain === 'KUBE-FIREWALL' && isKubeletsOnly(plan)),
  );
  // a line with a chain's name creates it, or empties it
  for (const chain of whole) yield `:${chain} - [0:0]`;
  if (plan.isFull) yield `:${canaryChain} - [0:0]`;
  const own = table === 'nat' ? await plan.ownChains() : [];
  const stale = table === 'nat' ? plan.staleChains : [];
  // names go first, as one chain may lead to any other
  for (const { chain } of own) yield `:${chain} - [0:0]`;
  for (const chain of stale) yield `:${chain} - [0:0]`;
  if (existing !== undefined) {
    const present = existing[table].jumps;
    for (const jump of jumps) {
      if (jump.table === table && !present.has(jump)) yield `-I ${jump.from} ${jumpRule(jump)}`;
    }
  }
  if (whole.length > 0) yield* plan.sharedLines(table, new Set(whole.map((chain) => `${table} ${chain}`)));
  for (const chain of whole) {
    for (const rule of fixed.get(`${table} ${chain}`) ?? []) yield `-A ${chain} ${rule}`;
  }
  for (const chain of sharedChains[table]) {
    const { added, removed } = edits.get(`${table} ${chain}`) ?? { added: [], removed: [] };
    // each goes on top: the last one first
    for (const rule of added.toReversed()) yield `-I ${chain} ${rule}`;
    for (const rule of removed) yield `-D ${chain} ${rule}`;
  }
  for (const { chain, rules } of own) for (const rule of rules) yield `-A ${chain} ${rule}`;
  for (const chain of stale) yield `-X ${chain}`;
}

/** The kubelet adds to this chain, too: without a rule of ours we see that it exists and never empty it. */
function isKubeletsOnly({ fixed, existing }: RestorePlan): boolean {
  const isOurs = (fixed.get('filter KUBE-FIREWALL') ?? []).length > 0;
  return !isOurs && existing?.filter.chains.has('KUBE-FIREWALL') === true;
}
