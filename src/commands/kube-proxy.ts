/** `gantry kube-proxy`: flags and file → typed config → proxy → run until a signal. */
import { readFile, watch, writeFile } from 'node:fs/promises';
import { availableParallelism, hostname } from 'node:os';
import { basename, dirname } from 'node:path';
import { Command } from 'commander';
import { parse as parseYaml } from 'yaml';
import { Conntrack } from '../adapters/conntrack/conntrack.ts';
import { Sysctl } from '../adapters/sysctl/sysctl.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { type Logger, createLogger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import { stopSignal } from '../base/stop-signal.ts';
import type { ApiClient } from '../client/api-client.ts';
import { HttpApiClient } from '../client/http-api-client.ts';
import { loadKubeconfig } from '../client/kubeconfig.ts';
import { OwnNode } from '../proxy/collect/own-node.ts';
import { applyConntrackSettings } from '../proxy/kernel-settings.ts';
import { ProxyMetrics } from '../proxy/metrics.ts';
import { parseProxyConfig } from '../proxy/parse-proxy-config.ts';
import type { ProxyConfig } from '../proxy/proxy-config.ts';
import { Proxy } from '../proxy/proxy.ts';
import { backends, servedModes } from './proxy-backends/backends.ts';
import { staySmall } from './stay-small.ts';

export async function run(args: readonly string[]): Promise<void> {
  const { flags, configPath, isCleanup } = readFlags(args);
  const signal = stopSignal();
  const config = configPath === undefined ? parseFlags(flags) : await loadProxyConfig(configPath, overridesOf(flags));
  const log = createLogger({ name: 'kube-proxy', verbosity: config.verbosity });
  if (isCleanup) return cleanUp(log, signal);
  if (config.kubeconfig === '') {
    throw new Error('Cannot find the API server: in-cluster credentials are not served yet; pass --kubeconfig FILE');
  }
  await setOomScoreAdj(config.oomScoreAdj, log);
  const client = new HttpApiClient({
    access: await loadKubeconfig(config.kubeconfig),
    clock: systemClock,
    userAgentName: 'kube-proxy',
    qps: config.clientQps,
    burst: config.clientBurst,
  });
  await runTogether(signal, [
    (inner) => runProxy(config, client, systemClock, log, inner),
    (inner) => staySmall({ clock: systemClock, log }, inner),
    ...(configPath === undefined ? [] : [(inner: AbortSignal) => endWhenChanged(configPath, inner)]),
  ]);
}

/** Reads a `KubeProxyConfiguration` file. Overrides are what a flag may change although a file is given. */
export async function loadProxyConfig(
  path: string,
  overrides: { hostnameOverride?: string | undefined; verbosity?: number | undefined } = {},
): Promise<ProxyConfig> {
  let document: unknown;
  try {
    document = parseYaml(await readFile(path, 'utf8'));
  } catch (err) {
    throw new Error(`Cannot read the kube-proxy configuration "${path}"`, { cause: err });
  }
  return parseProxyConfig(document, { source: `"${path}"`, isZeroMeant: false, servedModes, ...overrides });
}

/** The node's name as the API knows it. */
export function proxyNodeName({ hostnameOverride }: Pick<ProxyConfig, 'hostnameOverride'>): string {
  return (hostnameOverride === '' ? hostname() : hostnameOverride).trim().toLowerCase();
}

/** Serves Services until `signal` aborts; the rules stay. */
export async function runProxy(
  config: ProxyConfig,
  client: Pick<ApiClient, 'list' | 'watch' | 'create'>,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const proxy = await buildProxy(config, client, clock, log, signal);
  await proxy.run(signal);
}

/** Prepares the kernel and puts a proxy together for the IP families that this node serves. */
export async function buildProxy(
  config: ProxyConfig,
  client: Pick<ApiClient, 'list' | 'watch' | 'create'>,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<Proxy> {
  const backend = backends[config.mode];
  if (backend === undefined) throw new Error(`Cannot serve mode "${config.mode}": there is no back end for it`);
  const nodeName = proxyNodeName(config);
  const settings = new Sysctl();
  const node = new OwnNode(
    { name: nodeName, bindAddress: config.bindAddress },
    { client, clock, log: log.child({ room: 'node' }) },
  );
  await applyConntrackSettings(config.conntrack, availableParallelism(), settings, log);
  const metrics = new ProxyMetrics(config.mode);
  const installers = await backend.build({ config, node, settings, metrics, clock, log }, signal);
  log.info({ mode: config.mode, node: nodeName, families: [...installers.keys()] }, 'kube-proxy starts');
  return new Proxy(config, nodeName, { client, node, installers, flows: new Conntrack(), metrics, clock, log });
}

/** Removes everything that kube-proxy has put into the kernel, in whichever mode. */
export async function cleanUp(log: Logger, signal: AbortSignal): Promise<void> {
  const failures: string[] = [];
  for (const [mode, backend] of Object.entries(backends)) {
    try {
      await backend.cleanUp(log, signal);
    } catch (err) {
      failures.push(`${mode}: ${describeError(err)}`);
    }
  }
  if (failures.length > 0) {
    throw new Error(`encountered an error while tearing down rules: ${failures.join('; ')}`);
  }
}

async function setOomScoreAdj(score: number, log: Logger): Promise<void> {
  try {
    await writeFile('/proc/self/oom_score_adj', String(score), { flag: 'r+' });
  } catch (err) {
    log.warn({ score, reason: describeError(err) }, 'cannot set oom_score_adj, it stays as it is');
  }
}

/** A changed configuration takes effect by a restart, which the service manager does. */
async function endWhenChanged(path: string, signal: AbortSignal): Promise<void> {
  try {
    for await (const { filename } of watch(dirname(path), { signal })) {
      if (filename === basename(path)) throw new Error("content of the proxy server's configuration file was updated");
    }
  } catch (err) {
    if (!signal.aborted) throw err;
  }
}

interface Flags {
  [name: string]: string | boolean | string[] | undefined;
}

function readFlags(args: readonly string[]): { flags: Flags; configPath: string | undefined; isCleanup: boolean } {
  const program = new Command('kube-proxy')
    .description('Programs Services into the kernel of this node.')
    .option(
      '--config <file>',
      'KubeProxyConfiguration; other flags but --hostname-override and -v are not looked at then',
    )
    .option('--kubeconfig <file>', 'credentials for the API server')
    .option('--hostname-override <name>', "the node's name, where it is not the machine's")
    .option('--proxy-mode <mode>', `${servedModes.join(', ')} (iptables)`)
    .option('--ipvs-scheduler <name>', 'how mode ipvs chooses endpoints (rr)')
    .option('--ipvs-exclude-cidrs <list>', "virtual servers that are somebody else's")
    .option('--ipvs-strict-arp', 'arp_ignore=1 and arp_announce=2')
    .option('--ipvs-sync-period <duration>', 'time between two syncs in mode ipvs (30s)')
    .option('--ipvs-min-sync-period <duration>', 'least time between two syncs in mode ipvs (0s)')
    .option('--ipvs-tcp-timeout <duration>', '0: leave it')
    .option('--ipvs-tcpfin-timeout <duration>', '0: leave it')
    .option('--ipvs-udp-timeout <duration>', '0: leave it')
    .option('--cluster-cidr <cidrs>', "the pods' addresses; traffic from elsewhere to a cluster IP is masqueraded")
    .option('--detect-local-mode <mode>', 'ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix')
    .option('--pod-bridge-interface <name>', 'for --detect-local-mode=BridgeInterface')
    .option('--pod-interface-name-prefix <prefix>', 'for --detect-local-mode=InterfaceNamePrefix')
    .option('--nodeport-addresses <list>', 'CIDRs, or "primary"; empty: all addresses')
    .option('--masquerade-all', 'masquerade all traffic to cluster IPs')
    .option('--iptables-masquerade-bit <n>', 'bit of the mark for packets to be masqueraded (14)')
    .option('--iptables-localhost-nodeports [bool]', 'NodePorts answer on 127.0.0.1, too (true)')
    .option('--iptables-sync-period <duration>', 'time until a failed sync is tried again (30s)')
    .option('--iptables-min-sync-period <duration>', 'least time between two syncs (1s)')
    .option('--conntrack-max-per-core <n>', 'connection table entries per CPU; 0: leave it')
    .option('--conntrack-min <n>', 'connection table entries at least')
    .option('--conntrack-tcp-timeout-established <duration>', '0: leave it (24h)')
    .option('--conntrack-tcp-timeout-close-wait <duration>', '0: leave it (1h)')
    .option('--conntrack-tcp-be-liberal', 'take packets out of window as valid')
    .option('--conntrack-udp-timeout <duration>', '0: leave it')
    .option('--conntrack-udp-timeout-stream <duration>', '0: leave it')
    .option('--healthz-bind-address <ip:port>', 'health server; empty: none (0.0.0.0:10256)')
    .option('--metrics-bind-address <ip:port>', 'metrics server (127.0.0.1:10249)')
    .option('--bind-address <ip>', "this node's address, where it is not the Node object's")
    .option('--bind-address-hard-fail', 'end when a port cannot be bound')
    .option('--oom-score-adj <n>', 'oom_score_adj of this process (-999)')
    .option('--kube-api-qps <n>', 'requests per second to the API server (5)')
    .option('--kube-api-burst <n>', 'requests at once to the API server (10)')
    .option('--cleanup', 'remove all rules of kube-proxy and exit')
    .option('-v, --v <level>', 'log verbosity')
    .allowExcessArguments(false);
  program.parse([...args], { from: 'user' });
  const flags: Flags = program.opts();
  const configPath = flags['config'];
  return {
    flags,
    configPath: typeof configPath === 'string' ? configPath : undefined,
    isCleanup: flags['cleanup'] === true,
  };
}

function overridesOf(flags: Flags): { hostnameOverride?: string | undefined; verbosity?: number | undefined } {
  const { hostnameOverride, v } = flags;
  return {
    hostnameOverride: typeof hostnameOverride === 'string' ? hostnameOverride : undefined,
    verbosity: typeof v === 'string' ? Number(v) : undefined,
  };
}

/** Flags as the fields that they mirror, so that one parser checks both. */
function parseFlags(flags: Flags): ProxyConfig {
  const number = (name: string): unknown => (flags[name] === undefined ? undefined : Number(flags[name]));
  const boolean = (name: string): unknown =>
    flags[name] === undefined ? undefined : flags[name] === true || flags[name] === 'true';
  const list = (name: string): string[] | undefined => {
    const text = flags[name];
    return typeof text === 'string' ? text.split(',').filter((part) => part !== '') : undefined;
  };
  const document = {
    mode: flags['proxyMode'],
    hostnameOverride: flags['hostnameOverride'],
    bindAddress: flags['bindAddress'],
    bindAddressHardFail: boolean('bindAddressHardFail'),
    healthzBindAddress: flags['healthzBindAddress'],
    metricsBindAddress: flags['metricsBindAddress'],
    clusterCIDR: flags['clusterCidr'],
    detectLocalMode: flags['detectLocalMode'],
    detectLocal: { bridgeInterface: flags['podBridgeInterface'], interfaceNamePrefix: flags['podInterfaceNamePrefix'] },
    nodePortAddresses: list('nodeportAddresses'),
    oomScoreAdj: number('oomScoreAdj'),
    clientConnection: { kubeconfig: flags['kubeconfig'], qps: number('kubeApiQps'), burst: number('kubeApiBurst') },
    iptables: {
      masqueradeBit: number('iptablesMasqueradeBit'),
      masqueradeAll: boolean('masqueradeAll'),
      localhostNodePorts: boolean('iptablesLocalhostNodeports'),
      syncPeriod: flags['iptablesSyncPeriod'],
      minSyncPeriod: flags['iptablesMinSyncPeriod'],
    },
    nftables: {
      masqueradeAll: boolean('masqueradeAll'),
      syncPeriod: flags['iptablesSyncPeriod'],
      minSyncPeriod: flags['iptablesMinSyncPeriod'],
    },
    ipvs: {
      syncPeriod: flags['ipvsSyncPeriod'],
      minSyncPeriod: flags['ipvsMinSyncPeriod'],
      scheduler: flags['ipvsScheduler'],
      excludeCIDRs: list('ipvsExcludeCidrs'),
      strictARP: boolean('ipvsStrictArp'),
      tcpTimeout: flags['ipvsTcpTimeout'],
      tcpFinTimeout: flags['ipvsTcpfinTimeout'],
      udpTimeout: flags['ipvsUdpTimeout'],
    },
    conntrack: {
      maxPerCore: number('conntrackMaxPerCore'),
      min: number('conntrackMin'),
      tcpEstablishedTimeout: flags['conntrackTcpTimeoutEstablished'],
      tcpCloseWaitTimeout: flags['conntrackTcpTimeoutCloseWait'],
      tcpBeLiberal: boolean('conntrackTcpBeLiberal'),
      udpTimeout: flags['conntrackUdpTimeout'],
      udpStreamTimeout: flags['conntrackUdpTimeoutStream'],
    },
  };
  return parseProxyConfig(document, { source: 'flags', isZeroMeant: true, servedModes, ...overridesOf(flags) });
}
