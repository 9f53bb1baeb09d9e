/** A node with etcd, our API server and addresses for endpoints, and our kube-proxy as a process in it. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { isRunning, signalProcess } from '../../src/adapters/process-table/process-table.ts';
import { systemClock } from '../../src/base/clock.ts';
import { type Pki, users } from '../../src/bootstrap/pki.ts';
import { HopelessError, awaitUntil } from '../await-until.ts';
import { type NodeProcess, PrivateNode } from '../e2e/support/private-node.ts';
import { etcdUrl, lastLines, startControlPlane, writeUser } from './control-plane-on-a-node.ts';
import type { BenchMode, LoopDelay } from './proxy-figures.ts';
import { benchNode, endpointNetwork, nodeIp } from './proxy-services.ts';
import type { SeedOptions } from './seed-services.ts';

const seedTimeoutMs = 300_000;
const rulesTimeoutMs = 300_000;

export interface RunningProxy {
  process: NodeProcess;
  /** From its start to the first whole set of rules, and the part of it that was the sync. */
  startMs: number;
  syncMs: number;
}

interface LogLine {
  msg?: string;
  family?: string;
  isFull?: boolean;
  services?: number;
  durationMs?: number;
  time?: number;
}

/** Where the default route leads, so that packets to a cluster IP get as far as the rules. */
const wayOut = [
  ['link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1'],
  ['link', 'set', 'up1', 'up'],
  ['link', 'set', 'up0', 'up'],
  ['addr', 'add', `${nodeIp}/24`, 'dev', 'up0'],
  ['route', 'add', 'default', 'via', '10.79.0.254'],
];

export class ProxyNode {
  readonly node: PrivateNode;
  readonly adminKubeconfig: string;
  readonly #pki: Pki;
  readonly #program: readonly string[];
  readonly #loopPath: string;
  #services = 0;

  private constructor(node: PrivateNode, pki: Pki, program: readonly string[]) {
    this.node = node;
    this.#pki = pki;
    this.#program = program;
    this.adminKubeconfig = join(node.directory, 'admin.conf');
    this.#loopPath = join(node.directory, 'event-loop.json');
  }

  /** @param program how our own program is started */
  static async open(program: readonly string[]): Promise<ProxyNode> {
    const node = await PrivateNode.open();
    try {
      for (const args of wayOut) await node.run(['ip', ...args]);
      await node.run(['ip', 'route', 'add', 'local', endpointNetwork, 'dev', 'lo']);
      await node.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
      const pki = await startControlPlane(node, program);
      const opened = new ProxyNode(node, pki, program);
      await writeUser(opened.adminKubeconfig, pki, users.admin);
      await writeUser(opened.#path('kube-proxy.conf'), pki, users.kubeProxy);
      return opened;
    } catch (err) {
      await node.close();
      throw err;
    }
  }

  /** Services in all afterwards, beside the measured one. */
  async growTo(services: number): Promise<void> {
    const { files } = this.#pki;
    const options: SeedOptions = {
      etcdUrl,
      caFile: files.etcdCaCert,
      certFile: files.apiserverEtcdClientCert,
      keyFile: files.apiserverEtcdClientKey,
      from: this.#services,
      to: services,
    };
    await this.runScript('seed-services.ts', options, seedTimeoutMs);
    this.#services = services;
  }

  /** Runs a script of this folder inside, with its options as JSON. Returns what it printed. */
  async runScript(name: string, options: object, timeoutMs: number): Promise<string> {
    const command = [process.execPath, join(import.meta.dirname, name), JSON.stringify(options)];
    return (await this.node.run(command, undefined, timeoutMs)).stdout;
  }

  /** Starts kube-proxy and waits for all rules. @param recorders a folder with tools that are to be used instead */
  async startProxy(mode: BenchMode, recorders?: string): Promise<RunningProxy> {
    const configPath = this.#path('kube-proxy.yaml');
    await writeFile(configPath, stringify(proxyConfig(mode, this.#path('kube-proxy.conf'))));
    await rm(this.#loopPath, { force: true });
    await rm(this.#path('kube-proxy.log'), { force: true });
    const startedMs = systemClock.nowMs();
    const running = await this.node.spawn('kube-proxy', [...this.#program, 'kube-proxy', `--config=${configPath}`], {
      NODE_OPTIONS: [
        `--import=${join(import.meta.dirname, 'watch-event-loop.mjs')}`,
        process.env['GANTRY_BENCH_NODE_OPTIONS'] ?? '',
      ].join(' '),
      GANTRY_BENCH_LOOP: this.#loopPath,
      PATH: `${recorders === undefined ? '' : `${recorders}:`}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    });
    const first = await awaitUntil(
      `kube-proxy's rules of ${this.#services} Services`,
      async () => {
        if (!(await isRunning(running.id))) {
          throw new HopelessError(`kube-proxy has ended: ${await lastLines(running.logPath)}`);
        }
        return firstRules(await readFile(running.logPath, 'utf8'), this.#services);
      },
      { timeoutMs: rulesTimeoutMs, periodMs: 100 },
    );
    return { process: running, startMs: (first.time ?? 0) - startedMs, syncMs: first.durationMs ?? 0 };
  }

  /** How long the event loop was held up so far. It is not looked at any more. */
  async loopDelay({ process: { id } }: RunningProxy): Promise<LoopDelay> {
    await signalProcess(id, 'SIGUSR2');
    const text = await awaitUntil('the figures of the event loop', () => readFile(this.#loopPath, 'utf8'));
    return JSON.parse(text) as LoopDelay; // written by our own program
  }

  /** Ends the proxy and removes its rules. */
  async stopProxy({ process: running }: RunningProxy): Promise<void> {
    await this.node.stop(running);
    await this.node.run([...this.#program, 'kube-proxy', '--cleanup'], undefined, rulesTimeoutMs);
  }

  /** What the proxy has said of late. */
  async logEnd(): Promise<string> {
    return lastLines(this.#path('kube-proxy.log'));
  }

  close(): Promise<void> {
    return this.node.close();
  }

  #path(name: string): string {
    return join(this.node.directory, name);
  }
}

/** The line of the log that tells of the first rules: of our Services, the measured one and that of the API itself. */
function firstRules(log: string, services: number): LogLine | undefined {
  for (const line of log.split('\n')) {
    if (!line.includes('rules are in place')) continue;
    const seen = JSON.parse(line) as LogLine; // the log's own form
    if (seen.isFull && seen.family === 'IPv4' && (seen.services ?? 0) > services) return seen;
  }
  return undefined;
}

/** Everything at its default but what a benchmark may not change on the machine. */
function proxyConfig(mode: BenchMode, kubeconfig: string): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode,
    clientConnection: { kubeconfig },
    clusterCIDR: '10.244.0.0/16',
    conntrack: { maxPerCore: 0, min: 0 },
    hostnameOverride: benchNode,
  };
}
