/** The kernel's connection table, through the `conntrack` tool: reads UDP flows and deletes some. */
import { CommandError, runCommand } from '../processes/processes.ts';

export interface ConntrackFlow {
  readonly toIp: string;
  readonly toPort: number;
  readonly replyFromIp: string;
  readonly replyFromPort: number;
}

type Family = 'ipv4' | 'ipv6';

const timeoutMs = 60_000;

export class Conntrack {
  /** @throws {CommandError} also when the tool is not installed */
  async udpFlows(family: Family, signal: AbortSignal): Promise<ConntrackFlow[]> {
    const { stdout } = await runCommand('conntrack', ['-L', '-p', 'udp', '-f', family], { timeoutMs, signal });
    return parseFlows(stdout);
  }

  /** Deletes every flow with the same two ends. One that is gone is deleted. */
  async deleteUdpFlow(family: Family, flow: ConntrackFlow, signal: AbortSignal): Promise<void> {
    const { toIp, toPort, replyFromIp, replyFromPort } = flow;
    const to = ['--orig-dst', toIp, '--orig-port-dst', String(toPort)];
    const from = ['--reply-src', replyFromIp, '--reply-port-src', String(replyFromPort)];
    const args = ['-D', '-p', 'udp', '-f', family, ...to, ...from];
    try {
      await runCommand('conntrack', args, { timeoutMs, signal });
    } catch (err) {
      // the tool's answer when nothing matches
      if (err instanceof CommandError && err.stderr.includes('0 flow entries')) return;
      throw err;
    }
  }
}

/** Lines of `conntrack -L`: the original direction's addresses come first, the reply's second. */
export function parseFlows(text: string): ConntrackFlow[] {
  const flows: ConntrackFlow[] = [];
  for (const line of text.split('\n')) {
    const dst = [...line.matchAll(/\bdst=(\S+)/g)].map((match) => match[1] ?? '');
    const src = [...line.matchAll(/\bsrc=(\S+)/g)].map((match) => match[1] ?? '');
    const dport = [...line.matchAll(/\bdport=(\d+)/g)].map((match) => Number(match[1]));
    const sport = [...line.matchAll(/\bsport=(\d+)/g)].map((match) => Number(match[1]));
    const [toIp, toPort, replyFromIp, replyFromPort] = [dst[0], dport[0], src[1], sport[1]];
    if (toIp === undefined || toPort === undefined || replyFromIp === undefined || replyFromPort === undefined)
      continue;
    flows.push({ toIp, toPort, replyFromIp, replyFromPort });
  }
  return flows;
}
