/** The iptables rules of mode ipvs: as text with the jumps that are missing, and what of them is in the kernel. Pure. */
import { jumpRule } from '../../compute/iptables/static-rules.ts';
import { modeJumps } from '../../compute/ipvs/mode-rules.ts';

const tables = ['nat', 'filter'] as const;

/** Names of the chains that a text for iptables-restore declares, as `table CHAIN`. */
export function declaredChains(text: string): string[] {
  const chains: string[] = [];
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    if (line.startsWith(':')) chains.push(`${table} ${line.slice(1, line.indexOf(' '))}`);
  }
  return chains;
}

/** How many rules a text for iptables-restore has for `CHAIN`. */
export function countRules(text: string, chain: string): number {
  return text.split('\n').filter((line) => line.startsWith(`-A ${chain} `)).length;
}

/** Our jumps that are not among the lines of `iptables-save`, as text that comes after the chains they lead to. */
export function missingJumps(saved: Readonly<Record<'nat' | 'filter', ReadonlySet<string>>>): string {
  return tables
    .map((table) => {
      const lines = modeJumps
        .filter((jump) => jump.table === table && !saved[table].has(`-A ${jump.from} ${jumpRule(jump)}`))
        .map((jump) => `-I ${jump.from} ${jumpRule(jump)}\n`);
      return lines.length === 0 ? '' : `*${table}\n${lines.join('')}COMMIT\n`;
    })
    .join('');
}
