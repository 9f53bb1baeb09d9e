/** What the kernel must hold for Services in mode ipvs: virtual servers, addresses to bind, entries of sets. Pure. */
import {
  type Endpoint,
  type IpFamily,
  type NodeFacts,
  type Protocol,
  type ServicePort,
  type ServiceState,
  endpointAddress,
  endpointsKey,
} from '../../proxy-model.ts';
import { cidrContains, parseCidr } from '../ip-ranges.ts';
import { canonicalIp } from '../nftables/source-ranges.ts';
import { isExternallyAccessible, selectEndpoints } from '../select-endpoints.ts';
import { type SetName, networkEntries } from './ip-sets.ts';

/** A virtual server and where its connections go. */
export interface VirtualServer {
  readonly protocol: Protocol;
  /** `ip:port`, IPv6 in brackets. */
  readonly address: string;
  /** How long a client stays with its real server; undefined: not at all. */
  readonly affinitySeconds: number | undefined;
  /** `ip:port` of each. */
  readonly realServers: ReadonlySet<string>;
}

export interface WantedState {
  /** By `serverKey`. */
  readonly servers: ReadonlyMap<string, VirtualServer>;
  /** For kube-ipvs0. */
  readonly boundIps: ReadonlySet<string>;
  readonly sets: ReadonlyMap<SetName, ReadonlySet<string>>;
  /** Service ports whose Local policy finds no endpoint here although others exist. */
  readonly lacksLocal: { readonly internal: number; readonly external: number };
}

export interface WantedContext {
  readonly family: IpFamily;
  readonly node: NodeFacts;
  /** Addresses of the node that NodePorts answer on. */
  readonly nodePortIps: readonly string[];
  /** Addresses on interfaces other than kube-ipvs0: these are never bound to it. */
  readonly foreignIps: ReadonlySet<string>;
}

export function serverKey({ address, protocol }: Pick<VirtualServer, 'address' | 'protocol'>): string {
  return `${address}/${protocol.toUpperCase()}`;
}

export function wantedState(services: Iterable<ServiceState>, context: WantedContext): WantedState {
  const state = new StateBuilder(context);
  for (const { ports, endpoints } of services) {
    for (const port of ports) state.addPort(port, endpoints.get(endpointsKey(port.portName, port.protocol)) ?? []);
  }
  return state.build();
}

class StateBuilder {
  readonly #context: WantedContext;
  readonly #servers = new Map<string, VirtualServer>();
  readonly #boundIps = new Set<string>();
  readonly #sets = new Map<SetName, Set<string>>();
  readonly #lacksLocal = { internal: 0, external: 0 };

  constructor(context: WantedContext) {
    this.#context = context;
  }

  build(): WantedState {
    for (const ip of this.#boundIps) this.#addEntry('IPVS-IPS', ip);
    return { servers: this.#servers, boundIps: this.#boundIps, sets: this.#sets, lacksLocal: this.#lacksLocal };
  }

  addPort(spelledPort: ServicePort, spelledEndpoints: readonly Endpoint[]): void {
    // what the kernel shows is compared with it, and that knows one spelling
    const port = canonicalPort(spelledPort);
    const endpoints = spelledEndpoints.map((endpoint) => ({ ...endpoint, ip: canonicalIp(endpoint.ip) }));
    const { cluster, local, hasAny } = selectEndpoints(port, endpoints, this.#context.node);
    // other modes drop what finds no endpoint here; this one lets it go anywhere
    const here = local.length > 0 ? local : cluster;
    const isLocalMissing = hasAny && local.length === 0;
    if (isLocalMissing && port.isInternalPolicyLocal) this.#lacksLocal.internal += 1;
    if (isLocalMissing && port.isExternalPolicyLocal && isExternallyAccessible(port)) this.#lacksLocal.external += 1;

    for (const { ip, port: number, isLocal } of endpoints) {
      // a pod that calls its own Service must not see its own address as the client's
      if (isLocal) this.#addEntry('LOOP-BACK', `${ip},${port.protocol}:${number},${ip}`);
    }
    this.#addEntry('CLUSTER-IP', entry(port.clusterIp, port));
    this.#boundIps.add(port.clusterIp);
    this.#addServer(port, port.clusterIp, port.port, port.isInternalPolicyLocal ? here : cluster);

    const external = port.isExternalPolicyLocal ? here : cluster;
    for (const ip of port.externalIps) {
      this.#addEntry(port.isExternalPolicyLocal ? 'EXTERNAL-IP-LOCAL' : 'EXTERNAL-IP', entry(ip, port));
      this.#bindUnlessForeign(ip);
      this.#addServer(port, ip, port.port, external);
    }
    for (const ip of port.loadBalancerIps) {
      this.#addEntry('LOAD-BALANCER', entry(ip, port));
      if (port.isExternalPolicyLocal) this.#addEntry('LOAD-BALANCER-LOCAL', entry(ip, port));
      if (port.sourceRanges.length > 0) this.#guard(ip, port);
      this.#bindUnlessForeign(ip);
      this.#addServer(port, ip, port.port, external);
    }
    if (port.nodePort !== 0) this.#addNodePort(port, external);
    if (port.healthCheckNodePort !== 0) this.#addEntry('HEALTH-CHECK-NODE-PORT', String(port.healthCheckNodePort));
  }

  #guard(ip: string, port: ServicePort): void {
    this.#addEntry('LOAD-BALANCER-FW', entry(ip, port));
    const nodeIp = this.#context.node.ip;
    let admitsNode = false;
    for (const range of port.sourceRanges) {
      for (const network of networkEntries(range)) {
        this.#addEntry('LOAD-BALANCER-SOURCE-CIDR', `${entry(ip, port)},${network}`);
      }
      const cidr = parseCidr(range);
      admitsNode ||= cidr !== undefined && nodeIp !== undefined && cidrContains(cidr, nodeIp);
    }
    // a packet from this node to the balancer's address has that very address as its source
    if (admitsNode) this.#addEntry('LOAD-BALANCER-SOURCE-IP', `${entry(ip, port)},${ip}`);
  }

  #addNodePort(port: ServicePort, endpoints: readonly Endpoint[]): void {
    const { protocol, nodePort, isExternalPolicyLocal } = port;
    for (const ip of this.#context.nodePortIps) {
      this.#addServer(port, ip, nodePort, endpoints);
      if (protocol !== 'sctp') continue;
      this.#addEntry('NODE-PORT-SCTP-HASH', `${ip},sctp:${nodePort}`);
      if (isExternalPolicyLocal) this.#addEntry('NODE-PORT-LOCAL-SCTP-HASH', `${ip},sctp:${nodePort}`);
    }
    if (protocol === 'sctp') return;
    const suffix = protocol === 'tcp' ? 'TCP' : 'UDP';
    this.#addEntry(`NODE-PORT-${suffix}`, String(nodePort));
    if (isExternalPolicyLocal) this.#addEntry(`NODE-PORT-LOCAL-${suffix}`, String(nodePort));
  }

  #bindUnlessForeign(ip: string): void {
    if (!this.#context.foreignIps.has(ip)) this.#boundIps.add(ip);
  }

  #addServer(service: ServicePort, ip: string, port: number, endpoints: readonly Endpoint[]): void {
    const { protocol, affinitySeconds } = service;
    const address = endpointAddress({ ip, port });
    const realServers = new Set(endpoints.map(endpointAddress));
    this.#servers.set(serverKey({ address, protocol }), { protocol, address, affinitySeconds, realServers });
  }

  #addEntry(set: SetName, text: string): void {
    const entries = this.#sets.get(set);
    if (entries === undefined) this.#sets.set(set, new Set([text]));
    else entries.add(text);
  }
}

function canonicalPort(port: ServicePort): ServicePort {
  return {
    ...port,
    clusterIp: canonicalIp(port.clusterIp),
    externalIps: port.externalIps.map(canonicalIp),
    loadBalancerIps: port.loadBalancerIps.map(canonicalIp),
  };
}

function entry(ip: string, { protocol, port }: ServicePort): string {
  return `${ip},${protocol}:${port}`;
}
