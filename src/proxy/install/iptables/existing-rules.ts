import type { IpTable } from '../../../adapters/iptables/iptables.ts';
import { isServiceChain } from '../../compute/iptables/chain-names.ts';
import { type Jump, jumpRule, jumps } from '../../compute/iptables/static-rules.ts';

/** What a full sync and a clean-up must know of a table: our chains, and which of our jumps are in place. */
export class ExistingRules {
  readonly chains = new Set<string>();
  readonly jumps = new Set<Jump>();
  readonly #table: IpTable;

  constructor(table: IpTable) {
    this.#table = table;
  }

  /** Takes one line of `iptables-save`. */
  read(line: string): void {
    if (line.startsWith(':')) {
      this.chains.add(line.slice(1, line.indexOf(' ')));
      return;
    }
    // our own chains are many and lead nowhere of interest
    if (!line.startsWith('-A ') || line.startsWith('-A KUBE-')) return;
    const jump = jumpOf(this.#table, line);
    if (jump !== undefined) this.jumps.add(jump);
  }

  get serviceChains(): string[] {
    return [...this.chains].filter(isServiceChain);
  }
}

/** The jump of ours that a line of `iptables-save` shows. */
export function jumpOf(table: IpTable, line: string): Jump | undefined {
  return jumps.find((jump) => jump.table === table && isJumpLine(line, jump));
}

/** The tools print matches in their own order and form; a rule that matches more than ours is not ours. */
function isJumpLine(line: string, jump: Jump): boolean {
  const { from, match, comment, to } = jump;
  if (match === '') return line === `-A ${from} ${jumpRule(jump)}`;
  return (
    line.startsWith(`-A ${from} `) &&
    line.endsWith(` -j ${to}`) &&
    line.includes('--ctstate NEW ') &&
    line.includes(`--comment "${comment}"`)
  );
}
