/** `KubeProxyConfiguration`, from a file or from flags, as a `ProxyConfig`: every problem at once. Pure. */
import { ConfigError } from '../base/errors.ts';
import { familyOfIp, parseCidr } from './compute/ip-ranges.ts';
import { FieldReader, isRecord } from './config-fields.ts';
import {
  type IpvsConfig,
  type ListenAddress,
  type LocalDetection,
  type ProxyConfig,
  type ProxyMode,
  proxyModes,
} from './proxy-config.ts';

const apiVersion = 'kubeproxy.config.k8s.io/v1alpha1';
const kind = 'KubeProxyConfiguration';

export interface ParseOptions {
  /** Names the source in messages: the file's path, or "flags". */
  source: string;
  /** Whether a zero duration is what was meant (flags) or the same as nothing (files). */
  isZeroMeant: boolean;
  /** Modes that have a back end; by default all. */
  servedModes?: readonly ProxyMode[] | undefined;
  /** Log verbosity given by flag, which wins over the file's. */
  verbosity?: number | undefined;
  /** Node name given by flag, which wins over the file's. */
  hostnameOverride?: string | undefined;
}

/** @throws {ConfigError} with every unknown field, wrong value and value that we do not serve */
export function parseProxyConfig(document: unknown, options: ParseOptions): ProxyConfig {
  const what = `Cannot use the kube-proxy configuration from ${options.source}`;
  if (!isRecord(document)) throw new ConfigError(what, ['it is not an object']);
  const problems: string[] = [];
  const read = new FieldReader(document, problems);
  const isFromFile = !options.isZeroMeant;
  if (isFromFile && (read.text('apiVersion') !== apiVersion || read.text('kind') !== kind)) {
    problems.push(
      `apiVersion and kind must be "${apiVersion}" and "${kind}": "${read.text('apiVersion')}" and "${read.text('kind')}"`,
    );
  }
  refuseUnserved(read, problems);
  const mode = parseMode(read.text('mode'), options.servedModes ?? proxyModes, problems);
  // mode ipvs has periods of its own, and masquerades as iptables does
  const masquerade = mode === 'nftables' ? 'nftables' : 'iptables';

  const bindAddress = read.text('bindAddress') || '0.0.0.0';
  if (familyOfIp(bindAddress) === undefined) problems.push(`bindAddress must be an IP address: "${bindAddress}"`);
  const isIpv6 = familyOfIp(bindAddress) === 'IPv6';
  // an explicit empty health address switches the server off by flag only: in a file it cannot be told from unset
  const healthzText =
    read.any('healthzBindAddress') === '' && options.isZeroMeant ? undefined : read.text('healthzBindAddress');
  const zeroIsUnset = !options.isZeroMeant;

  const config: ProxyConfig = {
    mode,
    kubeconfig: read.text('clientConnection.kubeconfig'),
    clientQps: positiveOr(read.any('clientConnection.qps'), 5),
    clientBurst: positiveOr(read.any('clientConnection.burst'), 10),
    hostnameOverride: (options.hostnameOverride ?? read.text('hostnameOverride')).trim().toLowerCase(),
    bindAddress,
    healthz:
      healthzText === undefined
        ? undefined
        : parseListen('healthzBindAddress', healthzText || (isIpv6 ? '[::]:10256' : '0.0.0.0:10256'), 10256, problems),
    metrics: parseListen(
      'metricsBindAddress',
      read.text('metricsBindAddress') || (isIpv6 ? '[::1]:10249' : '127.0.0.1:10249'),
      10249,
      problems,
    ),
    bindAddressHardFail: read.flag('bindAddressHardFail', false),
    masqueradeBit: read.number(`${masquerade}.masqueradeBit`, 14),
    masqueradeAll: read.flag(`${masquerade}.masqueradeAll`, false),
    localhostNodePorts: read.flag('iptables.localhostNodePorts', true),
    syncPeriodMs: read.durationMs(`${mode}.syncPeriod`, 30_000, zeroIsUnset),
    minSyncPeriodMs: read.durationMs(`${mode}.minSyncPeriod`, mode === 'ipvs' ? 0 : 1000, zeroIsUnset),
    ipvs: parseIpvs(read, problems),
    localDetection: parseDetection(read, problems),
    nodePortAddresses: parseNodePortAddresses(read.texts('nodePortAddresses'), mode, problems),
    oomScoreAdj: read.number('oomScoreAdj', -999),
    conntrack: {
      maxPerCore: read.number('conntrack.maxPerCore', 32_768),
      min: read.number('conntrack.min', 131_072),
      tcpEstablishedTimeoutMs: read.durationMs('conntrack.tcpEstablishedTimeout', 86_400_000, false),
      tcpCloseWaitTimeoutMs: read.durationMs('conntrack.tcpCloseWaitTimeout', 3_600_000, false),
      udpTimeoutMs: read.durationMs('conntrack.udpTimeout', 0, false),
      udpStreamTimeoutMs: read.durationMs('conntrack.udpStreamTimeout', 0, false),
      tcpBeLiberal: read.flag('conntrack.tcpBeLiberal', false),
    },
    verbosity: options.verbosity ?? verbosityOf(read.any('logging')),
  };

  checkRange(`${masquerade}.masqueradeBit`, config.masqueradeBit, 0, 31, problems);
  checkRange('oomScoreAdj', config.oomScoreAdj, -1000, 1000, problems);
  if (config.conntrack.maxPerCore < 0) problems.push('conntrack.maxPerCore must be 0 or more');
  if (config.conntrack.min < 0) problems.push('conntrack.min must be 0 or more');
  if (config.syncPeriodMs <= 0) problems.push(`${mode}.syncPeriod must be greater than 0`);
  if (config.minSyncPeriodMs > config.syncPeriodMs) {
    problems.push(`${mode}.minSyncPeriod must not be longer than ${mode}.syncPeriod`);
  }
  if (problems.length > 0) throw new ConfigError(what, problems);
  return config;
}

/** Fields that upstream knows and we do not serve yet: a value that would be ignored is refused by name. */
function refuseUnserved(read: FieldReader, problems: string[]): void {
  if (read.flag('enableProfiling', false)) problems.push('enableProfiling is not served: set it to false');
  if (read.flag('windowsRunAsService', false)) problems.push('windowsRunAsService is for Windows: set it to false');
  if (read.text('showHiddenMetricsForVersion') !== '') {
    problems.push('showHiddenMetricsForVersion is not served: no metrics are hidden; leave it out');
  }
  const gates = read.any('featureGates');
  if (gates !== undefined && (!isRecord(gates) || Object.keys(gates).length > 0)) {
    const names = isRecord(gates) ? Object.keys(gates).join(', ') : JSON.stringify(gates);
    problems.push(`featureGates are not served (${names}): leave them out, each has the default of 1.36`);
  }
  const winkernel = read.any('winkernel');
  if (isRecord(winkernel) && Object.values(winkernel).some((value) => Boolean(value))) {
    problems.push('winkernel is for Windows: leave it out');
  }
}

function parseMode(text: string, served: readonly ProxyMode[], problems: string[]): ProxyMode {
  if (text === '') return 'iptables';
  const mode = proxyModes.find((known) => known === text);
  const choice = `must be ${served.toSorted().join(', ')} or blank (blank means iptables)`;
  if (mode === undefined) problems.push(`mode "${text}" is unknown: ${choice}`);
  else if (!served.includes(mode)) problems.push(`mode "${mode}" is not served yet: ${choice}`);
  return mode ?? 'iptables';
}

function parseIpvs(read: FieldReader, problems: string[]): IpvsConfig {
  const excludeCidrs = read.texts('ipvs.excludeCIDRs');
  for (const text of excludeCidrs) {
    if (parseCidr(text) === undefined) problems.push(`ipvs.excludeCIDRs must be CIDRs: "${text}"`);
  }
  return {
    scheduler: read.text('ipvs.scheduler') || 'rr',
    excludeCidrs,
    strictArp: read.flag('ipvs.strictARP', false),
    tcpTimeoutMs: read.durationMs('ipvs.tcpTimeout', 0, false),
    tcpFinTimeoutMs: read.durationMs('ipvs.tcpFinTimeout', 0, false),
    udpTimeoutMs: read.durationMs('ipvs.udpTimeout', 0, false),
  };
}

function parseDetection(read: FieldReader, problems: string[]): LocalDetection {
  const mode = read.text('detectLocalMode') || 'ClusterCIDR';
  const clusterCidrs = read
    .text('clusterCIDR')
    .split(',')
    .map((cidr) => cidr.trim())
    .filter((cidr) => cidr !== '');
  const families = clusterCidrs.map((cidr) => parseCidr(cidr)?.family);
  if (families.includes(undefined)) problems.push(`clusterCIDR must be CIDRs: "${clusterCidrs.join(',')}"`);
  if (clusterCidrs.length > 2 || (clusterCidrs.length === 2 && families[0] === families[1])) {
    problems.push('clusterCIDR must be one CIDR, or two of different IP families');
  }
  switch (mode) {
    case 'ClusterCIDR':
      return { mode, clusterCidrs };
    case 'NodeCIDR':
      return { mode };
    case 'BridgeInterface': {
      const bridgeInterface = read.text('detectLocal.bridgeInterface');
      if (!isInterfaceName(bridgeInterface)) {
        problems.push(`detectLocal.bridgeInterface must be an interface's name: "${bridgeInterface}"`);
      }
      return { mode, bridgeInterface };
    }
    case 'InterfaceNamePrefix': {
      const interfaceNamePrefix = read.text('detectLocal.interfaceNamePrefix');
      if (!isInterfaceName(interfaceNamePrefix)) {
        problems.push(
          `detectLocal.interfaceNamePrefix must be the start of an interface's name: "${interfaceNamePrefix}"`,
        );
      }
      return { mode, interfaceNamePrefix };
    }
    default:
      problems.push(`detectLocalMode must be ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix: "${mode}"`);
      return { mode: 'ClusterCIDR', clusterCidrs };
  }
}

function parseNodePortAddresses(texts: readonly string[], mode: ProxyMode, problems: string[]): readonly string[] {
  if (texts.length === 0 && mode === 'nftables') return ['primary'];
  if (texts.includes('primary')) {
    if (texts.length > 1) problems.push("nodePortAddresses: can't use both 'primary' and CIDRs");
    return texts;
  }
  for (const text of texts) {
    if (parseCidr(text) === undefined) problems.push(`nodePortAddresses must be CIDRs or 'primary': "${text}"`);
  }
  return texts;
}

/** `IP`, `IP:port` or `[IP]:port`; the port is `portDefault` where none is given. */
function parseListen(field: string, text: string, portDefault: number, problems: string[]): ListenAddress {
  const match = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? /^([\d.]+)(?::(\d+))?$/.exec(text);
  const host = match === null && familyOfIp(text) === 'IPv6' ? text : (match?.[1] ?? '');
  const port = Number(match?.[2] ?? portDefault);
  if (familyOfIp(host) === undefined || port < 1 || port > 65_535) problems.push(`${field} must be IP:port: "${text}"`);
  return { host, port };
}

const isInterfaceName = (name: string): boolean => /^[\w.:-]{1,15}$/.test(name);

function checkRange(field: string, value: number, min: number, max: number, problems: string[]): void {
  if (value < min || value > max) problems.push(`${field} must be within the range [${min}, ${max}]: ${value}`);
}

/** Zero and negative mean "the default", as kubeadm writes them. */
function positiveOr(value: unknown, fallback: number): number {
  return typeof value === 'number' && value > 0 ? value : fallback;
}

function verbosityOf(logging: unknown): number {
  const verbosity = isRecord(logging) ? logging['verbosity'] : undefined;
  return typeof verbosity === 'number' ? verbosity : 0;
}
