/** The flags of `gantry cluster-dns` as one checked value. Pure. */
import { isIP } from 'node:net';
import { ConfigError } from '../base/errors.ts';
import type { ZoneConfig } from './answer/zone-model.ts';
import type { ForwardConfig } from './forward/forwarder.ts';
import type { UpstreamAddress } from './forward/upstream.ts';

export interface ListenAddress {
  /** '' for every address. */
  host: string;
  port: number;
}

export interface DnsConfig {
  zone: Omit<ZoneConfig, 'ownAddresses'>;
  forward: ForwardConfig;
  listen: ListenAddress;
  health: ListenAddress | undefined;
  ready: ListenAddress | undefined;
  metrics: ListenAddress | undefined;
  /** How long it goes on answering after it was asked to stop. */
  lameduckMs: number;
}

export interface DnsFlags {
  clusterDomain: string;
  ttl: string;
  pods: string;
  listen: string;
  healthAddress: string;
  readyAddress: string;
  metricsAddress: string;
  upstream: readonly string[];
  forwardPolicy: string;
  cacheTtl: string;
  cacheSize: string;
  lameduck: string;
}

export const defaultFlags: DnsFlags = {
  clusterDomain: 'cluster.local',
  ttl: '30',
  pods: 'insecure',
  listen: ':53',
  healthAddress: ':8080',
  readyAddress: ':8181',
  metricsAddress: ':9153',
  upstream: [],
  forwardPolicy: 'random',
  cacheTtl: '30',
  cacheSize: '9984',
  lameduck: '5s',
};

const dnsPort = 53;
/** As many as CoreDNS takes. */
const upstreamsMax = 15;
const cacheBytesMax = 8 * 1024 * 1024;

/**
 * @param resolvConf the text of the file whose name servers are asked when no flag names any
 * @throws {ConfigError} with every problem at once
 */
export function parseDnsConfig(flags: DnsFlags, resolvConf: string): DnsConfig {
  const problems: string[] = [];
  const number = (flag: string, text: string, max: number): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value <= max) return value;
    problems.push(`${flag} must be a whole number from 0 to ${max}: "${text}"`);
    return 0;
  };
  const choice = <T extends string>(flag: string, text: string, choices: readonly [T, ...T[]]): T => {
    const found = choices.find((known) => known === text);
    if (found === undefined) problems.push(`${flag} must be one of ${choices.join(', ')}: "${text}"`);
    return found ?? choices[0];
  };
  const address = (flag: string, text: string): ListenAddress => {
    const found = parseAddress(text, undefined);
    if (found === undefined) problems.push(`${flag} must be an address like ":53" or "10.0.0.1:53": "${text}"`);
    return found ?? { host: '', port: 0 };
  };
  const domain = flags.clusterDomain.toLowerCase().replace(/\.$/, '');
  if (
    domain.length > 200 ||
    !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/.test(domain)
  ) {
    problems.push(`--cluster-domain must be a domain name: "${flags.clusterDomain}"`);
  }
  const config: DnsConfig = {
    zone: {
      domain,
      ttl: number('--ttl', flags.ttl, 3600),
      podMode: choice('--pods', flags.pods, ['disabled', 'insecure', 'verified']),
    },
    forward: {
      upstreams: flags.upstream.length === 0 ? parseResolvConf(resolvConf) : parseUpstreams(flags.upstream, problems),
      policy: choice('--forward-policy', flags.forwardPolicy, ['random', 'round_robin', 'sequential']),
      cache: {
        ttlMax: number('--cache-ttl', flags.cacheTtl, 86_400),
        entriesMax: number('--cache-size', flags.cacheSize, 100_000),
        bytesMax: cacheBytesMax,
      },
      tryTimeoutMs: 2000,
      timeoutMs: 5000,
      concurrentMax: 1000,
    },
    listen: address('--listen', flags.listen),
    health: flags.healthAddress === '' ? undefined : address('--health-address', flags.healthAddress),
    ready: flags.readyAddress === '' ? undefined : address('--ready-address', flags.readyAddress),
    metrics: flags.metricsAddress === '' ? undefined : address('--metrics-address', flags.metricsAddress),
    lameduckMs: durationMs(flags.lameduck, problems),
  };
  if (problems.length > 0) throw new ConfigError('Cannot use the flags', problems);
  return config;
}

/** The name servers of a `resolv.conf`. */
export function parseResolvConf(text: string): UpstreamAddress[] {
  const hosts = text.split('\n').flatMap((line) => {
    const [word, host = ''] = line.trim().split(/\s+/);
    return word === 'nameserver' && isIP(host) !== 0 ? [host] : [];
  });
  return [...new Set(hosts)].slice(0, upstreamsMax).map((host) => ({ host, port: dnsPort }));
}

function parseUpstreams(texts: readonly string[], problems: string[]): UpstreamAddress[] {
  if (texts.length > upstreamsMax) problems.push(`--upstream may be given ${upstreamsMax} times: ${texts.length}`);
  return texts.flatMap((text) => {
    const found = parseAddress(text, dnsPort);
    if (found !== undefined && found.host !== '' && found.port !== 0) return [found];
    problems.push(`--upstream must be an address like "192.0.2.1" or "[2001:db8::1]:5353": "${text}"`);
    return [];
  });
}

/** `host:port`, `[host]:port`, `:port`, and, where there is a port to be taken then, `host`. */
function parseAddress(text: string, defaultPort: number | undefined): ListenAddress | undefined {
  if (defaultPort !== undefined && isIP(text) !== 0) return { host: text, port: defaultPort };
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const host = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  return port <= 65_535 && (host === '' || isIP(host) !== 0) ? { host, port } : undefined;
}

function durationMs(text: string, problems: string[]): number {
  const match = /^(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?$/.exec(text);
  if (match === null || text === '') {
    problems.push(`--lameduck must be a duration like "5s": "${text}"`);
    return 0;
  }
  const [minutes = 0, seconds = 0, ms = 0] = match.slice(1).map((part) => Number(part ?? 0));
  return (minutes * 60 + seconds) * 1000 + ms;
}
