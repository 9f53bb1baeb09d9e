/**
 * `gantry why service NAMESPACE/NAME [--from POD]`, on a node: what the API wants, what the kernel has, what the
 * connection table remembers, what policies say, and a connection that is really made.
 */
import { type IncomingMessage, request } from 'node:http';
import { hostname, networkInterfaces } from 'node:os';
import { Command, Option } from 'commander';
import { findAttachment } from '../adapters/cni/attachments.ts';
import { type ConnectOutcome, connectOnce } from '../adapters/connections/connect-once.ts';
import { type FlowTo, flowsTo } from '../adapters/conntrack/flows-to.ts';
import { Iptables } from '../adapters/iptables/iptables.ts';
import { CommandError, runCommand } from '../adapters/processes/processes.ts';
import { systemClock } from '../base/clock.ts';
import { withDeadline } from '../base/deadline.ts';
import { NotFoundError, describeError } from '../base/errors.ts';
import { stopSignal } from '../base/stop-signal.ts';
import type { ApiClient } from '../client/api-client.ts';
import { HttpApiClient } from '../client/http-api-client.ts';
import { loadKubeconfig } from '../client/kubeconfig.ts';
import { endpointSlices, namespaces, networkPolicies, nodes, pods, services } from '../client/resource-types.ts';
import { explainService } from '../explain/explain-service.ts';
import { formatService } from '../explain/format-service.ts';
import { onlyPort, readEndpoints, readPod, readService } from '../explain/read-objects.ts';
import type { EndpointFact, FlowFact, PolicyFact, ProxyFact, ServiceFacts, TryFact } from '../explain/service-facts.ts';
import { findSimilar } from '../kubelet/support/timeline/find-similar.ts';
import { explainConnection } from '../network-policy/explain-connection.ts';
import type { Node, Pod, Service } from '../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../objects/generated/discovery-v1.ts';
import { type FrontendState, type ReadInstalled, frontendStates } from '../proxy/explain/installed-frontends.ts';
import { InstalledIptables } from '../proxy/explain/installed-iptables.ts';
import { installedIpvs } from '../proxy/explain/installed-ipvs.ts';
import { elementValue, installedNftables } from '../proxy/explain/installed-nftables.ts';
import { type IpFamily, type NodeFacts, type Protocol, endpointAddress } from '../proxy/proxy-model.ts';

interface Options {
  output: 'text' | 'json';
  from?: string;
  port?: string;
  kubeconfig: string;
  hostnameOverride: string;
  proxyMetrics: string;
  proxyHealth: string;
  cniCache: string;
}

const connectMaxMs = 2000;
const askMaxMs = 2000;
const toolMaxMs = 30_000;
/** Connections straight to endpoints: a sample tells enough. */
const directMax = 5;
const flowsMax = 100;

export async function run(args: readonly string[]): Promise<void> {
  const program = new Command('gantry why service')
    .description('Tells why a Service can or cannot be reached from this node, and tries it.')
    .argument('<name>', 'NAMESPACE/NAME; without a namespace: default')
    .option('--from <pod>', 'as this pod of the node sees it: NAMESPACE/NAME, or a name of the same namespace')
    .option('--port <port>', 'only this port of the Service: its number or name')
    .addOption(new Option('-o, --output <format>', 'how it is printed').choices(['text', 'json']).default('text'))
    .option('--kubeconfig <file>', 'credentials for the API server', '/etc/kubernetes/kube-proxy.conf')
    .option('--hostname-override <name>', "the node's name, where it is not the machine's", hostname().toLowerCase())
    .option('--proxy-metrics <ip:port>', "kube-proxy's metrics server", '127.0.0.1:10249')
    .option('--proxy-health <ip:port>', "kube-proxy's health server", '127.0.0.1:10256')
    .option('--cni-cache <dir>', 'where the runtime remembers network namespaces', '/var/lib/cni')
    .allowExcessArguments(false);
  program.parse([...args], { from: 'user' });
  const options = program.opts<Options>();
  const wanted = parseName(program.args[0] ?? '', 'default');
  const signal = stopSignal();
  const client = new HttpApiClient({
    access: await loadKubeconfig(options.kubeconfig),
    clock: systemClock,
    userAgentName: 'gantry',
  });
  const facts = await gather(wanted, options, client, signal);
  const explanation = explainService(facts);
  const { situation, cause, next } = explanation;
  process.stdout.write(
    options.output === 'json'
      ? `${JSON.stringify({ kind: 'ServiceExplanation', version: 1, situation, cause, next, ...facts }, undefined, 2)}\n`
      : formatService(facts, explanation),
  );
  if (situation === 'Unknown') process.exitCode = 1;
}

/** @throws for what is no name */
export function parseName(text: string, ownNamespace: string): { namespace: string; name: string } {
  const parts = text.split('/');
  const [namespace = '', name = ''] = parts.length === 1 ? [ownNamespace, text] : parts;
  if (parts.length > 2 || namespace === '' || name === '') {
    throw new Error(`Cannot tell what "${text}" is: expected NAMESPACE/NAME`);
  }
  return { namespace, name };
}

type Reader = Pick<ApiClient, 'get' | 'list'>;

async function gather(
  { namespace, name }: { namespace: string; name: string },
  options: Options,
  client: Reader,
  signal: AbortSignal,
): Promise<ServiceFacts> {
  const gaps: string[] = [];
  const nodeName = options.hostnameOverride;
  const none = { pods: [], endpoints: [], frontends: [], tries: [], policies: [], flows: [], gaps };
  const proxy = await askProxy(options, signal);
  const service = await orUndefined(client.get(services, { namespace, name }, signal));
  if (service === undefined) {
    const { items } = await client.list(services, {}, signal);
    const known = items.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name ?? ''}`);
    const similar = findSimilar(`${namespace}/${name}`, known);
    return { ...none, namespace, name, node: nodeName, service: undefined, similar, proxy };
  }
  const summary = readService(service);
  const base = { ...none, namespace, name, node: nodeName, service: summary, similar: [], proxy };
  if (summary.externalName !== undefined) return base;

  const labelSelector = `kubernetes.io/service-name=${name}`;
  const slices = (await client.list(endpointSlices, { namespace, labelSelector }, signal)).items;
  const selected =
    summary.selector === undefined ? [] : await readSelected(namespace, summary.selector, gaps, client, signal);
  const node = await orUndefined(client.get(nodes, { name: nodeName }, signal));
  if (node === undefined) gaps.push(`there is no Node "${nodeName}": pass --hostname-override`);
  const source =
    options.from === undefined ? undefined : await findSource(options.from, namespace, options, client, signal);
  const endpoints = slices.flatMap(readEndpoints);
  const found = {
    ...base,
    arePodsUnknown: selected === undefined,
    pods: (selected ?? []).map(readPod),
    ...(options.port === undefined ? { service: summary, endpoints } : onlyPort(summary, endpoints, options.port)),
  };
  if (summary.otherProxy !== undefined) return found;

  const states = await readRules(service, slices, { node, nodeName, mode: proxy.mode, gaps }, signal);
  const isWanted = ({ frontend }: FrontendState): boolean =>
    found.service.ports.some(
      ({ name: portName, protocol }) => portName === frontend.portName && protocol.toLowerCase() === frontend.protocol,
    );
  const chosen = states.filter(isWanted);
  const direct = found.endpoints.filter(({ isReady, protocol }) => isReady && protocol === 'TCP');
  const tries = await tryAll(
    chosen,
    direct.map(({ address }) => address),
    source,
    signal,
  );
  return {
    ...found,
    frontends: chosen.map(({ fact }) => fact),
    tries,
    policies: source === undefined ? [] : await askPolicies(source, found.endpoints, gaps, client, signal),
    flows: await readFlows(chosen, found.endpoints, gaps, signal),
  };
}

/** kube-proxy's role in a cluster (`system:node-proxier`) does not read pods: undefined then. */
async function readSelected(
  namespace: string,
  labelSelector: string,
  gaps: string[],
  client: Reader,
  signal: AbortSignal,
): Promise<Pod[] | undefined> {
  try {
    return (await client.list(pods, { namespace, labelSelector }, signal)).items;
  } catch (err) {
    if (signal.aborted) throw err;
    gaps.push(`pods cannot be read, pass --kubeconfig with one that may: ${describeError(err)}`);
    return undefined;
  }
}

async function orUndefined<T>(wanted: Promise<T>): Promise<T | undefined> {
  try {
    return await wanted;
  } catch (err) {
    if (err instanceof NotFoundError) return undefined;
    throw err;
  }
}

async function askProxy({ proxyMetrics, proxyHealth }: Options, signal: AbortSignal): Promise<ProxyFact> {
  try {
    const { text: mode } = await ask(`http://${proxyMetrics}/proxyMode`, signal);
    const health = await ask(`http://${proxyHealth}/livez`, signal).catch(() => undefined);
    return { mode, isHealthy: health === undefined || health.status === 200, silence: undefined };
  } catch (err) {
    return { mode: undefined, isHealthy: false, silence: describeError(err) };
  }
}

function ask(url: string, signal: AbortSignal): Promise<{ status: number; text: string }> {
  return withDeadline('The answer of kube-proxy', askMaxMs, systemClock, signal, async (inner) => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request(url, { signal: inner }, resolve).once('error', reject).end();
    });
    let text = '';
    for await (const chunk of response as AsyncIterable<Buffer>)
      text = `${text}${chunk.toString('utf8')}`.slice(0, 4096);
    return { status: response.statusCode ?? 0, text: text.trim() };
  });
}

interface RulesNeed {
  node: Node | undefined;
  nodeName: string;
  mode: string | undefined;
  gaps: string[];
}

async function readRules(
  service: Service,
  slices: readonly EndpointSlice[],
  { node, nodeName, mode, gaps }: RulesNeed,
  signal: AbortSignal,
): Promise<FrontendState[]> {
  const addresses = (node?.status?.addresses ?? []).map(({ address }) => address);
  const facts = (family: IpFamily): NodeFacts => ({
    name: nodeName,
    zone: node?.metadata.labels?.['topology.kubernetes.io/zone'],
    ip: addresses.find((ip) => ip.includes(':') === (family === 'IPv6')),
  });
  try {
    return await frontendStates(service, slices, facts, await ruleReader(mode, signal));
  } catch (err) {
    if (signal.aborted) throw err;
    gaps.push(`the rules of this node cannot be read: ${describeError(err)}`);
    return frontendStates(service, slices, facts, undefined);
  }
}

/** A proxy that does not answer leaves its rules: then those of nftables mode count where there are any. */
async function ruleReader(mode: string | undefined, signal: AbortSignal): Promise<ReadInstalled> {
  const actual = mode ?? ((await hasNftTable(signal)) ? 'nftables' : 'iptables');
  if (actual === 'nftables') {
    return (family, frontend) => {
      const table = [family === 'IPv4' ? 'ip' : 'ip6', 'kube-proxy'] as const;
      return installedNftables(frontend, {
        element: async (map, key) => elementValue(await nft(['get', 'element', ...table, map, `{ ${key} }`], signal)),
        chain: (name) => nft(['list', 'chain', ...table, name], signal),
      });
    };
  }
  if (actual === 'ipvs') {
    const { stdout } = await runCommand('ipvsadm', ['--save', '--numeric'], { timeoutMs: toolMaxMs, signal });
    const ips = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
    return (_, frontend) => Promise.resolve(installedIpvs(stdout, frontend, ips));
  }
  const read = new Map<IpFamily, InstalledIptables>();
  return async (family, frontend) => {
    const rules = read.get(family) ?? new InstalledIptables();
    if (!read.has(family)) {
      const iptables = new Iptables({ family });
      for (const table of ['nat', 'filter'] as const) {
        await iptables.save(table, (line) => rules.read(table, line), signal);
      }
      read.set(family, rules);
    }
    return rules.treatment(frontend);
  };
}

/** What the tool prints; empty when the thing is not there. */
async function nft(args: readonly string[], signal: AbortSignal): Promise<string> {
  try {
    return (await runCommand('nft', [...args], { timeoutMs: toolMaxMs, signal })).stdout;
  } catch (err) {
    if (err instanceof CommandError && err.stderr.includes('No such file or directory')) return '';
    throw err;
  }
}

async function hasNftTable(signal: AbortSignal): Promise<boolean> {
  try {
    return /^table ip6? kube-proxy$/m.test(await nft(['list', 'tables'], signal));
  } catch (err) {
    if (signal.aborted) throw err;
    return false; // no tool, no table
  }
}

/** Where connections are made from. */
interface Source {
  readonly text: string;
  /** Undefined: this node. */
  readonly netns: string | undefined;
  readonly pod: Pod;
}

async function findSource(
  text: string,
  ownNamespace: string,
  { hostnameOverride, cniCache }: Options,
  client: Reader,
  signal: AbortSignal,
): Promise<Source> {
  const { namespace, name } = parseName(text, ownNamespace);
  const pod = await orUndefined(client.get(pods, { namespace, name }, signal));
  if (pod === undefined) throw new Error(`Cannot try it from pod "${namespace}/${name}": there is no such pod`);
  const node = pod.spec?.nodeName ?? '';
  if (node !== hostnameOverride) {
    throw new Error(
      `Cannot try it from pod "${namespace}/${name}": it is on node "${node}", not on "${hostnameOverride}"; run this there`,
    );
  }
  const source = { text: `pod ${namespace}/${name}`, pod };
  if (pod.spec?.hostNetwork === true) return { ...source, netns: undefined };
  const attachment = await findAttachment(cniCache, { namespace, name, uid: pod.metadata.uid });
  if (attachment?.netns === undefined) {
    throw new Error(`Cannot try it from pod "${namespace}/${name}": "${cniCache}" does not say where its network is`);
  }
  return { ...source, netns: attachment.netns };
}

/** Each address that a client may use, and then some endpoints themselves: the difference tells whose fault it is. */
async function tryAll(
  states: readonly FrontendState[],
  direct: readonly string[],
  source: Source | undefined,
  signal: AbortSignal,
): Promise<TryFact[]> {
  const through = states
    .map(({ frontend }) => frontend)
    .filter(({ kind, protocol, wanted }) => kind === 'cluster IP' && protocol === 'tcp' && wanted.kind !== 'reject');
  const tries: TryFact[] = [];
  const from = source?.text ?? 'this node';
  for (const { ip, port } of through) {
    const outcome = await connectFrom(source?.netns, ip, port, signal);
    const reached = outcome.outcome === 'connected' ? await reachedBy(ip, port, outcome, signal) : undefined;
    const { outcome: word, tookMs } = outcome;
    tries.push({ from, to: endpointAddress({ ip, port }), isDirect: false, outcome: word, tookMs, reached });
  }
  for (const address of direct.slice(0, directMax)) {
    const { ip, port } = splitAddress(address);
    const { outcome, tookMs } = await connectFrom(source?.netns, ip, port, signal);
    tries.push({ from, to: address, isDirect: true, outcome, tookMs, reached: undefined });
  }
  return tries;
}

/** In another network namespace a child of ours makes the connection. */
async function connectFrom(
  netns: string | undefined,
  ip: string,
  port: number,
  signal: AbortSignal,
): Promise<ConnectOutcome> {
  if (netns === undefined) return connectOnce(ip, port, connectMaxMs);
  const program = [process.execPath, process.argv[1] ?? '', 'why', 'connect', ip, String(port)];
  const { stdout } = await runCommand('nsenter', [`--net=${netns}`, '--', ...program], {
    timeoutMs: toolMaxMs,
    signal,
  });
  return JSON.parse(stdout) as ConnectOutcome; // printed by ourselves just now
}

/** `gantry why connect IP PORT`: what the child does. */
export async function runConnect([ip = '', port = '']: readonly string[]): Promise<void> {
  process.stdout.write(`${JSON.stringify(await connectOnce(ip, Number(port), connectMaxMs))}\n`);
}

async function reachedBy(
  ip: string,
  port: number,
  { from }: ConnectOutcome,
  signal: AbortSignal,
): Promise<string | undefined> {
  const flows = await flowsTo({ protocol: 'tcp', ip, port }, signal).catch((): FlowTo[] => []);
  const flow = flows.find(({ fromIp, fromPort }) => fromIp === from?.ip && fromPort === from.port);
  return flow === undefined ? undefined : endpointAddress(flow.reached);
}

/** What policies say of each ready endpoint, from the API alone. */
async function askPolicies(
  { text: from, pod }: Source,
  endpoints: readonly EndpointFact[],
  gaps: string[],
  client: Reader,
  signal: AbortSignal,
): Promise<PolicyFact[]> {
  const ips = pod.status?.podIPs?.map(({ ip }) => ip) ?? [];
  try {
    const policies = (await client.list(networkPolicies, {}, signal)).items;
    if (policies.length === 0) return [];
    const world = {
      policies,
      pods: (await client.list(pods, {}, signal)).items,
      namespaces: (await client.list(namespaces, {}, signal)).items,
      nodes: (await client.list(nodes, {}, signal)).items,
    };
    return endpoints.flatMap(({ address, protocol, isReady }) => {
      const { ip: toIp, port } = splitAddress(address);
      const fromIp = ips.find((ip) => ip.includes(':') === toIp.includes(':'));
      const word = protocolWord(protocol);
      if (!isReady || fromIp === undefined || word === undefined) return [];
      const { isAllowed, sentences } = explainConnection(world, { fromIp, toIp, protocol: word, port });
      return [{ from, to: address, isAllowed, words: sentences.join('; ') }];
    });
  } catch (err) {
    if (signal.aborted) throw err;
    gaps.push(`policies cannot be read: ${describeError(err)}`);
    return [];
  }
}

function protocolWord(protocol: string): 'TCP' | 'UDP' | 'SCTP' | undefined {
  return protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP' ? protocol : undefined;
}

/** `10.0.0.1:80` or `[fd00::1]:80`. */
function splitAddress(address: string): { ip: string; port: number } {
  const at = address.lastIndexOf(':');
  return { ip: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}

/** What clients are remembered with. UDP and SCTP flows to endpoints that are gone are the ones that hurt. */
async function readFlows(
  states: readonly FrontendState[],
  endpoints: ServiceFacts['endpoints'],
  gaps: string[],
  signal: AbortSignal,
): Promise<FlowFact[]> {
  const serving = new Set(endpoints.filter(({ isServing }) => isServing).map(({ address }) => address));
  const facts: FlowFact[] = [];
  for (const { frontend } of states) {
    const { kind, ip, port, protocol } = frontend;
    if (kind === 'node port') continue;
    try {
      for (const flow of await flowsTo({ protocol, ip, port }, signal)) {
        if (facts.length === flowsMax) return facts;
        facts.push(flowFact(flow, { ip, port, protocol }, serving));
      }
    } catch (err) {
      if (signal.aborted) throw err;
      gaps.push(`the connection table cannot be read: ${describeError(err)}`);
      return facts;
    }
  }
  return facts;
}

function flowFact(
  { fromIp, fromPort, reached, state }: FlowTo,
  to: { ip: string; port: number; protocol: Protocol },
  serving: ReadonlySet<string>,
): FlowFact {
  const answering = endpointAddress(reached);
  const from = endpointAddress({ ip: fromIp, port: fromPort });
  const text = `${from} to ${endpointAddress(to)}/${to.protocol}, answered by ${answering}${state === '' ? '' : ` ${state}`}`;
  // TCP ends by itself: the client is told
  return { text, isStale: to.protocol !== 'tcp' && serving.size > 0 && !serving.has(answering) };
}
