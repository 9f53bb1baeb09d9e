/** Who gets which name and address: everything about a cluster that is decided before anything is made. Pure. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { formatIpv4Network, nthAddress, nthSubnet, overlaps, parseIpv4Network } from './ipv4-network.ts';
import type { Ipv4Network } from './ipv4-network.ts';
import { formatIpv6Network, nthIpv6Address, nthIpv6Subnet, parseIpv6Network } from './ipv6-network.ts';
import type { Ipv6Network } from './ipv6-network.ts';
import { nodePodPrefixLength, nodePodPrefixLengthV6 } from './parse-cluster-config.ts';
import type { ClusterConfig, KubeProxyMode } from './parse-cluster-config.ts';

export interface NodePlan {
  name: string;
  role: 'control-plane' | 'worker';
  labels: Readonly<Record<string, string>>;
  /** On the cluster's bridge. */
  ip: string;
  /** The second one, in a cluster of two families. */
  ipv6?: string;
  /** One of each family. */
  podCidrs: readonly string[];
}

export interface ClusterPlan {
  version: 1;
  name: string;
  /** Tells clusters of the same name in different state directories apart. */
  id: string;
  /** Everything on disk is in here. */
  dir: string;
  createdMs: number;
  /** The network of nodes and host, e.g. `10.77.3.0/24`. */
  subnet: string;
  hostIp: string;
  /** The same in IPv6, in a cluster of two families. */
  ipv6?: { subnet: string; hostIp: string };
  /** The host's interface in that network; at most 15 characters. */
  hostInterface: string;
  /** With a comma between those of two families. */
  podSubnet: string;
  serviceSubnet: string;
  kubeProxyMode: KubeProxyMode;
  disableDefaultCni: boolean;
  dnsSearch: readonly string[];
  /** `kubernetes.default`, the first address of the service network. */
  serviceIp: string;
  /** The tenth: where pods look for the cluster's name service. */
  dnsIp: string;
  /** `https://…` as nodes and host reach it. */
  server: string;
  apiServerPort: number;
  /** The control groups of all pods are below this one. */
  cgroup: string;
  /** The first one runs the control plane. */
  nodes: readonly NodePlan[];
}

/** Labs live in here: 256 of them side by side. */
const labNetworks: Ipv4Network = { first: 10 * 2 ** 24 + 77 * 2 ** 16, prefixLength: 16 };
const labPrefixLength = 24;
const labNetworksMax = 256;
const apiServerPort = 6443;
/** Host: .1, nodes from .2 on. */
const firstNodeIndex = 2;

/** @param usedNetworks networks that this machine knows already, which ours must not overlap */
export function planCluster(
  config: ClusterConfig,
  root: string,
  usedNetworks: readonly string[],
  createdMs: number,
): ClusterPlan {
  const { name } = config;
  const id = clusterId(root, name);
  const subnet = freeLabNetwork(usedNetworks, Number.parseInt(id.slice(0, 2), 16));
  const [podSubnet, podSubnetV6] = splitSubnets(config.podSubnet);
  const [serviceSubnet] = splitSubnets(config.serviceSubnet);
  const subnetV6 = config.ipFamily === 'dual' ? sisterNetwork(subnet) : undefined;
  const nodes = config.nodes.map(({ role, labels }, i): NodePlan => ({
    name: nodeName(name, role, i),
    role,
    labels,
    ip: nthAddress(subnet, firstNodeIndex + i),
    ...(subnetV6 === undefined ? {} : { ipv6: nthIpv6Address(subnetV6, firstNodeIndex + i) }),
    podCidrs: [
      formatIpv4Network(nthSubnet(podSubnet, nodePodPrefixLength, i)),
      ...(podSubnetV6 === undefined ? [] : [formatIpv6Network(nthIpv6Subnet(podSubnetV6, nodePodPrefixLengthV6, i))]),
    ],
  }));
  return {
    version: 1,
    name,
    id,
    dir: join(root, name),
    createdMs,
    subnet: formatIpv4Network(subnet),
    hostIp: nthAddress(subnet, 1),
    ...(subnetV6 === undefined
      ? {}
      : { ipv6: { subnet: formatIpv6Network(subnetV6), hostIp: nthIpv6Address(subnetV6, 1) } }),
    hostInterface: `gl-${id}`,
    podSubnet: [
      formatIpv4Network(podSubnet),
      ...(podSubnetV6 === undefined ? [] : [formatIpv6Network(podSubnetV6)]),
    ].join(','),
    serviceSubnet: config.serviceSubnet,
    kubeProxyMode: config.kubeProxyMode,
    disableDefaultCni: config.disableDefaultCni,
    dnsSearch: config.dnsSearch ?? [],
    serviceIp: nthAddress(serviceSubnet, 1),
    dnsIp: nthAddress(serviceSubnet, 10),
    server: `https://${nodes[0]?.ip ?? ''}:${apiServerPort}`,
    apiServerPort,
    cgroup: cgroupOf(root, name),
    nodes,
  };
}

/** Eight hexadecimal digits that every part of a cluster outside its directory is named by. */
export function clusterId(root: string, name: string): string {
  return createHash('sha256').update(`${root}\0${name}`).digest('hex').slice(0, 8);
}

export function cgroupOf(root: string, name: string): string {
  return `/gantry-lab-${name}-${clusterId(root, name)}`;
}

/** As kind names them: `x-control-plane`, `x-worker`, `x-worker2` … */
function nodeName(cluster: string, role: NodePlan['role'], index: number): string {
  if (role === 'control-plane') return `${cluster}-control-plane`;
  return `${cluster}-worker${index > 1 ? index : ''}`;
}

/** The first free one from `start` on: clusters that are made at the same moment start at different ones. */
function freeLabNetwork(usedNetworks: readonly string[], start: number): Ipv4Network {
  const used = usedNetworks.map(parseIpv4Network).filter((network) => network !== undefined);
  for (let i = 0; i < labNetworksMax; i++) {
    const candidate = nthSubnet(labNetworks, labPrefixLength, (start + i) % labNetworksMax);
    if (!used.some((network) => overlaps(network, candidate))) return candidate;
  }
  throw new Error(
    `Cannot find a free network in ${formatIpv4Network(labNetworks)}: delete labs that are no longer needed (gantry lab list), or remove a route that covers it`,
  );
}

/** The checked configuration's, the IPv4 one first. */
function splitSubnets(subnets: string): [Ipv4Network, Ipv6Network | undefined] {
  const [v4 = '', v6] = subnets.split(',');
  return [mustParse(v4), v6 === undefined ? undefined : parseIpv6Network(v6)];
}

/** `fd00:10:77:3::/64` of `10.77.3.0/24`: free when that is. */
function sisterNetwork({ first }: Ipv4Network): Ipv6Network {
  const [a, b, c] = [2 ** 24, 2 ** 16, 2 ** 8].map((unit) => Math.floor(first / unit) % 256);
  const network = parseIpv6Network(`fd00:${a}:${b}:${c}::/64`); // the same digits, for people to read
  if (network === undefined)
    throw new Error(`Cannot make an IPv6 network of ${formatIpv4Network({ first, prefixLength: labPrefixLength })}`);
  return network;
}

function mustParse(cidr: string): Ipv4Network {
  const network = parseIpv4Network(cidr);
  if (network === undefined) throw new Error(`Cannot read the network "${cidr}"`);
  return network;
}
