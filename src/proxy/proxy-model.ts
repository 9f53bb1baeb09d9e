/**
 * The nouns that travel through the proxy: what `collect` makes of Services and EndpointSlices, what `compute` decides
 * on, and what every `install/<mode>` gets. Types only. One IP family at a time: a dual-stack node runs the line twice.
 */
export type IpFamily = 'IPv4' | 'IPv6';
export type Protocol = 'tcp' | 'udp' | 'sctp';

/** One port of one Service, in one family, with everything that decides where its traffic goes. */
export interface ServicePort {
  readonly namespace: string;
  readonly name: string;
  /** May be empty: a Service with one port need not name it. */
  readonly portName: string;
  readonly protocol: Protocol;
  readonly clusterIp: string;
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
  readonly externalIps: readonly string[];
  /** Ingress addresses of a load balancer that sends packets on unchanged. */
  readonly loadBalancerIps: readonly string[];
  /** CIDRs that may use the load balancer's addresses; empty: everybody. */
  readonly sourceRanges: readonly string[];
  /** How long a client stays with its endpoint; undefined: no affinity. */
  readonly affinitySeconds: number | undefined;
  readonly isExternalPolicyLocal: boolean;
  readonly isInternalPolicyLocal: boolean;
  /** 0: none. */
  readonly healthCheckNodePort: number;
}

/** One address behind a service port. */
export interface Endpoint {
  readonly ip: string;
  readonly port: number;
  readonly isLocal: boolean;
  readonly isReady: boolean;
  readonly isServing: boolean;
  readonly isTerminating: boolean;
  readonly zoneHints: readonly string[] | undefined;
  readonly nodeHints: readonly string[] | undefined;
}

/** A Service as the kernel must know it. */
export interface ServiceState {
  /** `namespace/name`. */
  readonly key: string;
  readonly ports: readonly ServicePort[];
  /** By `endpointsKey(portName, protocol)`; each list in byte order of `ip:port`. */
  readonly endpoints: ReadonlyMap<string, readonly Endpoint[]>;
}

/** What the proxy knows of its own node. */
export interface NodeFacts {
  readonly name: string;
  /** The value of `topology.kubernetes.io/zone`. */
  readonly zone: string | undefined;
  /** The node's address of the family at hand. */
  readonly ip: string | undefined;
}

export function endpointsKey(portName: string, protocol: Protocol): string {
  return `${portName}/${protocol}`;
}

/** `namespace/name`, or `namespace/name:port`: how rules, chain names and logs call a service port. */
export function servicePortName({ namespace, name, portName }: ServicePort): string {
  return portName === '' ? `${namespace}/${name}` : `${namespace}/${name}:${portName}`;
}

/** `ip:port`, IPv6 in brackets. */
export function endpointAddress({ ip, port }: { readonly ip: string; readonly port: number }): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}
