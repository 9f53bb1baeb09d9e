/** The name service of a pod: what the runtime writes into its `/etc/resolv.conf`. Pure. */
import type { DNSConfig } from '../../../adapters/cri/generated/runtime/v1/DNSConfig.ts';
import type { Pod, PodDNSConfig } from '../../../objects/generated/core-v1.ts';
import { podDescription } from '../../pod-model.ts';

/** A resolv.conf, ours or the host's. */
export type Resolver = Required<DNSConfig>;

export interface DnsOptions {
  /** Addresses of the cluster's name service; none means that there is none. */
  clusterDns: readonly string[];
  /** `cluster.local`; empty when the cluster has no domain. */
  clusterDomain: string;
  /** The host's resolv.conf; undefined when the kubelet was told to use none (`resolvConf: ""`). */
  host: Resolver | undefined;
  /** IP families of the node, the primary first. */
  nodeIps: readonly string[];
}

export interface DnsEvent {
  /** What the event is about. */
  on: 'pod' | 'node';
  type: 'Warning';
  reason: 'MissingClusterDNS' | 'DNSConfigForming';
  message: string;
}

const nameserversMax = 3;
const searchesMax = 32;
const searchLengthMax = 253;
const searchLineMax = 2048;

/** A pod's configuration, and what its user should know about it. */
export function dnsConfig(pod: Pod, options: DnsOptions): { config: Resolver; events: DnsEvent[] } {
  const events: DnsEvent[] = [];
  const base = baseConfig(pod, options, events);
  return { config: limited(merged(base, pod.spec.dnsConfig), events), events };
}

function baseConfig(pod: Pod, options: DnsOptions, events: DnsEvent[]): Resolver {
  const { dnsPolicy = 'ClusterFirst', hostNetwork } = pod.spec;
  if (dnsPolicy === 'None') return { servers: [], searches: [], options: [] };
  if (dnsPolicy === 'Default' || (dnsPolicy === 'ClusterFirst' && hostNetwork === true)) return hostConfig(options);
  // Policies that we don't know are taken for cluster first, as upstream takes them.
  if (options.clusterDns.length === 0) {
    const message =
      `kubelet does not have ClusterDNS IP configured and cannot create Pod using "${dnsPolicy}" policy. ` +
      'Falling back to "Default" policy.';
    const reason = 'MissingClusterDNS';
    events.push({ on: 'node', type: 'Warning', reason, message });
    events.push({ on: 'pod', type: 'Warning', reason, message: `pod: "${podDescription(pod)}". ${message}` });
    return hostConfig(options);
  }
  const { clusterDomain: domain } = options;
  const namespace = pod.metadata.namespace ?? 'default';
  const ofCluster = domain === '' ? [] : [`${namespace}.svc.${domain}`, `svc.${domain}`, domain];
  return {
    servers: [...options.clusterDns],
    searches: distinct([...ofCluster, ...(options.host?.searches ?? [])]),
    options: ['ndots:5'],
  };
}

function hostConfig({ host, nodeIps }: DnsOptions): Resolver {
  if (host !== undefined) return host;
  const servers = distinct(nodeIps.map((ip) => (ip.includes(':') ? '::1' : '127.0.0.1')));
  if (servers.length === 0) servers.push('127.0.0.1'); // a node that does not know its address yet
  return { servers, searches: ['.'], options: [] };
}

function merged(base: Resolver, own: PodDNSConfig | undefined): Resolver {
  if (own === undefined) return base;
  const options = new Map(base.options.map((option): [string, string] => [optionName(option), option]));
  for (const { name, value } of own.options ?? []) {
    if (name === undefined || name === '') continue;
    options.set(name, value === undefined || value === '' ? name : `${name}:${value}`);
  }
  return {
    servers: distinct([...base.servers, ...(own.nameservers ?? [])]),
    searches: distinct([...base.searches, ...(own.searches ?? [])]),
    options: [...options.values()],
  };
}

const optionName = (option: string): string => option.split(':', 1)[0] ?? option;

function limited({ servers, searches, options }: Resolver, events: DnsEvent[]): Resolver {
  const applied = { servers: servers.slice(0, nameserversMax), searches: limitedSearches(searches), options };
  const note = (message: string): void => {
    events.push({ on: 'pod', type: 'Warning', reason: 'DNSConfigForming', message });
  };
  if (applied.servers.length < servers.length) {
    note(
      'Nameserver limits were exceeded, some nameservers have been omitted, ' +
        `the applied nameserver line is: ${applied.servers.join(' ')}`,
    );
  }
  if (applied.searches.length < searches.length) {
    note(
      'Search Line limits were exceeded, some search paths have been omitted, ' +
        `the applied search line is: ${applied.searches.join(' ')}`,
    );
  }
  return applied;
}

function limitedSearches(searches: readonly string[]): string[] {
  const kept = searches.slice(0, searchesMax).filter((search) => search.length <= searchLengthMax);
  while (kept.join(' ').length > searchLineMax) kept.pop();
  return kept;
}

const distinct = (texts: readonly string[]): string[] => [...new Set(texts)];

/** Reads a resolv.conf. @throws {Error} when a `nameserver` line names nobody */
export function parseResolvConf(text: string): Resolver {
  const servers: string[] = [];
  let searches: string[] = [];
  const options = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [keyword = '', ...words] = line.trim().split(/\s+/);
    if (keyword.startsWith('#')) continue;
    if (keyword === 'nameserver') {
      const [server] = words;
      if (server === undefined) throw new Error('nameserver list is empty ');
      servers.push(server);
    } else if (keyword === 'search') {
      searches = words.map((word) => word.replace(/\.$/, '')).filter((word) => word !== ''); // the last line counts
    } else if (keyword === 'options') {
      for (const word of words) options.set(optionName(word), word);
    }
  }
  return { servers, searches, options: [...options.values()] };
}

/** Complaints about the host's own file, once at start. @param hasClusterDomain pods need three paths for themselves */
export function checkHostResolver(file: string, { searches }: Resolver, hasClusterDomain: boolean): string[] {
  const max = searchesMax - (hasClusterDomain ? 3 : 0);
  const problems: string[] = [];
  if (searches.length > max) {
    problems.push(`Resolv.conf file '${file}' contains search line consisting of more than ${max} domains!`);
  }
  if (searches.join(' ').length > searchLineMax) {
    problems.push(
      `Resolv.conf file '${file}' contains search line which length is more than allowed ${searchLineMax} chars!`,
    );
  }
  return problems;
}
