/**
 * The kernel's connection table, through the `conntrack` tool: reads the flows of a protocol and deletes some.
 *
 * The tool, not netlink through FFI: it is called only when a Service that could have such flows has changed, reads 30,000
 * flows in 0.16 s of a child's time beside our loop, and deletes any number of them in one call.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CommandError, runCommand } from '../processes/processes.ts';

export interface ConntrackFlow {
  /** Where the client sent to, and who answers. */
  readonly toIp: string;
  readonly toPort: number;
  readonly replyFromIp: string;
  readonly replyFromPort: number;
}

export type ConntrackProtocol = 'udp' | 'sctp';
type Family = 'ipv4' | 'ipv6';

const timeoutMs = 60_000;
/** Each deletion goes through the whole table: with that many a call stays well below the time-out. */
const deletionsPerCall = 100;
const stderrMax = 4096;

export class Conntrack {
  /**
   * Gives away the flows of a protocol one by one: there may be a hundred thousand.
   * @throws {CommandError} also when the tool is not installed
   */
  async flows(
    family: Family,
    protocol: ConntrackProtocol,
    onFlow: (flow: ConntrackFlow) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const args = ['-L', '-p', protocol, '-f', family];
    const child = spawn('conntrack', args, { stdio: ['ignore', 'pipe', 'pipe'], signal, timeout: timeoutMs });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(0, stderrMax)));
    const ended = new Promise<{ code: number | null; error?: Error }>((resolve) => {
      child.once('error', (error) => resolve({ code: null, error }));
      child.once('close', (code) => resolve({ code }));
    });
    for await (const line of createInterface({ input: child.stdout })) {
      const flow = parseFlow(line);
      if (flow !== undefined) onFlow(flow);
    }
    const { code, error } = await ended;
    signal.throwIfAborted();
    if (code !== 0) {
      const what = error?.message ?? (code === null ? 'was killed' : `exited with code ${code}`);
      throw new CommandError(`conntrack ${args.join(' ')}`, what, code ?? undefined, '', stderr, error);
    }
  }

  /**
   * Deletes every flow with the same two ends as one of these. One that is gone is deleted.
   * @returns how many entries of the table went
   */
  async deleteFlows(
    family: Family,
    protocol: ConntrackProtocol,
    flows: readonly ConntrackFlow[],
    signal: AbortSignal,
  ): Promise<number> {
    // a file: the tool opens its input by name, which a socket does not allow
    const directory = await mkdtemp(join(tmpdir(), 'gantry-conntrack-'));
    const path = join(directory, 'deletions');
    let deleted = 0;
    try {
      for (let i = 0; i < flows.length; i += deletionsPerCall) {
        const lines = flows.slice(i, i + deletionsPerCall).map((flow) => deletion(family, protocol, flow).join(' '));
        await writeFile(path, `${lines.join('\n')}\n`);
        const { stdout } = await runCommand('conntrack', ['--load-file', path], { timeoutMs, signal });
        deleted += stdout.split('\n').filter((line) => parseFlow(line) !== undefined).length;
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
    return deleted;
  }
}

function deletion(family: Family, protocol: ConntrackProtocol, flow: ConntrackFlow): string[] {
  const { toIp, toPort, replyFromIp, replyFromPort } = flow;
  const to = ['--orig-dst', toIp, '--orig-port-dst', String(toPort)];
  const from = ['--reply-src', replyFromIp, '--reply-port-src', String(replyFromPort)];
  return ['-D', '-p', protocol, '-f', family, ...to, ...from];
}

/** The original direction's addresses come first, the reply's second; counters and flags may stand in between. */
const flowPattern = /\bdst=(\S+) sport=\d+ dport=(\d+) .*?\bsrc=(\S+) dst=\S+ sport=(\d+) /;

/** A line of `conntrack -L`; undefined for any other. */
export function parseFlow(line: string): ConntrackFlow | undefined {
  const [, toIp, toPort, replyFromIp, replyFromPort] = flowPattern.exec(line) ?? [];
  if (toIp === undefined || replyFromIp === undefined) return undefined;
  return { toIp, toPort: Number(toPort), replyFromIp, replyFromPort: Number(replyFromPort) };
}
