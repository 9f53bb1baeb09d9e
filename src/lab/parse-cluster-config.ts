/**
 * What a user asks for: kind's config file (v1alpha4) and the flags of `gantry lab create`, as one checked value.
 * A field that we do not honour is refused by name.
 */
import { parse } from 'yaml';
import { ConfigError } from '../base/errors.ts';
import { parseIpv4Network } from './ipv4-network.ts';
import { parseIpv6Network } from './ipv6-network.ts';

export interface NodeConfig {
  role: 'control-plane' | 'worker';
  labels: Readonly<Record<string, string>>;
}

export interface ClusterConfig {
  name: string;
  /** The first one, and only it, runs the control plane. */
  nodes: readonly NodeConfig[];
  /** `dual`: nodes, pods and Services have an address of each family, the IPv4 one first. */
  ipFamily: 'ipv4' | 'dual';
  /** One IPv4 network; with `dual` and an IPv6 one, after a comma. */
  podSubnet: string;
  serviceSubnet: string;
  kubeProxyMode: KubeProxyMode;
  /** Pods get a network from an add-on that is installed later; until then no node is Ready. */
  disableDefaultCni: boolean;
  /** Search domains of the nodes' name service; undefined: none. */
  dnsSearch: readonly string[] | undefined;
}

export type KubeProxyMode = (typeof kubeProxyModes)[number];
const kubeProxyModes = ['iptables', 'nftables', 'ipvs', 'none'] as const;

export interface ConfigFlags {
  name?: string | undefined;
  nodes?: string | undefined;
}

export const defaultClusterName = 'gantry';
const nodesMax = 100;
/** Every node gets a part of the pod subnet of this size. */
export const nodePodPrefixLength = 24;
export const nodePodPrefixLengthV6 = 64;
/** Node names are host names: 63 characters with `-control-plane`. */
const nameMaxLength = 40;
const apiVersion = 'kind.x-k8s.io/v1alpha4';

/** @throws {ConfigError} with every problem at once */
export function parseClusterConfig(flags: ConfigFlags, file: string | undefined): ClusterConfig {
  const problems: string[] = [];
  const top = file === undefined ? {} : parseFile(file, problems);
  refuseUnknown('', top, ['kind', 'apiVersion', 'name', 'nodes', 'networking'], problems);
  if (file !== undefined && (top['kind'] !== 'Cluster' || top['apiVersion'] !== apiVersion)) {
    problems.push(`kind and apiVersion must be "Cluster" and "${apiVersion}"`);
  }
  const networking = asObject(top['networking'] ?? {}, 'networking', problems);
  const networkingKeys = ['podSubnet', 'serviceSubnet', 'ipFamily', 'kubeProxyMode', 'disableDefaultCNI', 'dnsSearch'];
  refuseUnknown('networking.', networking, networkingKeys, problems);
  const ipFamily = ipFamilyOf(networking['ipFamily'] ?? 'ipv4', problems);
  const config: ClusterConfig = {
    name: flags.name ?? text(top['name'] ?? defaultClusterName, 'name', problems),
    nodes:
      flags.nodes === undefined ? nodesOf(top['nodes'], problems) : nodesFromFlag(flags.nodes, top['nodes'], problems),
    ipFamily,
    podSubnet: subnets(networking['podSubnet'], podSubnetRules[ipFamily], 'networking.podSubnet', problems),
    serviceSubnet: subnets(
      networking['serviceSubnet'],
      serviceSubnetRules[ipFamily],
      'networking.serviceSubnet',
      problems,
    ),
    kubeProxyMode: kubeProxyModeOf(networking['kubeProxyMode'] ?? 'iptables', problems),
    disableDefaultCni: flag(networking['disableDefaultCNI'] ?? false, 'networking.disableDefaultCNI', problems),
    dnsSearch: domains(networking['dnsSearch'], 'networking.dnsSearch', problems),
  };
  problems.push(...clusterNameProblems(config.name));
  if (config.nodes.length > nodesMax) problems.push(`at most ${nodesMax} nodes are possible: ${config.nodes.length}`);
  for (const podSubnet of config.podSubnet.split(',')) {
    const podNetworksMax = podNetworksIn(podSubnet);
    if (config.nodes.length <= podNetworksMax) continue;
    problems.push(`networking.podSubnet ${podSubnet} is for ${podNetworksMax} nodes, not ${config.nodes.length}`);
  }
  if (problems.length > 0) throw new ConfigError('Cannot use the cluster configuration', problems);
  return config;
}

export function clusterNameProblems(name: string): string[] {
  const isGood = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name) && name.length <= nameMaxLength;
  return isGood ? [] : [`name must be lower-case letters, digits and "-", at most ${nameMaxLength}: "${name}"`];
}

function parseFile(file: string, problems: string[]): Record<string, unknown> {
  try {
    return asObject(parse(file) as unknown, 'the file', problems);
  } catch (err) {
    problems.push(`it is not YAML: ${err instanceof Error ? err.message : String(err)}`);
    return {};
  }
}

function nodesFromFlag(flag: string, fromFile: unknown, problems: string[]): NodeConfig[] {
  if (fromFile !== undefined) problems.push('--nodes and "nodes" in the file exclude each other');
  const count = Number(flag);
  if (!Number.isInteger(count) || count < 1) {
    problems.push(`--nodes must be a whole number >= 1: "${flag}"`);
    return [];
  }
  return Array.from({ length: Math.min(count, nodesMax + 1) }, (_, i) => ({
    role: i === 0 ? 'control-plane' : 'worker',
    labels: {},
  }));
}

function nodesOf(value: unknown, problems: string[]): NodeConfig[] {
  if (value === undefined) return [{ role: 'control-plane', labels: {} }];
  if (!Array.isArray(value) || value.length === 0) {
    problems.push('nodes must be a list with at least one node');
    return [];
  }
  const nodes = value.map((entry: unknown, i): NodeConfig => {
    const at = `nodes[${i}]`;
    const node = asObject(entry, at, problems);
    refuseUnknown(`${at}.`, node, ['role', 'labels'], problems);
    const role = node['role'] ?? 'control-plane';
    if (role !== 'control-plane' && role !== 'worker') problems.push(`${at}.role must be "control-plane" or "worker"`);
    const labels = Object.entries(asObject(node['labels'] ?? {}, `${at}.labels`, problems));
    return {
      role: role === 'worker' ? 'worker' : 'control-plane',
      labels: Object.fromEntries(labels.map(([key, label]) => [key, text(label, `${at}.labels.${key}`, problems)])),
    };
  });
  const controlPlanes = nodes.filter(({ role }) => role === 'control-plane').length;
  if (controlPlanes !== 1)
    problems.push(`exactly one node must have the role "control-plane": there are ${controlPlanes}`);
  return nodes.toSorted((a, b) => Number(a.role === 'worker') - Number(b.role === 'worker'));
}

interface SubnetRule {
  byDefault: string;
  isV6: boolean;
  prefixMin: number;
  prefixMax: number;
}

const podV4: SubnetRule = { byDefault: '10.244.0.0/16', isV6: false, prefixMin: 8, prefixMax: 20 };
const podV6: SubnetRule = { byDefault: 'fd00:10:244::/56', isV6: true, prefixMin: 48, prefixMax: 62 };
const serviceV4: SubnetRule = { byDefault: '10.96.0.0/16', isV6: false, prefixMin: 8, prefixMax: 24 };
const serviceV6: SubnetRule = { byDefault: 'fd00:10:96::/112', isV6: true, prefixMin: 108, prefixMax: 120 };
const podSubnetRules = { ipv4: [podV4], dual: [podV4, podV6] };
const serviceSubnetRules = { ipv4: [serviceV4], dual: [serviceV4, serviceV6] };

/** As many as the cluster has families, in their order, with a comma between. */
function subnets(value: unknown, rules: readonly SubnetRule[], at: string, problems: string[]): string {
  if (value === undefined) return rules.map(({ byDefault }) => byDefault).join(',');
  const written = text(value, at, problems);
  const parts = written.split(',');
  const isGood = parts.length === rules.length && rules.every((rule, i) => isWithin(parts[i] ?? '', rule));
  if (!isGood) {
    const expected = rules.map(({ isV6, prefixMin, prefixMax }) => {
      return `an ${isV6 ? 'IPv6' : 'IPv4'} network from /${prefixMin} to /${prefixMax}`;
    });
    problems.push(`${at} must be ${expected.join(', a comma and ')}: "${written}"`);
  }
  return written;
}

function isWithin(cidr: string, { isV6, prefixMin, prefixMax }: SubnetRule): boolean {
  const network = isV6 ? parseIpv6Network(cidr) : parseIpv4Network(cidr);
  return network !== undefined && network.prefixLength >= prefixMin && network.prefixLength <= prefixMax;
}

/** How many nodes' parts there are in a pod subnet; any number in one that cannot be read, which is told elsewhere. */
function podNetworksIn(podSubnet: string): number {
  const v4 = parseIpv4Network(podSubnet);
  if (v4 !== undefined) return 2 ** (nodePodPrefixLength - v4.prefixLength);
  const v6 = parseIpv6Network(podSubnet);
  return v6 === undefined ? Infinity : 2 ** (nodePodPrefixLengthV6 - v6.prefixLength);
}

function ipFamilyOf(value: unknown, problems: string[]): ClusterConfig['ipFamily'] {
  if (value === 'ipv4' || value === 'dual') return value;
  problems.push(
    value === 'ipv6'
      ? 'networking.ipFamily "ipv6" is not supported: use "ipv4" or "dual"'
      : `networking.ipFamily must be "ipv4" or "dual": ${JSON.stringify(value)}`,
  );
  return 'ipv4';
}

function kubeProxyModeOf(value: unknown, problems: string[]): KubeProxyMode {
  const mode = kubeProxyModes.find((known) => known === value);
  if (mode === undefined) {
    problems.push(`networking.kubeProxyMode must be one of ${kubeProxyModes.join(', ')}: ${JSON.stringify(value)}`);
  }
  return mode ?? 'iptables';
}

function flag(value: unknown, at: string, problems: string[]): boolean {
  if (typeof value !== 'boolean') problems.push(`${at} must be true or false: ${JSON.stringify(value)}`);
  return value === true;
}

function domains(value: unknown, at: string, problems: string[]): string[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) {
    problems.push(`${at} must be a list of domains`);
    return undefined;
  }
  return value.map((entry: unknown, i) => {
    const domain = text(entry, `${at}[${i}]`, problems);
    if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.?$/i.test(domain)) problems.push(`${at}[${i}] is no domain: "${domain}"`);
    return domain;
  });
}

function text(value: unknown, at: string, problems: string[]): string {
  if (typeof value === 'string') return value;
  problems.push(`${at} must be text`);
  return '';
}

function asObject(value: unknown, at: string, problems: string[]): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>; // checked
  problems.push(`${at} must be an object`);
  return {};
}

function refuseUnknown(
  prefix: string,
  value: Record<string, unknown>,
  known: readonly string[],
  problems: string[],
): void {
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) problems.push(`"${prefix}${key}" is not supported: leave it out`);
  }
}
