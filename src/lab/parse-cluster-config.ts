/**
 * What a user asks for: kind's config file (v1alpha4) and the flags of `gantry lab create`, as one checked value.
 * A field that we do not honour is refused by name.
 */
import { parse } from 'yaml';
import { ConfigError } from '../base/errors.ts';
import { parseIpv4Network } from './ipv4-network.ts';

export interface NodeConfig {
  role: 'control-plane' | 'worker';
  labels: Readonly<Record<string, string>>;
}

export interface ClusterConfig {
  name: string;
  /** The first one, and only it, runs the control plane. */
  nodes: readonly NodeConfig[];
  podSubnet: string;
  serviceSubnet: string;
}

export interface ConfigFlags {
  name?: string | undefined;
  nodes?: string | undefined;
}

export const defaultClusterName = 'gantry';
const nodesMax = 100;
/** Every node gets a part of the pod subnet of this size. */
export const nodePodPrefixLength = 24;
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
  refuseUnknown('networking.', networking, ['podSubnet', 'serviceSubnet'], problems);
  const config: ClusterConfig = {
    name: flags.name ?? text(top['name'] ?? defaultClusterName, 'name', problems),
    nodes:
      flags.nodes === undefined ? nodesOf(top['nodes'], problems) : nodesFromFlag(flags.nodes, top['nodes'], problems),
    podSubnet: subnet(networking['podSubnet'] ?? '10.244.0.0/16', 'networking.podSubnet', 20, problems),
    serviceSubnet: subnet(networking['serviceSubnet'] ?? '10.96.0.0/16', 'networking.serviceSubnet', 24, problems),
  };
  problems.push(...clusterNameProblems(config.name));
  if (config.nodes.length > nodesMax) problems.push(`at most ${nodesMax} nodes are possible: ${config.nodes.length}`);
  const podNetworksMax = 2 ** (nodePodPrefixLength - (parseIpv4Network(config.podSubnet)?.prefixLength ?? 0));
  if (config.nodes.length > podNetworksMax) {
    problems.push(
      `networking.podSubnet ${config.podSubnet} is for ${podNetworksMax} nodes, not ${config.nodes.length}`,
    );
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

function subnet(value: unknown, at: string, prefixMax: number, problems: string[]): string {
  const written = text(value, at, problems);
  const network = parseIpv4Network(written);
  if (network === undefined || network.prefixLength > prefixMax || network.prefixLength < 8) {
    problems.push(`${at} must be an IPv4 network from /8 to /${prefixMax}: "${written}"`);
  }
  return written;
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
