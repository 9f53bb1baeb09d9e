/**
 * Which flows of UDP and SCTP still go to endpoints that no longer serve. Decides only; knows no kernel.
 *
 * The kernel keeps such a flow on its endpoint as long as the client sends (UDP) or the association lives (SCTP). TCP ends
 * by itself and is never looked at.
 */
import { SocketAddress } from 'node:net';
import { type Endpoint, type IpFamily, type ServiceState, endpointAddress, endpointsKey } from '../proxy-model.ts';

export type FlowProtocol = 'udp' | 'sctp';
export const flowProtocols: readonly FlowProtocol[] = ['udp', 'sctp'];

/** A flow of the connection table: where the client sent to, and who answers. */
export interface Flow {
  readonly toIp: string;
  readonly toPort: number;
  readonly replyFromIp: string;
  readonly replyFromPort: number;
}

/** What else a flow is judged by. */
export interface FlowSurroundings {
  /** The node's own addresses that NodePorts answer on. */
  readonly nodePortIps: ReadonlySet<string>;
  /** Whether cluster IPs come from the range that this address is in. */
  isClusterIp(ip: string): boolean;
  /** Whether any EndpointSlice has this endpoint, whoever proxies its Service. */
  isEndpoint(protocol: FlowProtocol, address: string): boolean;
}

/** Endpoints by the Service that they belong to. */
type Owners = Map<string, ReadonlySet<string>>;

/** Owns who serves which address with a protocol that has flows, and who did until they were last settled. */
export class StaleFlows {
  /** By `protocol ip:port`, node ports by `protocol :port`: the endpoints that serve. */
  readonly #serving = new Map<string, Owners>();
  /** The addresses of each Service, with all endpoints that it had there, serving or not. */
  readonly #known = new Map<string, ReadonlyMap<string, ReadonlySet<string>>>();
  /** What addresses led to that lead there no longer. */
  readonly #gone = new Map<string, Set<string>>();

  /** @param state undefined: the Service is gone. Returns the protocols that it has or had. */
  update(key: string, state: ServiceState | undefined): ReadonlySet<FlowProtocol> {
    const touched = new Set<FlowProtocol>();
    for (const [address, endpoints] of this.#known.get(key) ?? []) {
      touched.add(protocolOf(address));
      const owners = this.#serving.get(address);
      owners?.delete(key);
      if (owners?.size === 0) this.#serving.delete(address);
      const gone = this.#gone.get(address) ?? new Set<string>();
      this.#gone.set(address, gone);
      for (const endpoint of endpoints) gone.add(endpoint);
    }
    const known = new Map<string, ReadonlySet<string>>();
    for (const { address, protocol, serving, all } of targets(state)) {
      touched.add(protocol);
      const owners = this.#serving.get(address) ?? new Map<string, ReadonlySet<string>>();
      this.#serving.set(address, owners);
      owners.set(key, new Set([...(owners.get(key) ?? []), ...serving]));
      known.set(address, new Set([...(known.get(address) ?? []), ...all]));
    }
    if (known.size === 0) this.#known.delete(key);
    else this.#known.set(key, known);
    return touched;
  }

  /** The Services that are known to have such ports. */
  keys(): IterableIterator<string> {
    return this.#known.keys();
  }

  /** What was gone has been dealt with. */
  settled(): void {
    this.#gone.clear();
  }

  /**
   * A flow to an address that is served is stale when its answers come from anything but a serving endpoint: also one
   * from before the Service had endpoints, and one to a Service that has none left. A flow to an address that nobody
   * serves is stale when it was one of ours: it goes to an endpoint that the address had until now, or it was turned away
   * from a cluster IP to something that is no endpoint at all (its Service went while nobody looked).
   */
  isStale(protocol: FlowProtocol, flow: Flow, surroundings: FlowSurroundings): boolean {
    const to = flowAddress(flow.toIp, flow.toPort);
    const from = flowAddress(flow.replyFromIp, flow.replyFromPort);
    const addresses = [`${protocol} ${to}`];
    if (surroundings.nodePortIps.has(flow.toIp)) addresses.push(nodePortAddress(protocol, flow.toPort));
    const served = addresses.map((address) => this.#serving.get(address)).filter((owners) => owners !== undefined);
    if (served.length > 0) {
      return !served.some((owners) => [...owners.values()].some((endpoints) => endpoints.has(from)));
    }
    if (to === from) return false; // not turned away by anybody
    if (addresses.some((address) => this.#gone.get(address)?.has(from) === true)) return true;
    return surroundings.isClusterIp(flow.toIp) && !surroundings.isEndpoint(protocol, from);
  }
}

interface Target {
  address: string;
  protocol: FlowProtocol;
  serving: string[];
  all: string[];
}

/** Every address of a Service that flows may go to. */
function* targets(state: ServiceState | undefined): Generator<Target> {
  for (const { portName, protocol, port, nodePort, clusterIp, loadBalancerIps, externalIps } of state?.ports ?? []) {
    if (protocol === 'tcp') continue;
    const endpoints = state?.endpoints.get(endpointsKey(portName, protocol)) ?? [];
    const all = endpoints.map(({ ip, port: to }) => flowAddress(ip, to));
    const serving = all.filter((_, i) => isServing(endpoints[i]));
    for (const ip of [clusterIp, ...loadBalancerIps, ...externalIps]) {
      yield { address: `${protocol} ${flowAddress(ip, port)}`, protocol, serving, all };
    }
    if (nodePort !== 0) yield { address: nodePortAddress(protocol, nodePort), protocol, serving, all };
  }
}

const isServing = (endpoint: Endpoint | undefined): boolean =>
  endpoint !== undefined && (endpoint.isReady || (endpoint.isServing && endpoint.isTerminating));

const nodePortAddress = (protocol: FlowProtocol, port: number): string => `${protocol} :${port}`;
const protocolOf = (address: string): FlowProtocol => (address.startsWith('udp ') ? 'udp' : 'sctp');

/** `ip:port` with the address as the kernel prints it: the API may have an IPv6 one in another form. */
export function flowAddress(ip: string, port: number): string {
  const canonical = ip.includes(':') ? new SocketAddress({ address: ip, family: 'ipv6' }).address : ip;
  return endpointAddress({ ip: canonical, port });
}

/** The family's name in the conntrack tool's words. */
export const conntrackFamily = (family: IpFamily): 'ipv4' | 'ipv6' => (family === 'IPv4' ? 'ipv4' : 'ipv6');
