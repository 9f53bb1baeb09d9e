/** A sync's changes as the input of iptables-restore, piece by piece. Pure but for the counts it keeps. */
import { canaryChain, canaryRule, jumpRule, jumps, sharedChains } from '../../compute/iptables/static-rules.ts';
import type { ExistingRules } from './existing-rules.ts';

export interface RestorePlan {
  readonly isFull: boolean;
  /** Read before a full sync. */
  readonly existing: { readonly filter: ExistingRules; readonly nat: ExistingRules } | undefined;
  /** Shared chains to write, as `table CHAIN`. Any other keeps what it has. */
  readonly dirty: ReadonlySet<string>;
  /** Rules of shared chains that belong to no Service, by `table CHAIN`; they end their chain. */
  readonly fixed: ReadonlyMap<string, readonly string[]>;
  /** Per-service chains of table nat to remove. */
  readonly staleChains: readonly string[];
  readonly sharedRules: (chain: string) => Iterable<string>;
  readonly chainNames: () => readonly string[];
  readonly ownChains: () => AsyncIterable<ReadonlyArray<{ chain: string; rules: readonly string[] }>>;
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
  if (plan.isFull) yield* ['*mangle', ...canaryLines(), 'COMMIT'];
  const dirtyFilter = sharedChains.filter.filter(
    (chain) => plan.dirty.has(`filter ${chain}`) && !(chain === 'KUBE-FIREWALL' && isKubeletsOnly(plan)),
  );
  if (plan.isFull || dirtyFilter.length > 0) {
    yield '*filter';
    for (const line of sharedLines('filter', dirtyFilter, plan)) {
      if (line.startsWith('-A')) written.filter++;
      yield line;
    }
    yield 'COMMIT';
  }
  const chainNames = plan.chainNames();
  const dirtyNat = sharedChains.nat.filter((chain) => plan.dirty.has(`nat ${chain}`));
  if (!plan.isFull && dirtyNat.length === 0 && chainNames.length === 0 && plan.staleChains.length === 0) return;
  yield '*nat';
  // a line with a chain's name creates it, or empties it
  for (const chain of [...chainNames, ...plan.staleChains]) yield `:${chain} - [0:0]`;
  for (const line of sharedLines('nat', dirtyNat, plan)) {
    if (line.startsWith('-A')) written.nat++;
    yield line;
  }
  for await (const chains of plan.ownChains()) {
    for (const { chain, rules } of chains) {
      written.nat += rules.length;
      for (const rule of rules) yield `-A ${chain} ${rule}`;
    }
  }
  for (const chain of plan.staleChains) yield `-X ${chain}`;
  yield 'COMMIT';
}

function* sharedLines(table: 'filter' | 'nat', chains: readonly string[], plan: RestorePlan): Generator<string> {
  for (const chain of chains) yield `:${chain} - [0:0]`;
  if (plan.existing !== undefined) {
    yield* canaryLines();
    const present = plan.existing[table].jumps;
    for (const jump of jumps) {
      if (jump.table === table && !present.has(jump)) yield `-I ${jump.from} ${jumpRule(jump)}`;
    }
  }
  for (const chain of chains) {
    for (const rule of plan.sharedRules(`${table} ${chain}`)) yield `-A ${chain} ${rule}`;
    for (const rule of plan.fixed.get(`${table} ${chain}`) ?? []) yield `-A ${chain} ${rule}`;
  }
}

/** The kubelet adds to this chain, too: without a rule of ours we see that it exists and never empty it. */
function isKubeletsOnly({ fixed, existing }: RestorePlan): boolean {
  const isOurs = (fixed.get('filter KUBE-FIREWALL') ?? []).length > 0;
  return !isOurs && existing?.filter.chains.has('KUBE-FIREWALL') === true;
}

function canaryLines(): string[] {
  return [`:${canaryChain} - [0:0]`, `-A ${canaryChain} ${canaryRule}`];
}
