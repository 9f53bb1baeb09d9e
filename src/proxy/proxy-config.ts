/** What the proxy is told, as the code uses it. `parse-proxy-config.ts` makes one of a file and flags. */

import type { ProxyGates } from './proxy-gates.ts';

export const proxyModes = ['iptables', 'ipvs', 'nftables'] as const;
export type ProxyMode = (typeof proxyModes)[number];

export type LocalDetection =
  | { readonly mode: 'ClusterCIDR'; readonly clusterCidrs: readonly string[] }
  | { readonly mode: 'NodeCIDR' }
  | { readonly mode: 'BridgeInterface'; readonly bridgeInterface: string }
  | { readonly mode: 'InterfaceNamePrefix'; readonly interfaceNamePrefix: string };

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface ProxyConfig {
  readonly mode: ProxyMode;
  /** Empty: in-cluster credentials. */
  readonly kubeconfig: string;
  /** Queries per second and burst towards the API server; below zero: no limit. */
  readonly clientQps: number;
  readonly clientBurst: number;
  /** Empty: the machine's name. */
  readonly hostnameOverride: string;
  /** A specific one is this node's address; `0.0.0.0` and `::` say nothing. */
  readonly bindAddress: string;
  /** Undefined: no health server. */
  readonly healthz: ListenAddress | undefined;
  readonly metrics: ListenAddress;
  readonly bindAddressHardFail: boolean;
  readonly enableProfiling: boolean;
  /** From the section of the mode; mode ipvs shares that of iptables. */
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  /** Modes iptables and ipvs only. */
  readonly localhostNodePorts: boolean;
  /** From the section of the mode. */
  readonly syncPeriodMs: number;
  readonly minSyncPeriodMs: number;
  readonly ipvs: IpvsConfig;
  readonly localDetection: LocalDetection;
  /** CIDRs, or the single word `primary`; empty: every address of the node. */
  readonly nodePortAddresses: readonly string[];
  readonly oomScoreAdj: number;
  readonly conntrack: ConntrackConfig;
  readonly gates: ProxyGates;
  readonly verbosity: number;
  /** What is wrong without being refused: to be logged. */
  readonly warnings: readonly string[];
  /** The whole `KubeProxyConfiguration`, defaults filled in. */
  readonly document: Readonly<Record<string, unknown>>;
}

/** What only mode ipvs is told. */
export interface IpvsConfig {
  readonly scheduler: string;
  /** Virtual servers in these ranges are somebody else's. */
  readonly excludeCidrs: readonly string[];
  readonly strictArp: boolean;
  /** Zero leaves the kernel's value, for all three. */
  readonly tcpTimeoutMs: number;
  readonly tcpFinTimeoutMs: number;
  readonly udpTimeoutMs: number;
}

export interface ConntrackConfig {
  /** 0: leave the kernel's limit alone. */
  readonly maxPerCore: number;
  readonly min: number;
  /** Zero leaves the kernel's value, for all of these. */
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
  readonly tcpBeLiberal: boolean;
}
