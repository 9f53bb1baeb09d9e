/** One Service as elements of the sets and maps, and the chains that only it has. Pure. */
import {
  type Endpoint,
  type NodeFacts,
  type ServicePort,
  type ServiceState,
  endpointsKey,
  servicePortName,
} from '../../proxy-model.ts';
import { cidrContains, parseCidr } from '../ip-ranges.ts';
import { type SelectedEndpoints, isExternallyAccessible, selectEndpoints } from '../select-endpoints.ts';
import { type ChainRole, type Frontends, localTrafficOffset, sharedChainName } from './shared-chains.ts';
import { canonicalIp, disjointRanges } from './source-ranges.ts';
import { stickyChainName, stickyChains } from './sticky-chains.ts';
import { type LayoutContext, endpointsMap, nodePortEndpointsMap, rejectChain } from './table-layout.ts';

export interface ElementContext extends LayoutContext {
  readonly node: NodeFacts;
}

/** An address, protocol and port, or a protocol and NodePort, as the key of a verdict map. */
export type Frontend = string;

/** Who asks for a frontend. Two may: the one that comes first in byte order is served. */
export type Claim = string;

export interface ServiceElements {
  /** `set key` → value; empty in sets. */
  readonly elements: ReadonlyMap<string, string>;
  /** Chains that no other Service uses: name → rules. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Numbers of endpoints that clients may be remembered with. */
  readonly stickyNumbers: readonly number[];
  /** Service ports whose Local policy finds no endpoint here although others exist. */
  readonly lacksLocal: { readonly internal: number; readonly external: number };
}

/** Sets whose elements several Services may want at once. */
export const sharedSets: ReadonlySet<string> = new Set(['cluster-ips', 'hairpin-connections']);

export const noElements: ServiceElements = {
  elements: new Map(),
  chains: new Map(),
  stickyNumbers: [],
  lacksLocal: { internal: 0, external: 0 },
};

/** Every frontend that the Service asks for, with its claim: cluster IPs go before all others. */
export function frontendClaims(service: ServiceState): Array<{ frontend: Frontend; claim: Claim }> {
  return service.ports.flatMap((port) =>
    frontendsOf(port).map(({ frontend, kind }) => ({ frontend, claim: claimOf(port, kind) })),
  );
}

export function serviceElements(
  service: ServiceState,
  context: ElementContext,
  isServed: (frontend: Frontend, claim: Claim) => boolean,
): ServiceElements {
  const sink = new Sink();
  for (const port of service.ports) {
    addPort(sink, port, service.endpoints.get(endpointsKey(port.portName, port.protocol)) ?? [], context, isServed);
  }
  return sink;
}

class Sink implements ServiceElements {
  readonly elements = new Map<string, string>();
  readonly chains = new Map<string, readonly string[]>();
  readonly stickyNumbers: number[] = [];
  readonly lacksLocal = { internal: 0, external: 0 };

  add(set: string, key: string, value = ''): void {
    this.elements.set(`${set} ${key}`, value);
  }
}

type FrontendKind = 'cluster' | 'load-balancer' | 'external' | 'nodePort';

function frontendsOf(port: ServicePort): Array<{ frontend: Frontend; kind: FrontendKind; ip: string }> {
  const to = (ip: string): string => `${canonicalIp(ip)} . ${port.protocol} . ${port.port}`;
  const frontends = new Map<string, { frontend: Frontend; kind: FrontendKind; ip: string }>();
  const add = (ip: string, kind: FrontendKind): void => {
    const frontend = to(ip);
    if (!frontends.has(frontend)) frontends.set(frontend, { frontend, kind, ip: canonicalIp(ip) });
  };
  add(port.clusterIp, 'cluster');
  // an address in both lists is guarded by the balancer's source ranges
  for (const ip of port.loadBalancerIps) add(ip, 'load-balancer');
  for (const ip of port.externalIps) add(ip, 'external');
  const all = [...frontends.values()];
  if (port.nodePort !== 0) all.push({ frontend: `${port.protocol} . ${port.nodePort}`, kind: 'nodePort', ip: '' });
  return all;
}

const claimOf = (port: ServicePort, kind: FrontendKind): Claim =>
  `${kind === 'cluster' ? '0' : '1'} ${servicePortName(port)}`;

function addPort(
  sink: Sink,
  port: ServicePort,
  endpoints: readonly Endpoint[],
  context: ElementContext,
  isServed: (frontend: Frontend, claim: Claim) => boolean,
): void {
  const selected = selectEndpoints(port, endpoints, context.node);
  const isExternal = isExternallyAccessible(port);
  countLacks(sink, port, selected, isExternal);
  sink.add('cluster-ips', canonicalIp(port.clusterIp));
  for (const { ip, isLocal, port: targetPort } of selected.reachable) {
    if (!isLocal) continue;
    const address = canonicalIp(ip);
    sink.add('hairpin-connections', `${address} . ${address} . ${port.protocol} . ${targetPort}`);
  }
  if (port.affinitySeconds !== undefined) {
    const { chains, numbers } = stickyChains(port, { ...selected, isExternal }, port.affinitySeconds, context);
    for (const [name, rules] of chains) sink.chains.set(name, rules);
    sink.stickyNumbers.push(...numbers);
  }
  for (const { frontend, kind, ip } of frontendsOf(port)) {
    if (!isServed(frontend, claimOf(port, kind))) continue;
    if (kind === 'cluster') addClusterIp(sink, port, selected, frontend, ip);
    else addExternal(sink, port, selected, { frontend, kind, ip });
    if (kind === 'load-balancer') addFirewall(sink, port, frontend, context);
  }
}

function addClusterIp(
  sink: Sink,
  port: ServicePort,
  selected: SelectedEndpoints,
  frontend: Frontend,
  ip: string,
): void {
  const usable = port.isInternalPolicyLocal ? selected.local : selected.cluster;
  if (usable.length === 0) {
    sink.add('no-endpoint-services', frontend, refusal(selected));
    return;
  }
  if (port.affinitySeconds !== undefined) {
    const chain = stickyChainName(port.isInternalPolicyLocal ? 'local' : 'cluster', port);
    sink.add('service-ips', frontend, `goto ${chain}`);
    return;
  }
  sink.add('service-ips', frontend, goto('cluster', 'ips', port, usable.length));
  addEndpoints(sink, `${endpointsMap(port.protocol)} ${ip} . ${port.port}`, usable);
}

/** Addresses and NodePorts that clients outside the cluster use. */
function addExternal(
  sink: Sink,
  port: ServicePort,
  { cluster, local, hasAny }: SelectedEndpoints,
  { frontend, kind, ip }: { frontend: Frontend; kind: FrontendKind; ip: string },
): void {
  const isNodePort = kind === 'nodePort';
  const frontends: Frontends = isNodePort ? 'nodeports' : 'ips';
  const usable = port.isExternalPolicyLocal ? local : cluster;
  if (usable.length === 0) {
    sink.add(isNodePort ? 'no-endpoint-nodeports' : 'no-endpoint-services', frontend, refusal({ hasAny }));
  }
  if (cluster.length === 0 && local.length === 0) return;
  const verdicts = isNodePort ? 'service-nodeports' : 'service-ips';
  if (port.affinitySeconds !== undefined) {
    sink.add(verdicts, frontend, `goto ${stickyChainName('external', port)}`);
    return;
  }
  const keys = isNodePort
    ? `${nodePortEndpointsMap(port.protocol)} ${port.nodePort}`
    : `${endpointsMap(port.protocol)} ${ip} . ${port.port}`;
  if (!port.isExternalPolicyLocal) {
    if (cluster.length === 0) return;
    sink.add(verdicts, frontend, goto('external', frontends, port, cluster.length));
    addEndpoints(sink, keys, cluster);
    return;
  }
  sink.add(verdicts, frontend, goto('external-local', frontends, port, local.length));
  addEndpoints(sink, keys, local);
  if (cluster.length === 0) return;
  const shortCircuit = isNodePort ? 'local-traffic-nodeports' : 'local-traffic-ips';
  sink.add(shortCircuit, frontend, goto('local-traffic', frontends, port, cluster.length));
  addEndpoints(sink, keys, cluster, localTrafficOffset);
}

/** Only the balancer's addresses are guarded, and even when there is nobody to answer. */
function addFirewall(sink: Sink, port: ServicePort, frontend: Frontend, { node }: ElementContext): void {
  if (port.sourceRanges.length === 0) return;
  const nodeIp = node.ip;
  const admitsNode =
    nodeIp !== undefined &&
    port.sourceRanges.some((range) => {
      const cidr = parseCidr(range);
      return cidr !== undefined && cidrContains(cidr, nodeIp);
    });
  // a packet from this node to the balancer's address has that very address as its source
  const own = admitsNode ? port.loadBalancerIps.map((ip) => `${ip}/${ip.includes(':') ? 128 : 32}`) : [];
  sink.add('firewall-ips', frontend);
  for (const range of disjointRanges([...port.sourceRanges, ...own])) {
    sink.add('source-ranges', `${frontend} . ${range}`);
  }
}

function addEndpoints(sink: Sink, key: string, endpoints: readonly Endpoint[], offset = 0): void {
  for (const [i, { ip, port }] of endpoints.entries()) {
    sink.elements.set(`${key} . ${offset + i}`, `${canonicalIp(ip)} . ${port}`);
  }
}

function countLacks(sink: Sink, port: ServicePort, selected: SelectedEndpoints, isExternal: boolean): void {
  if (!selected.hasAny || selected.local.length > 0) return;
  if (port.isInternalPolicyLocal) sink.lacksLocal.internal++;
  if (isExternal && port.isExternalPolicyLocal) sink.lacksLocal.external++;
}

/** Nobody anywhere: say so at once. Somebody elsewhere: be silent, as a node that is no part of it. */
const refusal = ({ hasAny }: Pick<SelectedEndpoints, 'hasAny'>): string => (hasAny ? 'drop' : `goto ${rejectChain}`);

const goto = (role: ChainRole, frontends: Frontends, { protocol }: ServicePort, count: number): string =>
  `goto ${sharedChainName(role, frontends, protocol, count)}`;
