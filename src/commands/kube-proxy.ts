/** `gantry kube-proxy`: flags and file → typed config → proxy → run until a signal. */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, hostname } from 'node:os';
import { parse as parseYaml, stringify as stringifyYaml } from 'yaml';
import { Conntrack } from '../adapters/conntrack/conntrack.ts';
import { Sysctl } from '../adapters/sysctl/sysctl.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { type Logger, createLogger, verbositySetter } from '../base/logger.ts';
import { aborted, runTogether } from '../base/run-together.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { gantryVersion } from '../base/version.ts';
import type { ApiClient } from '../client/api-client.ts';
import { HttpApiClient } from '../client/http-api-client.ts';
import { inClusterAccess } from '../client/in-cluster.ts';
import { type ServerAccess, loadKubeconfig } from '../client/kubeconfig.ts';
import { OwnNode } from '../proxy/collect/own-node.ts';
import { applyConntrackSettings } from '../proxy/kernel-settings.ts';
import { ProxyMetrics } from '../proxy/metrics.ts';
import { parseProxyConfig } from '../proxy/parse-proxy-config.ts';
import type { ProxyConfig } from '../proxy/proxy-config.ts';
import { Proxy } from '../proxy/proxy.ts';
import { backends, servedModes } from './proxy-backends/backends.ts';
import {
  cleanUpAll,
  cleanUpOthers,
  findLeftovers,
  noteFirstSyncs,
  planCleanUp,
} from './proxy-backends/switch-modes.ts';
import { endWhenChanged } from './end-when-changed.ts';
import { interfaceIps } from './proxy-backends/proxy-backend.ts';
import { type ProxyFlags, configOfFlags, readProxyFlags } from './proxy-flags.ts';
import { staySmall } from './stay-small.ts';

const fileUpdated = "content of the proxy server's configuration file was updated";

export async function run(args: readonly string[]): Promise<void> {
  const flags = readProxyFlags(args);
  const { configPath, writeConfigTo, isCleanup, isInitOnly, master, overrides } = flags;
  if (flags.isVersion) {
    process.stdout.write(`Kubernetes ${gantryVersion}\n`);
    return;
  }
  const signal = stopSignal();
  const config = configPath === undefined ? configOfFlags(flags) : await loadProxyConfig(configPath, overrides);
  const log = createLogger({ name: 'kube-proxy', verbosity: config.verbosity });
  if (writeConfigTo !== undefined) {
    await writeFile(writeConfigTo, stringifyYaml(config.document, { sortMapEntries: true }));
    log.info({ file: writeConfigTo }, 'Wrote configuration');
    return;
  }
  if (isCleanup) return cleanUpAll(backends, log, signal);
  const client = new HttpApiClient({
    access: await proxyAccess(config.kubeconfig, master, log),
    clock: systemClock,
    userAgentName: 'kube-proxy',
    qps: config.clientQps,
    burst: config.clientBurst,
  });
  if (isInitOnly) {
    await buildProxy(config, client, systemClock, log, signal);
    log.info({}, 'what needs privileges is done');
    return;
  }
  await setOomScoreAdj(config.oomScoreAdj, log);
  await runTogether(signal, [
    (inner) => runProxy(config, client, systemClock, log, inner, flags.all),
    (inner) => staySmall({ clock: systemClock, log }, inner),
    ...(configPath === undefined ? [] : [(inner: AbortSignal) => endWhenChanged(configPath, fileUpdated, inner)]),
  ]);
}

/** Reads a `KubeProxyConfiguration` file. Overrides are what a flag may change although a file is given. */
export async function loadProxyConfig(path: string, overrides: ProxyFlags['overrides'] = {}): Promise<ProxyConfig> {
  let text: string;
  let document: unknown;
  let isStrict = true;
  try {
    text = await readFile(path, 'utf8');
    try {
      document = parseYaml(text);
    } catch {
      // a field that is there twice: the last one counts
      document = parseYaml(text, { uniqueKeys: false });
      isStrict = false;
    }
  } catch (err) {
    throw new Error(`Cannot read the kube-proxy configuration "${path}"`, { cause: err });
  }
  const config = parseProxyConfig(document, { source: `"${path}"`, isZeroMeant: false, servedModes, ...overrides });
  return isStrict
    ? config
    : { ...config, warnings: [...config.warnings, 'a field is there twice, the last one counts'] };
}

/** Who the API server is and who we are: a file, a URL, both, or what a pod is given. */
async function proxyAccess(kubeconfig: string, master: string, log: Logger): Promise<ServerAccess> {
  if (kubeconfig === '' && master === '') {
    log.info({}, 'Neither kubeconfig file nor master URL was specified, falling back to in-cluster config');
    return inClusterAccess(process.env);
  }
  if (kubeconfig === '') {
    const none = { ca: undefined, clientCertificate: undefined, token: undefined, tlsServerName: undefined };
    return { server: master, ...none, insecureSkipTlsVerify: false, namespace: 'default' };
  }
  const access = await loadKubeconfig(kubeconfig);
  return master === '' ? access : { ...access, server: master };
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
  /** Every flag with its value, for `/flagz`. */
  flags: Readonly<Record<string, string>> = {},
): Promise<void> {
  for (const warning of config.warnings) log.warn({ warning }, 'a part of the configuration has no effect');
  const { before, after } = planCleanUp(config.mode, await findLeftovers(config.mode, signal));
  await cleanUpOthers(before, backends, log, signal);
  const { proxy, haveSynced } = await buildProxy(config, client, clock, log, signal, flags);
  await runTogether(signal, [
    (inner) => proxy.run(inner),
    async (inner) => {
      await Promise.race([haveSynced, aborted(inner)]);
      if (!inner.aborted) await cleanUpOthers(after, backends, log, inner);
      await aborted(inner);
    },
  ]);
}

/** Prepares the kernel and puts a proxy together for the IP families that this node serves. */
async function buildProxy(
  config: ProxyConfig,
  client: Pick<ApiClient, 'list' | 'watch' | 'create'>,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
  flags: Readonly<Record<string, string>> = {},
): Promise<{ proxy: Proxy; haveSynced: Promise<void> }> {
  const setVerbosity = verbositySetter(log);
  const backend = backends[config.mode];
  if (backend === undefined) throw new Error(`Cannot serve mode "${config.mode}": there is no back end for it`);
  const nodeName = proxyNodeName(config);
  const settings = new Sysctl();
  const node = new OwnNode(
    { name: nodeName, bindAddress: config.bindAddress },
    { client, clock, log: log.child({ room: 'node' }) },
  );
  await applyConntrackSettings(config.conntrack, cpus().length, settings, log);
  const metrics = new ProxyMetrics(config.mode);
  const built = await backend.build({ config, node, settings, metrics, clock, log }, signal).catch((err) => {
    throw new Error(`Cannot start kube-proxy in mode "${config.mode}"`, { cause: err });
  });
  const { installers, haveSynced } = noteFirstSyncs(built);
  log.info({ mode: config.mode, node: nodeName, families: [...installers.keys()] }, 'kube-proxy starts');
  const proxy = new Proxy(config, nodeName, {
    client,
    node,
    installers,
    flows: new Conntrack(),
    metrics,
    flags,
    setVerbosity,
    interfaceIps,
    clock,
    log,
  });
  return { proxy, haveSynced };
}

async function setOomScoreAdj(score: number, log: Logger): Promise<void> {
  try {
    await writeFile('/proc/self/oom_score_adj', String(score), { flag: 'r+' });
  } catch (err) {
    log.warn({ score, reason: describeError(err) }, 'cannot set oom_score_adj, it stays as it is');
  }
}
