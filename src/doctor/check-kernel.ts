/** What the kernel must offer before pods can reach each other and Services. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { type Finding, fail, ok } from './finding.ts';

export interface KernelNeed {
  sysctl: { get(name: string): Promise<string | undefined> };
  iptables: {
    version(signal: AbortSignal): Promise<string>;
    ruleCount(table: 'nat', chain: string, signal: AbortSignal): Promise<number | undefined>;
  };
  /** Where `proc` is; `/` but in tests. */
  root: string;
}

export async function checkKernel(need: KernelNeed, signal: AbortSignal): Promise<Finding[]> {
  return [
    await checkForwarding(need),
    await checkBridgeNetfilter(need),
    await checkIptables(need, signal),
    await checkCgroups(need),
  ];
}

async function checkForwarding({ sysctl }: KernelNeed): Promise<Finding> {
  const id = 'kernel.ip-forward';
  const value = await sysctl.get('net/ipv4/ip_forward');
  return value === '1'
    ? ok(id, 'packets are forwarded between pods and the network')
    : fail(id, `net.ipv4.ip_forward is ${value ?? 'missing'}, expected 1`, 'sysctl -w net.ipv4.ip_forward=1');
}

async function checkBridgeNetfilter({ sysctl }: KernelNeed): Promise<Finding> {
  const id = 'kernel.br-netfilter';
  const value = await sysctl.get('net/bridge/bridge-nf-call-iptables');
  if (value === '1') return ok(id, 'bridged packets pass iptables');
  return value === undefined
    ? fail(id, 'br_netfilter is not loaded, Services fail between pods of one bridge', 'modprobe br_netfilter')
    : fail(
        id,
        `net.bridge.bridge-nf-call-iptables is ${value}, expected 1`,
        'sysctl -w net.bridge.bridge-nf-call-iptables=1',
      );
}

async function checkIptables({ iptables }: KernelNeed, signal: AbortSignal): Promise<Finding> {
  const id = 'kernel.iptables';
  try {
    const version = await iptables.version(signal);
    const rules = await iptables.ruleCount('nat', 'POSTROUTING', signal);
    return rules === undefined
      ? fail(id, `iptables ${version} has no table "nat"`, 'modprobe nf_nat, or run as root')
      : ok(id, `iptables ${version}, table "nat" is there`);
  } catch (err) {
    return fail(id, describeError(err), 'apt-get install iptables, and run as root');
  }
}

async function checkCgroups({ root }: KernelNeed): Promise<Finding> {
  const id = 'kernel.cgroups';
  const text = await readFile(join(root, 'proc/self/cgroup'), 'utf8').catch(() => '');
  const mode = cgroupMode(text);
  return typeof mode === 'string'
    ? ok(id, mode)
    : fail(
        id,
        `cgroup controllers are missing: ${mode.missing.join(', ')}`,
        'boot with systemd.unified_cgroup_hierarchy=1',
      );
}

/**
 * The layout of control groups, from a process's `/proc/self/cgroup`: one line per v1 hierarchy with its controllers,
 * and a line `0::` for v2. Pure.
 */
export function cgroupMode(text: string): string | { missing: string[] } {
  const lines = text.split('\n').map((line) => line.split(':'));
  const v1 = new Set(lines.filter(([hierarchy]) => hierarchy !== '0').flatMap(([, names = '']) => names.split(',')));
  const hasV2 = lines.some(([hierarchy]) => hierarchy === '0');
  const missing = ['cpu', 'memory', 'pids'].filter((controller) => !v1.has(controller));
  if (missing.length === 0) return hasV2 ? 'cgroup v1, with a v2 tree beside it (hybrid)' : 'cgroup v1';
  return missing.length === 3 && hasV2 ? 'cgroup v2' : { missing };
}
