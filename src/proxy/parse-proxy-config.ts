/** `KubeProxyConfiguration`, from a file or from flags, as a `ProxyConfig`: every problem at once. Pure. */
import { ConfigError } from '../base/errors.ts';
import { FieldReader, isRecord } from './config-fields.ts';
import { configApiVersion, configKind, defaultedDocument } from './default-proxy-config.ts';
import {
  type IpvsConfig,
  type ListenAddress,
  type LocalDetection,
  type ProxyConfig,
  type ProxyMode,
  proxyModes,
} from './proxy-config.ts';
import { parseProxyGates } from './proxy-gates.ts';
import { clusterCidrsOf, splitHostPort, validateProxyConfig } from './validate-proxy-config.ts';

export interface ParseOptions {
  /** Names the source in messages: the file's path, or "flags". */
  source: string;
  /** Whether a zero or an empty text is what was meant (flags) or the same as nothing (files). */
  isZeroMeant: boolean;
  /** Modes that have a back end; by default all. */
  servedModes?: readonly ProxyMode[] | undefined;
  /** Log verbosity given by flag, which wins over the file's. */
  verbosity?: number | undefined;
  /** Node name given by flag, which wins over the file's. */
  hostnameOverride?: string | undefined;
}

/** @throws {ConfigError} with every wrong value and every value that we do not serve; unknown fields are warnings */
export function parseProxyConfig(raw: unknown, options: ParseOptions): ProxyConfig {
  const what = `Cannot use the kube-proxy configuration from ${options.source}`;
  if (!isRecord(raw)) throw new ConfigError(what, ['it is not an object']);
  const isFromFile = !options.isZeroMeant;
  const problems: string[] = [];
  const unknown: string[] = [];
  if (isFromFile && (raw['apiVersion'] !== configApiVersion || raw['kind'] !== configKind)) {
    const found = `${JSON.stringify(raw['apiVersion'])} and ${JSON.stringify(raw['kind'])}`;
    problems.push(`apiVersion and kind must be "${configApiVersion}" and "${configKind}": ${found}`);
  }
  new FieldReader(raw, problems, unknown); // looks at the types of all fields, too
  if (problems.length > 0) throw new ConfigError(what, problems);
  const warnings = unknown.map((path) => `unknown field "${path}" is not looked at`);
  const document = defaultedDocument(raw, options.isZeroMeant);
  const { verbosity, hostnameOverride } = options;
  if (hostnameOverride !== undefined) document['hostnameOverride'] = hostnameOverride;
  const read = new FieldReader(document, problems, []);

  const mode = proxyModes.find((known) => known === read.text('mode')) ?? 'iptables';
  problems.push(...validateProxyConfig(read, mode, options.servedModes ?? proxyModes), ...unserved(read));
  const gates = parseProxyGates(read.any('featureGates'), problems, warnings);
  if (problems.length > 0) throw new ConfigError(what, problems);
  // mode ipvs has periods of its own, and masquerades as iptables does
  const masquerade = mode === 'nftables' ? 'nftables' : 'iptables';
  const healthz = read.text('healthzBindAddress');
  return {
    mode,
    kubeconfig: read.text('clientConnection.kubeconfig'),
    clientQps: numberOr(read.any('clientConnection.qps'), 5),
    clientBurst: read.number('clientConnection.burst', 10),
    hostnameOverride: read.text('hostnameOverride').toLowerCase(),
    bindAddress: read.text('bindAddress'),
    healthz: healthz === '' ? undefined : listenAddress(healthz),
    metrics: listenAddress(read.text('metricsBindAddress')),
    bindAddressHardFail: read.flag('bindAddressHardFail', false),
    enableProfiling: read.flag('enableProfiling', false),
    masqueradeBit: read.number(`${masquerade}.masqueradeBit`, 14),
    masqueradeAll: read.flag(`${masquerade}.masqueradeAll`, false),
    localhostNodePorts: read.flag('iptables.localhostNodePorts', true),
    syncPeriodMs: read.durationMs(`${mode}.syncPeriod`),
    minSyncPeriodMs: read.durationMs(`${mode}.minSyncPeriod`),
    ipvs: parseIpvs(read),
    localDetection: parseDetection(read),
    nodePortAddresses: read.texts('nodePortAddresses'),
    oomScoreAdj: read.number('oomScoreAdj', -999),
    conntrack: {
      maxPerCore: read.number('conntrack.maxPerCore', 0),
      min: read.number('conntrack.min', 0),
      tcpEstablishedTimeoutMs: read.durationMs('conntrack.tcpEstablishedTimeout'),
      tcpCloseWaitTimeoutMs: read.durationMs('conntrack.tcpCloseWaitTimeout'),
      udpTimeoutMs: read.durationMs('conntrack.udpTimeout'),
      udpStreamTimeoutMs: read.durationMs('conntrack.udpStreamTimeout'),
      tcpBeLiberal: read.flag('conntrack.tcpBeLiberal', false),
    },
    gates,
    verbosity: verbosity ?? read.number('logging.verbosity', 0),
    warnings,
    document,
  };
}

/** Fields that upstream knows and we do not serve: a value that would be ignored is refused by name. */
function unserved(read: FieldReader): string[] {
  const problems: string[] = [];
  if (read.flag('windowsRunAsService', false)) problems.push('windowsRunAsService is for Windows: set it to false');
  const winkernel = read.any('winkernel');
  if (isRecord(winkernel) && Object.values(winkernel).some((value) => Boolean(value))) {
    problems.push('winkernel is for Windows: leave it out');
  }
  const contentType = read.text('clientConnection.contentType');
  if (!['application/vnd.kubernetes.protobuf', 'application/json'].includes(contentType)) {
    problems.push(`clientConnection.contentType "${contentType}" is not served: leave it out`);
  }
  const format = read.text('logging.format');
  if (format !== 'text' && format !== 'json') problems.push(`logging.format must be text or json: "${format}"`);
  const vmodule = read.any('logging.vmodule');
  if (Array.isArray(vmodule) && vmodule.length > 0) {
    problems.push('logging.vmodule is not served: raise logging.verbosity for the whole process instead');
  }
  for (const kind of ['text', 'json']) {
    if (read.any(`logging.options.${kind}.splitStream`) === true) {
      problems.push(`logging.options.${kind}.splitStream is not served: leave it out`);
    }
  }
  return problems;
}

function parseIpvs(read: FieldReader): IpvsConfig {
  return {
    scheduler: read.text('ipvs.scheduler') || 'rr',
    excludeCidrs: read.texts('ipvs.excludeCIDRs'),
    strictArp: read.flag('ipvs.strictARP', false),
    tcpTimeoutMs: read.durationMs('ipvs.tcpTimeout'),
    tcpFinTimeoutMs: read.durationMs('ipvs.tcpFinTimeout'),
    udpTimeoutMs: read.durationMs('ipvs.udpTimeout'),
  };
}

function parseDetection(read: FieldReader): LocalDetection {
  const mode = read.text('detectLocalMode');
  switch (mode) {
    case 'NodeCIDR':
      return { mode };
    case 'BridgeInterface':
      return { mode, bridgeInterface: read.text('detectLocal.bridgeInterface') };
    case 'InterfaceNamePrefix':
      return { mode, interfaceNamePrefix: read.text('detectLocal.interfaceNamePrefix') };
    default:
      return { mode: 'ClusterCIDR', clusterCidrs: clusterCidrsOf(read) };
  }
}

function listenAddress(text: string): ListenAddress {
  const { host = '', port = '' } = splitHostPort(text) ?? {};
  return { host, port: Number(port) };
}

const numberOr = (value: unknown, fallback: number): number => (typeof value === 'number' ? value : fallback);
