/** A "node" whose pods are network namespaces with links of their own, as the ptp plugin would make them. Needs root. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface PodEnd {
  name: string;
  ips: readonly string[];
}

const gateways = ['169.254.77.1', 'fd00:79:ff::1'];
const peerProcess = new URL('../network-policy-peer.ts', import.meta.url).pathname;

export class PolicyNode {
  readonly name: string;
  readonly #peers = new Map<string, Peer>();
  readonly #children: ChildProcessWithoutNullStreams[] = [];
  readonly #namespaces: string[] = [];

  constructor(name: string, ends: readonly PodEnd[]) {
    this.name = name;
    execFileSync('ip', ['netns', 'add', name]);
    this.#namespaces.push(name);
    const inNode: string[] = ['link set lo up'];
    for (const [i, { name: end, ips }] of ends.entries()) {
      const netns = `${name}-${end}`;
      execFileSync('ip', ['netns', 'add', netns]);
      this.#namespaces.push(netns);
      const device = `v${i}`;
      execFileSync('ip', ['-n', name, 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns]);
      inNode.push(`link set ${device} up`);
      const inPod = ['link set lo up', 'link set eth0 up'];
      for (const [f, ip] of ips.entries()) {
        const [length, more, gateway] = f === 0 ? [32, '', gateways[0]] : [128, ' nodad', gateways[1]];
        inNode.push(`addr add ${gateway}/${length} dev ${device}${more}`, `route add ${ip}/${length} dev ${device}`);
        inPod.push(`addr add ${ip}/${length} dev eth0${more}`, `route add ${gateway}/${length} dev eth0`);
        inPod.push(`route add default via ${gateway} dev eth0`);
      }
      batch(netns, inPod);
    }
    batch(name, inNode);
    this.run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  }

  /** Servers and clients in every pod. */
  async startPeers(names: readonly string[], ports: readonly number[]): Promise<void> {
    await Promise.all(
      names.map(async (name) => {
        const peer = new Peer(
          this.start([process.execPath, peerProcess, ...ports.map(String)], `${this.name}-${name}`),
        );
        this.#peers.set(name, peer);
        await peer.ready;
      }),
    );
  }

  /** Which of `ip protocol port` answer to a pod. */
  open(from: string, targets: readonly string[], timeoutMs: number): Promise<string[]> {
    const peer = this.#peers.get(from);
    if (peer === undefined) throw new Error(`no peer "${from}"`);
    return peer.ask({ targets, timeoutMs });
  }

  /** Says something on a connection that is kept from the first time on. @returns what comes back */
  async say(from: string, target: string, text: string): Promise<string | undefined> {
    return (await this.#peers.get(from)?.ask({ targets: [target], say: text }))?.[0];
  }

  /** Runs a command on the node to its end and returns what it printed. */
  run(...command: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.name, ...command], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Starts a process on the node, or elsewhere, that ends with it. */
  start(command: readonly string[], netns = this.name, env: NodeJS.ProcessEnv = {}): ChildProcessWithoutNullStreams {
    const child = spawn('ip', ['netns', 'exec', netns, ...command], { env: { ...process.env, ...env } });
    child.stdin.on('error', () => {}); // it ended: the test sees that
    this.#children.push(child);
    return child;
  }

  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const netns of this.#namespaces.toReversed()) execFileSync('ip', ['netns', 'del', netns]);
  }
}

class Peer {
  readonly ready: Promise<void>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, { resolve: (open: string[]) => void; reject: (err: Error) => void }>();
  #asked = 0;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.ready = new Promise((resolve, reject) => {
      let said = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
      child.once('close', (code) => {
        const err = new Error(`a peer ended with ${code}: ${said}`);
        reject(err);
        for (const waiting of this.#waiting.values()) waiting.reject(err);
      });
      createInterface({ input: child.stdout }).on('line', (line) => {
        const { id, open = [] } = JSON.parse(line) as { id?: number; open?: string[] };
        if (id === undefined) resolve();
        else this.#waiting.get(id)?.resolve(open);
      });
    });
  }

  ask(question: object): Promise<string[]> {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ id, ...question })}\n`);
    });
  }
}

function batch(netns: string, commands: readonly string[]): void {
  execFileSync('ip', ['-n', netns, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}
