/** Flows of the connection table to one address and port, whoever they reach. */
import { runCommand } from '../processes/processes.ts';

export interface FlowTo {
  readonly fromIp: string;
  readonly fromPort: number;
  /** Who answers. */
  readonly reached: { readonly ip: string; readonly port: number };
  /** As the kernel calls it, e.g. `ESTABLISHED`; empty for UDP. */
  readonly state: string;
  readonly isReplied: boolean;
}

const timeoutMs = 30_000;

/** @throws {CommandError} also when the tool is not installed */
export async function flowsTo(
  { protocol, ip, port }: { protocol: 'tcp' | 'udp' | 'sctp'; ip: string; port: number },
  signal: AbortSignal,
): Promise<FlowTo[]> {
  const family = ip.includes(':') ? 'ipv6' : 'ipv4';
  const args = ['-L', '-f', family, '-p', protocol, '--orig-dst', ip, '--orig-port-dst', String(port)];
  const { stdout } = await runCommand('conntrack', args, { timeoutMs, signal });
  return parseFlowsTo(stdout);
}

/** Lines of `conntrack -L`: the original direction's addresses come first, the reply's second. Pure. */
export function parseFlowsTo(text: string): FlowTo[] {
  return text.split('\n').flatMap((line) => {
    const all = (name: string): string[] =>
      [...line.matchAll(new RegExp(`\\b${name}=(\\S+)`, 'g'))].map((match) => match[1] ?? '');
    const [fromIp, reachedIp] = all('src');
    const [fromPort, reachedPort] = all('sport');
    if (fromIp === undefined || reachedIp === undefined || fromPort === undefined || reachedPort === undefined)
      return [];
    return [
      {
        fromIp,
        fromPort: Number(fromPort),
        reached: { ip: reachedIp, port: Number(reachedPort) },
        state: /\b([A-Z_]{4,}) src=/.exec(line)?.[1] ?? '',
        isReplied: !line.includes('[UNREPLIED]'),
      },
    ];
  });
}
