/** Network namespaces for tests: made, filled with "pods", used and removed. Needs root. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why this machine cannot run such tests; undefined when it can. */
export function missingForNamespaces(tools: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = ['ip', ...tools].filter((tool) => !isOnPath(tool));
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')}`;
}

function isOnPath(tool: string): boolean {
  try {
    execFileSync('which', [tool], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A "node" with a bridge, and "pods" on it. Addresses 10.77.0.0/24, the node has .1. */
export class TestNode {
  readonly name: string;
  readonly #pods: string[] = [];
  readonly #stops: Array<() => void> = [];
  readonly #directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-'));

  constructor(name: string) {
    this.name = name;
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'link', 'add', 'br0', 'type', 'bridge');
    ip('-n', name, 'addr', 'add', '10.77.0.1/24', 'dev', 'br0');
    ip('-n', name, 'link', 'set', 'br0', 'up');
    // as on every node: a way out, so that packets to a cluster IP get as far as the rules
    ip('-n', name, 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1');
    ip('-n', name, 'link', 'set', 'up1', 'up');
    ip('-n', name, 'link', 'set', 'up0', 'up');
    ip('-n', name, 'addr', 'add', '10.78.0.1/24', 'dev', 'up0');
    ip('-n', name, 'route', 'add', 'default', 'via', '10.78.0.254');
    this.run('sysctl', '-qw', 'net.ipv4.ip_forward=1');
  }

  /** A namespace on the bridge, its port in hairpin mode as the CNI plugin would set it. */
  addPod(podName: string, address: string): void {
    const netns = `${this.name}-${podName}`;
    ip('netns', 'add', netns);
    this.#pods.push(netns);
    ip('-n', netns, 'link', 'set', 'lo', 'up');
    ip('-n', this.name, 'link', 'add', `v-${podName}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
    ip('-n', this.name, 'link', 'set', `v-${podName}`, 'master', 'br0');
    ip('-n', this.name, 'link', 'set', `v-${podName}`, 'type', 'bridge_slave', 'hairpin', 'on');
    ip('-n', this.name, 'link', 'set', `v-${podName}`, 'up');
    ip('-n', netns, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    ip('-n', netns, 'link', 'set', 'eth0', 'up');
    ip('-n', netns, 'route', 'add', 'default', 'via', '10.77.0.1');
  }

  /** Somebody beyond the node: at 10.78.0.254 and fd78::fe, the node's way out; sends everything to the node. */
  addOutside(): string {
    const netns = `${this.name}-out`;
    ip('netns', 'add', netns);
    this.#pods.push(netns);
    ip('-n', this.name, 'link', 'set', 'up1', 'netns', netns);
    ip('-n', netns, 'link', 'set', 'lo', 'up');
    ip('-n', netns, 'link', 'set', 'up1', 'up');
    ip('-n', netns, 'addr', 'add', '10.78.0.254/24', 'dev', 'up1');
    ip('-n', netns, 'addr', 'add', 'fd78::fe/64', 'dev', 'up1', 'nodad');
    ip('-n', netns, 'route', 'add', 'default', 'via', '10.78.0.1');
    // what leads back out must not make the node tell a shorter way: it would count as one of its refusals
    for (const device of ['all', 'up0']) this.run('sysctl', '-qw', `net.ipv4.conf.${device}.send_redirects=0`);
    ip('-n', netns, 'route', 'add', 'default', 'via', 'fd78::1');
    return netns;
  }

  /** IPv6 on the node (`fd77::1` to pods, `fd78::1` outwards) and, as `fd77::<host>`, in pods. */
  addIpv6(hosts: Readonly<Record<string, string>>): void {
    this.run('sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1');
    ip('-n', this.name, 'addr', 'add', 'fd77::1/64', 'dev', 'br0', 'nodad');
    ip('-n', this.name, 'addr', 'add', 'fd78::1/64', 'dev', 'up0', 'nodad');
    ip('-n', this.name, 'route', 'add', 'default', 'via', 'fd78::fe');
    for (const [podName, host] of Object.entries(hosts)) {
      ip('-n', this.netns(podName), 'addr', 'add', `fd77::${host}/64`, 'dev', 'eth0', 'nodad');
      ip('-n', this.netns(podName), 'route', 'add', 'default', 'via', 'fd77::1');
    }
  }

  /** More addresses of a pod. */
  addAddresses(podName: string, addresses: readonly string[]): void {
    for (const address of addresses) ip('-n', this.netns(podName), 'addr', 'add', `${address}/32`, 'dev', 'eth0');
  }

  netns(podName: string): string {
    return `${this.name}-${podName}`;
  }

  /** A web server in a pod: `/who` answers the pod's name, `/cgi-bin/from` the client's address. */
  serve(podName: string, port: number): void {
    const root = join(this.#directory, podName);
    mkdirSync(join(root, 'cgi-bin'), { recursive: true });
    writeFileSync(join(root, 'who'), podName);
    writeFileSync(
      join(root, 'cgi-bin', 'from'),
      '#!/bin/sh\necho; echo "$REMOTE_ADDR" | tr -d "[]\\n" | sed s/::ffff://\n',
      { mode: 0o755 },
    );
    this.start([
      'ip',
      'netns',
      'exec',
      `${this.name}-${podName}`,
      'busybox',
      'httpd',
      '-f',
      '-p',
      String(port),
      '-h',
      root,
    ]);
  }

  /** Runs a command on the node to its end and returns what it printed. */
  run(...command: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.name, ...command], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** The body at `url`, asked for from the node, or from a pod. @throws when nothing answers within 2 s */
  fetch(url: string, podName?: string): string {
    const netns = podName === undefined ? this.name : `${this.name}-${podName}`;
    const command = ['netns', 'exec', netns, 'busybox', 'wget', '-Y', 'off', '-q', '-O', '-', url];
    // busybox's own time limit (`-T`) makes its static build crash
    return execFileSync('ip', command, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 2000 });
  }

  /** As `fetch`, but returns the failure's text: `Connection refused`, or a time-out's. */
  refusal(url: string, podName?: string): string {
    try {
      return `answered: ${this.fetch(url, podName)}`;
    } catch (err) {
      return err instanceof Error && 'stderr' in err ? String(err.stderr) : String(err);
    }
  }

  /** Starts a process that ends with the node. Returns its input, its lines of output, and its stop. */
  start(
    command: readonly string[],
    onLine: (line: string) => void = () => {},
  ): {
    write: (line: string) => void;
    output: string[];
    stop: (signal?: 'SIGTERM' | 'SIGKILL') => Promise<void>;
    ended: Promise<void>;
  } {
    const [file = '', ...args] = command;
    const child = spawn(file, args, { stdio: 'pipe' });
    const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
    const output: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          if (line === '') continue;
          output.push(line);
          onLine(line);
        }
      });
    }
    child.stdin.on('error', () => {}); // it ended: the test sees that
    this.#stops.push(() => child.kill('SIGKILL'));
    return {
      write: (line) => child.stdin.write(`${line}\n`),
      output,
      ended,
      stop: async (signal = 'SIGTERM') => {
        child.kill(signal);
        await ended;
      },
    };
  }

  remove(): void {
    for (const stop of this.#stops) stop();
    for (const netns of [...this.#pods, this.name]) ip('netns', 'del', netns);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
