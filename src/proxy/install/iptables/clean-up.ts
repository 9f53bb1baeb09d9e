import type { IpTable, RestoreInput } from '../../../adapters/iptables/iptables.ts';
import { canaryChain, jumpArguments, jumps, sharedChains } from '../../compute/iptables/static-rules.ts';
import { ExistingRules } from './existing-rules.ts';

export interface CleanUpNeed {
  save(table: IpTable, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
  restore(input: RestoreInput, signal: AbortSignal): Promise<void>;
  deleteRule(table: IpTable, chain: string, rule: readonly string[], signal: AbortSignal): Promise<void>;
}

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
    await iptables.save(table, (line) => existing.read(line), signal);
    const keepsGuard = existing.chains.has(kubeletCanary);
    for (const jump of jumps) {
      if (!existing.jumps.has(jump) || (jump.to === guardChain && keepsGuard)) continue;
      await iptables.deleteRule(table, jump.from, jumpArguments(jump), signal);
      removed.jumps++;
    }
    const ours = new Set<string>([...(table === 'mangle' ? [] : sharedChains[table]), canaryChain]);
    if (keepsGuard) ours.delete(guardChain);
    const chains = [...existing.chains].filter((chain) => ours.has(chain));
    if (table === 'nat') chains.push(...existing.serviceChains);
    if (chains.length === 0) continue;
    const lines = [
      `*${table}`,
      ...chains.map((chain) => `:${chain} - [0:0]`),
      ...chains.map((chain) => `-X ${chain}`),
      'COMMIT',
    ];
    await iptables.restore(() => [`${lines.join('\n')}\n`], signal);
    removed.chains += chains.length;
  }
  return removed;
}
