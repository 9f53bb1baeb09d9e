/** Clients of a lab's Services: in pods, on nodes, and in a network namespace that is plugged to the lab's bridge. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { enter } from '../../../src/adapters/namespaces/namespaces.ts';
import { bridgeHolder, bridgeName } from '../../../src/lab/actions/create-network.ts';
import { clusterPaths, readProcesses } from '../../../src/lab/cluster-state.ts';
import type { ClusterPlan } from '../../../src/lab/plan-cluster.ts';
import type { TestLab } from './lab.ts';
import { getPod } from './pods.ts';

export interface Try {
  protocol: 'TCP' | 'UDP';
  ip: string;
  port: number;
  /** Of the client's addresses. */
  from?: string;
}

const program = new URL('../service-client-process.ts', import.meta.url).pathname;
/** What is dropped is waited for as long, by each row that expects it. */
const timeoutMs = 700;

export class ServiceClient {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answers: string[]) => void>();
  #said = '';
  #lastId = 0;

  constructor(command: readonly string[], ...args: string[]) {
    const [file = '', ...rest] = [...command, process.execPath, program, ...args];
    this.#child = spawn(file, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#said += text));
    this.#child.stdin?.on('error', () => {}); // its end is told to whoever waits for it
    this.#child.once('close', () => {
      for (const tell of this.#waiting.values()) tell([`the client has ended: ${this.#said}`]);
    });
    if (this.#child.stdout === null) return;
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { id, answers } = JSON.parse(line) as { id: number; answers: string[] }; // our own program's
      this.#waiting.get(id)?.(answers);
      this.#waiting.delete(id);
    });
  }

  /** All at once: a line of the server for each, or `refused`, or `nothing`. */
  ask(tries: readonly Try[]): Promise<string[]> {
    return this.#send({ tries, timeoutMs });
  }

  /** Connections until `endLoad`, and at least `count`: how many, what was lost, and who has answered how often. */
  load(ip: string, port: number, perSecond: number, count: number): Promise<string[]> {
    return this.#send({ load: { ip, port, perSecond, count } });
  }

  async endLoad(): Promise<void> {
    await this.#send({ end: true });
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  #send(request: object): Promise<string[]> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }
}

export class ServiceClients {
  readonly #lab: TestLab;
  readonly #clients: ServiceClient[] = [];
  readonly #netns = `gantry-out-${process.pid}`;
  #hasNetns = false;

  constructor(lab: TestLab) {
    this.#lab = lab;
  }

  get plan(): ClusterPlan {
    return JSON.parse(readFileSync(join(this.#lab.directory, 'cluster.json'), 'utf8')) as ClusterPlan;
  }

  async onNode(index: number): Promise<ServiceClient> {
    return this.#start(enter(await this.#initOf(this.#lab.nodeName(index))));
  }

  /** In the pod's network. */
  async inPod(name: string, index: number): Promise<ServiceClient> {
    const { status } = await getPod(this.#lab, name);
    const id = status?.containerStatuses?.[0]?.containerID?.replace('containerd://', '') ?? 'none';
    const tasks = await this.#lab.onNode(index, 'ctr', '--namespace', 'k8s.io', 'task', 'list');
    const pid = new RegExp(`^${id}\\s+(\\d+)`, 'm').exec(tasks)?.[1];
    if (pid === undefined) throw new Error(`no process of pod ${name}: ${tasks}`);
    const init = await this.#initOf(this.#lab.nodeName(index));
    return this.#start([...enter(init), 'nsenter', '--target', pid, '--net', '--']);
  }

  /** With addresses of the nodes' network, and routes; it answers on `port`, too. */
  async outside(
    addresses: readonly string[],
    routes: Readonly<Record<string, string>>,
    port: number,
  ): Promise<ServiceClient> {
    const holder = await this.#initOf(bridgeHolder);
    const own = `g${process.pid}`;
    execFileSync('ip', ['netns', 'add', this.#netns]);
    this.#hasNetns = true;
    ip('link', 'add', own, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.#netns);
    ip('link', 'set', own, 'netns', String(holder));
    execFileSync('nsenter', ['-t', String(holder), '-n', 'ip', 'link', 'set', own, 'master', bridgeName, 'up']);
    for (const address of addresses) ip('-n', this.#netns, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    for (const link of ['lo', 'eth0']) ip('-n', this.#netns, 'link', 'set', link, 'up');
    for (const [to, via] of Object.entries(routes)) {
      ip('-n', this.#netns, 'route', 'add', to, 'via', via, 'src', addresses[0] ?? '');
    }
    return this.#start(['ip', 'netns', 'exec', this.#netns], String(port));
  }

  close(): void {
    for (const client of this.#clients) client.close();
    if (this.#hasNetns) ip('netns', 'del', this.#netns);
  }

  #start(command: readonly string[], ...args: string[]): ServiceClient {
    const client = new ServiceClient(command, ...args);
    this.#clients.push(client);
    return client;
  }

  async #initOf(name: string): Promise<number> {
    const records = await readProcesses(clusterPaths(this.#lab.directory));
    const pid = records.find(({ node, component }) => node === name && component === 'init')?.id.pid;
    if (pid === undefined) throw new Error(`no init of "${name}"`);
    return pid;
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
}
