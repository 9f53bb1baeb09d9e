/** A network namespace for a trial: made by `ip netns add`, looked into, removed. */
import { CommandError, runCommand } from '../adapters/processes/processes.ts';

const timeoutMs = 10_000;

/** Connects to a closed port: the answer, even a refusal, shows that packets go there and back. */
const probeScript = `
const [host] = process.argv.slice(-1);
const socket = require('node:net').connect({ host, port: 9 });
socket.setTimeout(2000, () => { console.error('no answer within 2s'); process.exit(1); });
socket.on('connect', () => process.exit(0));
socket.on('error', (err) => { console.error(err.code); process.exit(err.code === 'ECONNREFUSED' ? 0 : 1); });
`;

export class ScratchNamespace {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  get path(): string {
    return `/run/netns/${this.name}`;
  }

  async create(signal: AbortSignal): Promise<void> {
    await runCommand('ip', ['netns', 'add', this.name], { timeoutMs, signal });
  }

  /** One that is gone is removed. */
  async remove(signal: AbortSignal): Promise<void> {
    const names = await runCommand('ip', ['netns', 'list'], { timeoutMs, signal });
    if (!names.stdout.split('\n').some((line) => line.split(' ')[0] === this.name)) return;
    await runCommand('ip', ['netns', 'del', this.name], { timeoutMs, signal });
  }

  /** Names of the interfaces inside, but for `lo`. */
  async interfaces(signal: AbortSignal): Promise<string[]> {
    const { stdout } = await runCommand('ip', ['-n', this.name, '-j', 'link', 'show'], { timeoutMs, signal });
    const links: unknown = JSON.parse(stdout === '' ? '[]' : stdout);
    return (Array.isArray(links) ? links : [])
      .map((link: unknown) =>
        typeof link === 'object' && link !== null && 'ifname' in link ? String(link.ifname) : '',
      )
      .filter((name) => name !== '' && name !== 'lo');
  }

  /** Whether `address` answers from inside; undefined when it does, else why not. */
  async reach(address: string, signal: AbortSignal): Promise<string | undefined> {
    const inside = ['netns', 'exec', this.name];
    const isIpv6 = address.includes(':');
    try {
      await runCommand('ip', [...inside, 'ping', isIpv6 ? '-6' : '-4', '-c', '3', '-i', '0.2', '-W', '1', address], {
        timeoutMs,
        signal,
      });
      return undefined;
    } catch (err) {
      if (!(err instanceof CommandError)) throw err;
      const isMissing = err.stderr.includes('exec of "ping" failed');
      if (!isMissing) return `no answer to ping: ${lastLine(err.stdout) || lastLine(err.stderr)}`;
    }
    try {
      await runCommand('ip', [...inside, process.execPath, '-e', probeScript, address], { timeoutMs, signal });
      return undefined;
    } catch (err) {
      if (!(err instanceof CommandError)) throw err;
      return `no answer to a connection: ${lastLine(err.stderr)}`;
    }
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
