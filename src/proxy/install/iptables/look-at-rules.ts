/** Compares what the kernel holds with what was written, by counting: texts differ between the tools' versions. */
import type { IpTable } from '../../../adapters/iptables/iptables.ts';
import { isServiceChain } from '../../compute/iptables/chain-names.ts';
import { canaryChain, jumps, sharedChains } from '../../compute/iptables/static-rules.ts';
import { jumpOf } from './existing-rules.ts';

export interface LookNeed {
  save(table: IpTable, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
  /** Undefined: no such chain. */
  ruleCount(table: IpTable, chain: string, signal: AbortSignal): Promise<number | undefined>;
}

/** How many rules there must be. */
export interface ExpectedRules {
  /** Of `table CHAIN`, one of the shared ones. */
  inChain(chain: string): number;
  /** Of all chains of Services together. */
  readonly inServiceChains: number;
}

/** One chain per table, the one that a table cannot be without: a flush or a reload of foreign rules empties it. */
const telling = [
  ['nat', 'KUBE-SERVICES'],
  ['filter', 'KUBE-FORWARD'],
] as const;

/** A few milliseconds: whether somebody has flushed or replaced a table. */
export async function lookQuickly(
  iptables: Pick<LookNeed, 'ruleCount'>,
  expected: ExpectedRules,
  signal: AbortSignal,
): Promise<string[]> {
  const lost: string[] = [];
  for (const [table, chain] of telling) {
    const count = (await iptables.ruleCount(table, chain, signal)) ?? 0;
    if (count < expected.inChain(`${table} ${chain}`)) lost.push(`${table} ${chain}`);
  }
  return lost;
}

/** Whether any jump, chain or rule of ours is missing: reads whole tables. */
export async function lookThoroughly(
  iptables: LookNeed,
  expected: ExpectedRules,
  signal: AbortSignal,
): Promise<string[]> {
  const lost: string[] = [];
  if ((await iptables.ruleCount('mangle', canaryChain, signal)) === undefined) lost.push(`mangle ${canaryChain}`);
  for (const table of ['filter', 'nat'] as const) {
    const there = new RulesThere(table);
    await iptables.save(table, (line) => there.read(line), signal);
    lost.push(...there.missing(expected));
  }
  return lost;
}

/** Counts the lines of `iptables-save`. */
class RulesThere {
  readonly #table: 'filter' | 'nat';
  readonly #counts = new Map<string, number>();
  readonly #jumps = new Set<unknown>();
  #serviceRules = 0;
  #hasCanary = false;

  constructor(table: 'filter' | 'nat') {
    this.#table = table;
  }

  read(line: string): void {
    if (line.startsWith(`:${canaryChain} `)) this.#hasCanary = true;
    if (!line.startsWith('-A ')) return;
    const chain = line.slice(3, line.indexOf(' ', 3));
    if (isServiceChain(chain)) this.#serviceRules++;
    else if (chain.startsWith('KUBE-')) this.#counts.set(chain, (this.#counts.get(chain) ?? 0) + 1);
    else this.#jumps.add(jumpOf(this.#table, line));
  }

  /** More than there must be is no loss: others may add to our chains. */
  missing(expected: ExpectedRules): string[] {
    const table = this.#table;
    const chains: readonly string[] = sharedChains[table];
    const short = chains.filter((chain) => (this.#counts.get(chain) ?? 0) < expected.inChain(`${table} ${chain}`));
    return [
      ...jumps
        .filter((jump) => jump.table === table && !this.#jumps.has(jump))
        .map(({ from, to }) => `${from} to ${to}`),
      ...(this.#hasCanary ? short : [...short, canaryChain]).map((chain) => `${table} ${chain}`),
      ...(table === 'nat' && this.#serviceRules < expected.inServiceChains ? ['nat rules of Services'] : []),
    ];
  }
}
