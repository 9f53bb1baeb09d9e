/**
 * The kubelet's own chains of iptables. Owns: the guard of 127.0.0.0/8 (`KUBE-FIREWALL`, which kube-proxy shares), the
 * empty chain by which others tell the tools' flavour (`KUBE-IPTABLES-HINT`), and the canary (`KUBE-KUBELET-CANARY`)
 * whose loss says that somebody has replaced the tables. Promises: what is there already is left as it is; what is lost
 * is back within a minute.
 */
import type { IpTable } from '../../../adapters/iptables/iptables.ts';
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';

export interface FirewallTools {
  isUsable(signal: AbortSignal): Promise<boolean>;
  ruleCount(table: IpTable, chain: string, signal: AbortSignal): Promise<number | undefined>;
  ensureChain(table: IpTable, chain: string, signal: AbortSignal): Promise<void>;
  ensureRule(
    place: 'first' | 'last',
    table: IpTable,
    chain: string,
    rule: readonly string[],
    signal: AbortSignal,
  ): Promise<void>;
}

export interface FirewallNeed {
  /** One per IP family. */
  tools: Readonly<Record<'IPv4' | 'IPv6', FirewallTools>>;
  clock: Clock;
  log: Logger;
}

const periodMs = 60_000;
const canary = 'KUBE-KUBELET-CANARY';
const guard = 'KUBE-FIREWALL';
const guardMatch = '--dst 127.0.0.0/8 ! --src 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT';
const guardComment = ['-m', 'comment', '--comment', 'block incoming localnet connections'];
const guardRule = [...guardComment, ...guardMatch.split(' '), '-j', 'DROP'];

/** Keeps the chains until `signal` aborts; they stay then. Where there is no iptables there is nothing to do. */
export async function runFirewall({ tools, clock, log }: FirewallNeed, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const family of ['IPv4', 'IPv6'] as const) {
      try {
        if (await isLost(tools[family], signal)) await ensure(tools[family], family, signal);
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ family, reason: describeError(err) }, 'cannot write the chains of iptables, will retry');
      }
    }
    await clock.sleep(periodMs, signal);
  }
}

async function isLost(tools: FirewallTools, signal: AbortSignal): Promise<boolean> {
  if (!(await tools.isUsable(signal))) return false;
  return (await tools.ruleCount('mangle', canary, signal)) === undefined;
}

/** The canary comes last: while it is missing, what is before it is not sure to be there. */
async function ensure(tools: FirewallTools, family: 'IPv4' | 'IPv6', signal: AbortSignal): Promise<void> {
  await tools.ensureChain('mangle', 'KUBE-IPTABLES-HINT', signal);
  if (family === 'IPv4') {
    await tools.ensureChain('filter', guard, signal);
    for (const from of ['OUTPUT', 'INPUT']) await tools.ensureRule('first', 'filter', from, ['-j', guard], signal);
    await tools.ensureRule('last', 'filter', guard, guardRule, signal);
  }
  for (const table of ['filter', 'nat', 'mangle'] as const) await tools.ensureChain(table, canary, signal);
}
