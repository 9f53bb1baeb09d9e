import type { IpTable, RestoreInput } from '../../../adapters/iptables/iptables.ts';
import { jumpArguments, jumpRule } from '../../compute/iptables/static-rules.ts';
import { modeJumps, modeRulesText } from '../../compute/ipvs/mode-rules.ts';
import { kernelSetName, setNames } from '../../compute/ipvs/ip-sets.ts';
import type { IpFamily } from '../../proxy-model.ts';
import { declaredChains } from './iptables-around.ts';

export interface CleanUpNeed {
  save(table: IpTable, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
  restore(input: RestoreInput, signal: AbortSignal): Promise<void>;
  deleteRule(table: IpTable, chain: string, rule: readonly string[], signal: AbortSignal): Promise<void>;
}

/**
 * Removes every jump and chain of mode ipvs; foreign rules stay as they are. Some chains are mode iptables' as well:
 * one that rules still lead to is emptied and stays for the clean-up of that mode.
 */
export async function cleanUpModeRules(iptables: CleanUpNeed, family: IpFamily, signal: AbortSignal): Promise<void> {
  const context = { family, masqueradeMark: '', masqueradeAll: false, localTraffic: undefined, sets: new Map() };
  const ours = new Set(declaredChains(modeRulesText(context)));
  for (const table of ['nat', 'filter'] as const) {
    const chains: string[] = [];
    const lines = new Set<string>();
    await iptables.save(table, (line) => lines.add(line), signal);
    for (const line of lines) {
      const chain = line.startsWith(':') ? line.slice(1, line.indexOf(' ')) : '';
      if (ours.has(`${table} ${chain}`)) chains.push(chain);
    }
    for (const jump of modeJumps) {
      const isThere = jump.table === table && lines.delete(`-A ${jump.from} ${jumpRule(jump)}`);
      if (isThere) await iptables.deleteRule(table, jump.from, jumpArguments(jump), signal);
    }
    const others = [...lines].filter((line) => !chains.some((chain) => line.startsWith(`-A ${chain} `)));
    const isLedTo = (chain: string): boolean => others.some((line) => ` ${line} `.includes(` -j ${chain} `));
    const text = [
      `*${table}`,
      ...chains.map((chain) => `:${chain} - [0:0]`),
      ...chains.filter((chain) => !isLedTo(chain)).map((chain) => `-X ${chain}`),
      'COMMIT',
    ];
    if (chains.length > 0) await iptables.restore(() => [`${text.join('\n')}\n`], signal);
  }
}

/** Commands for ipset that destroy our sets among those that there are, once no rule asks them. */
export function setRemovals(existing: ReadonlyMap<string, unknown>): string[] {
  return (['IPv4', 'IPv6'] as const)
    .flatMap((family) => setNames.map((name) => kernelSetName(name, family)))
    .filter((name) => existing.has(name))
    .map((name) => `destroy ${name}`);
}
