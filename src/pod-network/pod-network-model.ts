/** The words that the rooms of the pod network share. */

export type IpFamily = 'IPv4' | 'IPv6';

/** What the pod network needs to know of a node. */
export interface NodeFacts {
  name: string;
  /** Networks of the node's pods, in the usual spelling. */
  podCidrs: readonly string[];
  /** Addresses under which other nodes reach it: the first of each family counts. */
  internalIps: readonly string[];
}

/** Pods of another node: reached through that node. */
export interface PodRoute {
  node: string;
  destination: string;
  gateway: string;
}

/** A route that the kernel has. */
export interface KernelRoute {
  destination: string;
  /** Missing for what is connected directly, or refused. */
  gateway?: string | undefined;
  device?: string | undefined;
  isOurs: boolean;
}

/** Something that keeps pods from being reached, in words for a log, an event and the health endpoint. */
export interface Problem {
  /** The same problem has the same key: it is told once. */
  key: string;
  /** The node whose pods are concerned, where it is one. */
  node?: string | undefined;
  message: string;
  /** It is so with every new node, for a moment. */
  isUsual?: boolean;
}
