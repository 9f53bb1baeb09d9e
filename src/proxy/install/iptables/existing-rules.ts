import type { IpTable } from '../../../adapters/iptables/iptables.ts';
import { isServiceChain } from '../../compute/iptables/chain-names.ts';
import { type Jump, jumps } from '../../compute/iptables/static-rules.ts';

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
    const jump = jumps.find((candidate) => candidate.table === this.#table && isJumpLine(line, candidate));
    if (jump !== undefined) this.jumps.add(jump);
  }

  get serviceChains(): string[] {
    return [...this.chains].filter(isServiceChain);
  }
}

/** The tools print matches in their own order and form: what names the rule is from, to and comment. */
function isJumpLine(line: string, { from, match, comment, to }: Jump): boolean {
  return (
    line.startsWith(`-A ${from} `) &&
    line.endsWith(` -j ${to}`) &&
    (comment === '' || line.includes(`--comment "${comment}"`)) &&
    (match === '' || line.includes('--ctstate NEW'))
  );
}
