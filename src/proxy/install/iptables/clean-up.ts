import type { IpTable, RestoreInput } from '../../../adapters/iptables/iptables.ts';
import { canaryChain, jumpArguments, jumps, sharedChains } from '../../compute/iptables/static-rules.ts';
import { ExistingRules } from './existing-rules.ts';
import { removalOrder, slices } from './split-restore.ts';

export interface CleanUpNeed {
  save(table: IpTable, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
  restore(input: RestoreInput, signal: AbortSignal): Promise<void>;
  deleteRule(table: IpTable, chain: string, rule: readonly string[], signal: AbortSignal): Promise<void>;
}

/** Chains that are removed in one call: the tool's time grows with the square of their number. */
const chainsMax = 500;
/** The chain that kubelet and kube-proxy share, and the sign that a kubelet is about. */
const guardChain = 'KUBE-FIREWALL';
const kubeletCanary = 'KUBE-KUBELET-CANARY';

/**
 * Removes every jump and chain of kube-proxy; foreign rules stay as they are. The guard of 127.0.0.0/8 stays, too,
 * where a kubelet has its canary: it is the kubelet's as much as ours.
 */
export async function cleanUpIptables(
  iptables: CleanUpNeed,
  signal: AbortSignal,
): Promise<{ jumps: number; chains: number }> {
  const removed = { jumps: 0, chains: 0 };
  for (const table of ['nat', 'filter', 'mangle'] as const) {
    const existing = new ExistingRules(table);
    let hasGuardRules = false;
    const read = (line: string): void => {
      existing.read(line);
      hasGuardRules ||= line.startsWith(`-A ${guardChain} `);
    };
    await iptables.save(table, read, signal);
    // the kubelet has no guard in IPv6, where the chain is empty
    const keepsGuard = hasGuardRules && existing.chains.has(kubeletCanary);
    for (const jump of jumps) {
      if (!existing.jumps.has(jump) || (jump.to === guardChain && keepsGuard)) continue;
      await iptables.deleteRule(table, jump.from, jumpArguments(jump), signal);
      removed.jumps++;
    }
    const ours = new Set<string>([...(table === 'mangle' ? [] : sharedChains[table]), canaryChain]);
    if (keepsGuard) ours.delete(guardChain);
    const found = [...existing.chains].filter((chain) => ours.has(chain));
    const last: string[] = found.filter((chain) => chain === 'KUBE-MARK-MASQ');
    const service = table === 'nat' ? removalOrder(existing.serviceChains) : [];
    const chains = [...found.filter((chain) => !last.includes(chain)), ...service, ...last];
    for (const some of slices(chains, chainsMax)) {
      const lines = [
        `*${table}`,
        ...some.map((chain) => `:${chain} - [0:0]`),
        ...some.map((chain) => `-X ${chain}`),
        'COMMIT',
      ];
      await iptables.restore(() => [`${lines.join('\n')}\n`], signal);
    }
    removed.chains += chains.length;
  }
  return removed;
}
