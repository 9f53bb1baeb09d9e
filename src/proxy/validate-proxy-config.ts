/** Upstream's checks of a `KubeProxyConfiguration`, with its paths and words. Pure. */
import { familyOfIp, parseCidr } from './compute/ip-ranges.ts';
import { type FieldReader, parseDurationMs } from './config-fields.ts';
import type { ProxyMode } from './proxy-config.ts';

const root = 'KubeProxyConfiguration';
const localModes = ['BridgeInterface', 'ClusterCIDR', 'InterfaceNamePrefix', 'NodeCIDR'];
/** Hidden metrics of one version back may be shown again; there are none. */
const previousVersion = '1.35';

/** @param read a document with all defaults */
export function validateProxyConfig(read: FieldReader, mode: ProxyMode, served: readonly ProxyMode[]): string[] {
  const problems: string[] = [];
  const invalid = (path: string, value: unknown, what: string): void => {
    problems.push(`${root}.${path}: Invalid value: ${JSON.stringify(value)}: ${what}`);
  };
  const checkCidrs = (path: string, texts: readonly string[]): void => {
    for (const [i, text] of texts.entries()) {
      if (parseCidr(text) === undefined) invalid(`${path}[${i}]`, text, 'must be a valid CIDR');
    }
  };
  const checkBit = (section: string, path: string): void => {
    const bit = read.number(`${section}.masqueradeBit`, 14);
    if (bit < 0 || bit > 31) invalid(`${path}.MasqueradeBit`, bit, 'must be within the range [0, 31]');
  };
  const duration = (path: string): { text: string; ms: number } => {
    const text = read.text(path);
    return { text, ms: parseDurationMs(text) ?? 0 };
  };
  const atLeastZero = (section: string, field: string, path: string): void => {
    const { text, ms } = duration(`${section}.${field}`);
    if (ms < 0) invalid(path, text, 'must be greater than or equal to 0');
  };

  if (!served.includes(mode) || read.text('mode') !== mode) {
    const choice = `must be ${served.toSorted().join(', ')} or blank (blank means the best-available proxy [currently iptables])`;
    invalid('Mode', read.text('mode'), choice);
  }
  checkBit('iptables', 'KubeProxyIPTablesConfiguration');
  if (mode === 'nftables') checkBit('nftables', 'KubeProxyNFTablesConfiguration');
  if (mode === 'ipvs') {
    for (const [field, name] of [
      ['tcpTimeout', 'TCPTimeout'],
      ['tcpFinTimeout', 'TCPFinTimeout'],
      ['udpTimeout', 'UDPTimeout'],
    ] as const) {
      atLeastZero('ipvs', field, `KubeProxyIPVSConfiguration.${name}`);
    }
    checkCidrs('KubeProxyIPVSConfiguration.ExcludeCIDRs', read.texts('ipvs.excludeCIDRs'));
  }
  for (const [field, name] of [
    ['maxPerCore', 'MaxPerCore'],
    ['min', 'Min'],
  ] as const) {
    const value = read.number(`conntrack.${field}`, 0);
    if (value < 0) invalid(`KubeProxyConntrackConfiguration.${name}`, value, 'must be greater than or equal to 0');
  }
  for (const [field, name] of [
    ['tcpEstablishedTimeout', 'TCPEstablishedTimeout'],
    ['tcpCloseWaitTimeout', 'TCPCloseWaitTimeout'],
    ['udpTimeout', 'UDPTimeout'],
    ['udpStreamTimeout', 'UDPStreamTimeout'],
  ] as const) {
    atLeastZero('conntrack', field, `KubeProxyConntrackConfiguration.${name}`);
  }
  const burst = read.number('clientConnection.burst', 10);
  if (burst < 0) invalid('ClientConnection.Burst', burst, 'must be non-negative');
  const score = read.number('oomScoreAdj', 0);
  if (score < -1000 || score > 1000) invalid('OOMScoreAdj', score, 'must be within the range [-1000, 1000]');

  const sync = duration(`${mode}.syncPeriod`);
  const minSync = duration(`${mode}.minSyncPeriod`);
  if (sync.ms <= 0) invalid('SyncPeriod', sync.text, 'must be greater than 0');
  if (minSync.ms < 0) invalid('MinSyncPeriod', minSync.text, 'must be greater than or equal to 0');
  if (minSync.ms > sync.ms) {
    invalid('SyncPeriod', sync.text, `must be greater than or equal to ${root}.MinSyncPeriod`);
  }
  const configSync = duration('configSyncPeriod');
  if (configSync.ms <= 0) invalid('ConfigSyncPeriod', configSync.text, 'must be greater than 0');

  const bindAddress = read.text('bindAddress');
  if (familyOfIp(bindAddress) === undefined) {
    invalid('BindAddress', bindAddress, 'not a valid textual representation of an IP address');
  }
  const checkListen = (path: string, text: string): void => {
    const listen = splitHostPort(text);
    if (listen === undefined) return invalid(path, text, 'must be IP:port');
    if (familyOfIp(listen.host) === undefined) invalid(path, listen.host, 'must be a valid IP');
    const port = /^\d+$/.test(listen.port) ? Number(listen.port) : 0;
    if (port < 1 || port > 65_535) invalid(path, listen.port, 'must be a valid port');
  };
  const healthz = read.text('healthzBindAddress');
  if (healthz !== '') checkListen('HealthzBindAddress', healthz);
  checkListen('MetricsBindAddress', read.text('metricsBindAddress'));

  const nodePorts = read.texts('nodePortAddresses');
  if (!nodePorts.includes('primary')) checkCidrs('NodePortAddresses', nodePorts);
  else if (nodePorts.length > 1) {
    invalid(`NodePortAddresses[${nodePorts.indexOf('primary')}]`, 'primary', "can't use both 'primary' and CIDRs");
  }
  const version = read.text('showHiddenMetricsForVersion');
  if (version !== '' && version !== previousVersion) {
    invalid('ShowHiddenMetricsForVersion', version, `must be omitted or have the value '${previousVersion}'`);
  }
  checkDetection(read, invalid);
  return problems;
}

function checkDetection(read: FieldReader, invalid: (path: string, value: unknown, what: string) => void): void {
  const mode = read.text('detectLocalMode');
  if (!localModes.includes(mode)) {
    invalid('DetectLocalMode', mode, `must be ${localModes.join(', ')} or blank (blank means ClusterCIDR)`);
  }
  const notEmpty = 'must be the name of an interface, or the start of one';
  const name = read.text('detectLocal.bridgeInterface');
  const prefix = read.text('detectLocal.interfaceNamePrefix');
  if (mode === 'BridgeInterface' && !isInterfaceName(name)) invalid('DetectLocal.BridgeInterface', name, notEmpty);
  if (mode === 'InterfaceNamePrefix' && !isInterfaceName(prefix)) {
    invalid('DetectLocal.InterfaceNamePrefix', prefix, notEmpty);
  }
  const cidrs = clusterCidrsOf(read);
  const text = read.text('clusterCIDR');
  const families = cidrs.map((cidr) => parseCidr(cidr)?.family);
  if (cidrs.length > 2 || (cidrs.length === 2 && families[0] !== undefined && families[0] === families[1])) {
    const choice = 'only one CIDR allowed or a valid DualStack CIDR (e.g. 10.100.0.0/16,fde4:8dba:82e1::/48)';
    invalid('ClusterCIDR', text, choice);
  } else if (families.includes(undefined)) {
    invalid('ClusterCIDR', text, 'must be a valid CIDR block (e.g. 10.100.0.0/16 or fde4:8dba:82e1::/48)');
  }
}

export function clusterCidrsOf(read: FieldReader): string[] {
  return read
    .text('clusterCIDR')
    .split(',')
    .map((cidr) => cidr.trim())
    .filter((cidr) => cidr !== '');
}

/** `IP:port` or `[IP]:port`. */
export function splitHostPort(text: string): { host: string; port: string } | undefined {
  const match = /^\[([^\]]*)\]:([^:]*)$/.exec(text) ?? /^([^:]*):([^:]*)$/.exec(text);
  return match === null ? undefined : { host: match[1] ?? '', port: match[2] ?? '' };
}

/** It becomes part of rules: nothing that a kernel would not take as an interface's name. */
const isInterfaceName = (name: string): boolean => /^[\w.:-]{1,15}$/.test(name);
