/** The nouns of network policies: types only. */
import type { LabelRequirement } from '../objects/label-selector.ts';

export type Direction = 'ingress' | 'egress';
export type Protocol = 'TCP' | 'UDP' | 'SCTP';
export type IpFamily = 'IPv4' | 'IPv6';

export interface NamedPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** A pod with addresses of its own, wherever it runs. Ended pods and those on the host's network are none. */
export interface PodFacts {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Undefined while the namespace is not known: it comes by another watch than its pods. */
  readonly namespaceLabels: Readonly<Record<string, string>> | undefined;
  /** In the usual spelling; empty while it has none. */
  readonly ips: readonly string[];
  /** Whether it runs on this node. */
  readonly isLocal: boolean;
  readonly ports: readonly NamedPort[];
}

/** Addresses from `first` to `last`, both included. */
export interface IpRange {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
}

export interface PortRange {
  readonly protocol: Protocol;
  readonly first: number;
  readonly last: number;
}

/** Pods of one namespace by its name, or of all whose labels fit. */
export interface PodPeer {
  readonly namespace: string | readonly LabelRequirement[];
  readonly pods: readonly LabelRequirement[];
}

export interface PolicyRule {
  /** Undefined: everybody, also outside the cluster. */
  readonly peers: { readonly pods: readonly PodPeer[]; readonly blocks: readonly IpRange[] } | undefined;
  /** Undefined: all ports, and protocols without any. */
  readonly ports:
    | { readonly ranges: readonly PortRange[]; readonly named: ReadonlyArray<Omit<NamedPort, 'port'>> }
    | undefined;
}

/** A NetworkPolicy as it is enforced. */
export interface Policy {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  /** Which pods of its namespace. */
  readonly selector: readonly LabelRequirement[];
  /** What it allows in each direction; undefined: the direction is none of its business. */
  readonly ingress: readonly PolicyRule[] | undefined;
  readonly egress: readonly PolicyRule[] | undefined;
  /** What cannot be enforced as it is written, by field. What cannot be understood allows nothing. */
  readonly problems: readonly string[];
}
