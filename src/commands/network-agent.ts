/**
 * `gantry network-agent`: the pod network of a node and the network policies on it, side by side in one process. For labs
 * and small clusters whose nodes are in one network; a cluster with a CNI add-on of its own needs at most the policies.
 */
import { hostname } from 'node:os';
import { Command } from 'commander';
import { Sysctl } from '../adapters/sysctl/sysctl.ts';
import { systemClock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';
import { type Logger, createLogger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { EventRecorder } from '../client/event-recorder.ts';
import { HttpApiClient } from '../client/http-api-client.ts';
import { loadKubeconfig } from '../client/kubeconfig.ts';
import { watchAttachments } from '../adapters/cni/attachments.ts';
import { removePolicyTable } from '../network-policy/install/policy-table.ts';
import { NetworkPolicies } from '../network-policy/network-policy.ts';
import { cleanUpPodNetwork } from '../pod-network/clean-up.ts';
import { usualCidr } from '../pod-network/compute/networks.ts';
import { PodNetwork } from '../pod-network/pod-network.ts';
import { booleanFlag, wholeNumber } from './control-plane-process.ts';
import { type Served, serveNetworkAgent } from './network-agent-server.ts';
import { staySmall } from './stay-small.ts';

const component = 'network-agent';
const countersTimeoutMs = 5000;

interface Flags {
  kubeconfig?: string;
  hostnameOverride?: string;
  cniConfDir: string;
  cniCacheDir: string;
  networkPolicy: boolean;
  podNetwork: boolean;
  masquerade: boolean;
  nonMasqueradeCidrs: string;
  healthzBindAddress: string;
  cleanup?: true;
  v: number;
}

/** A product of this process: its work, and what the door shows of it. */
interface Part extends Served {
  run: (signal: AbortSignal) => Promise<void>;
}

export async function run(args: readonly string[]): Promise<void> {
  const flags = readFlags(args);
  const log = createLogger({ name: component, verbosity: flags.v });
  const signal = stopSignal();
  if (flags.cleanup === true) return cleanUp(flags, log, signal);
  const { kubeconfig } = flags;
  if (kubeconfig === undefined) throw new ConfigError('Cannot find the API server', ['--kubeconfig FILE is missing']);
  const door = parseBindAddress(flags.healthzBindAddress);
  const clock = systemClock;
  const nodeName = (flags.hostnameOverride ?? hostname()).trim().toLowerCase();
  const client = new HttpApiClient({ access: await loadKubeconfig(kubeconfig), clock, userAgentName: component });
  const events = new EventRecorder({ client, component, host: nodeName, clock, log });
  const parts: Part[] = [];
  if (flags.podNetwork) parts.push(podNetworkPart(flags, nodeName, { client, events, log }));
  if (flags.networkPolicy) parts.push(networkPolicyPart(flags, nodeName, { client, events, log }));
  if (parts.length === 0) throw new ConfigError('Cannot use the flags', ['everything is switched off']);
  log.info({ node: nodeName, parts: parts.map(({ name }) => name) }, 'network agent starts');
  try {
    await runTogether(signal, [
      (inner) => events.run(inner),
      ...parts.map((part) => part.run),
      ...(door === undefined ? [] : [(inner: AbortSignal) => serveNetworkAgent(door, parts, inner)]),
      (inner) => staySmall({ clock, log }, inner),
    ]);
  } finally {
    client.close();
  }
}

function podNetworkPart(
  { cniConfDir, masquerade, nonMasqueradeCidrs }: Flags,
  nodeName: string,
  { client, events, log }: { client: HttpApiClient; events: EventRecorder; log: Logger },
): Part {
  const network = new PodNetwork(
    { nodeName, confDir: cniConfDir, masquerade, nonMasqueradeCidrs: parseCidrs(nonMasqueradeCidrs) },
    { client, events, settings: new Sysctl(), clock: systemClock, log: log.child({ room: 'pod-network' }) },
  );
  return {
    name: 'pod-network',
    run: (signal) => network.run(signal),
    problems: () => network.problems,
    metrics: () => network.metrics.text(),
  };
}

function networkPolicyPart(
  { cniCacheDir }: Flags,
  nodeName: string,
  { client, events, log }: { client: HttpApiClient; events: EventRecorder; log: Logger },
): Part {
  const policies = new NetworkPolicies(
    { nodeName },
    {
      client,
      events,
      watchAttachments: (onChange, signal) => watchAttachments(cniCacheDir, onChange, signal),
      clock: systemClock,
      log: log.child({ room: 'network-policy' }),
    },
  );
  return {
    name: 'network-policy',
    run: (signal) => policies.run(signal),
    problems: () => policies.problems,
    metrics: () => policies.metrics(AbortSignal.timeout(countersTimeoutMs)),
  };
}

/** Of all that the agent can do, whatever was switched on. */
async function cleanUp({ cniConfDir }: Flags, log: Logger, signal: AbortSignal): Promise<void> {
  log.info({ removed: await removePolicyTable(signal) }, 'network policies removed');
  log.info(await cleanUpPodNetwork(cniConfDir, signal), 'pod network removed');
}

function readFlags(args: readonly string[]): Flags {
  const program = new Command(component)
    .description(
      'Gives pods their network on nodes that share one, by routes from node to node, and enforces NetworkPolicies.',
    )
    .option('--kubeconfig <file>', 'credentials for the API server')
    .option('--hostname-override <name>', "the node's name, where it is not the machine's")
    .addOption(booleanFlag('--pod-network', 'CNI configuration, routes and masquerading for this node', true))
    .option('--cni-conf-dir <directory>', 'where the container runtime looks for CNI configurations', '/etc/cni/net.d')
    .addOption(booleanFlag('--masquerade', "what leaves the cluster from a pod gets the node's address", true))
    .option('--non-masquerade-cidrs <list>', "where pods keep their addresses, beside the cluster's pods", '')
    .addOption(booleanFlag('--network-policy', 'NetworkPolicies for the pods of this node', true))
    .option('--cni-cache-dir <directory>', 'where the container runtime keeps what CNI remembers', '/var/lib/cni')
    .option('--healthz-bind-address <ip:port>', 'health and metrics; empty: none', '127.0.0.1:10262')
    .option('--cleanup', 'remove all that the agent has put on this node and exit')
    .option('-v, --v <level>', 'log verbosity', wholeNumber, 0)
    .allowExcessArguments(false);
  program.parse([...args], { from: 'user' });
  return program.opts();
}

function parseCidrs(list: string): string[] {
  const words = list.split(',').filter((word) => word !== '');
  return words.map((word) => {
    const cidr = usualCidr(word);
    if (cidr === undefined)
      throw new ConfigError('Cannot use the flags', [`--non-masquerade-cidrs: "${word}" is no network`]);
    return cidr;
  });
}

function parseBindAddress(text: string): { host: string; port: number } | undefined {
  if (text === '') return undefined;
  const match = /^(?:\[([\da-f:]+)\]|([\d.]+)):(\d+)$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined)
    throw new ConfigError('Cannot use the flags', [`--healthz-bind-address must be ip:port: "${text}"`]);
  return { host, port: Number(match?.[3]) };
}
