/** Upstream's defaults of `KubeProxyConfiguration`, and a document with all of them filled in. Pure. */
import { isRecord, parseDurationMs } from './config-fields.ts';

export const configApiVersion = 'kubeproxy.config.k8s.io/v1alpha1';
export const configKind = 'KubeProxyConfiguration';

type Document = Readonly<Record<string, unknown>>;

const defaults = {
  apiVersion: configApiVersion,
  bindAddress: '0.0.0.0',
  bindAddressHardFail: false,
  clientConnection: {
    acceptContentTypes: '',
    burst: 10,
    contentType: 'application/vnd.kubernetes.protobuf',
    kubeconfig: '',
    qps: 5,
  },
  clusterCIDR: '',
  configSyncPeriod: '15m0s',
  conntrack: {
    maxPerCore: 32_768,
    min: 131_072,
    tcpBeLiberal: false,
    tcpCloseWaitTimeout: '1h0m0s',
    tcpEstablishedTimeout: '24h0m0s',
    udpStreamTimeout: '0s',
    udpTimeout: '0s',
  },
  detectLocal: { bridgeInterface: '', interfaceNamePrefix: '' },
  detectLocalMode: 'ClusterCIDR',
  enableProfiling: false,
  featureGates: {},
  healthzBindAddress: '0.0.0.0:10256',
  hostnameOverride: '',
  iptables: {
    localhostNodePorts: true,
    masqueradeAll: false,
    masqueradeBit: 14,
    minSyncPeriod: '1s',
    syncPeriod: '30s',
  },
  ipvs: {
    excludeCIDRs: null,
    minSyncPeriod: '0s',
    scheduler: '',
    strictARP: false,
    syncPeriod: '30s',
    tcpFinTimeout: '0s',
    tcpTimeout: '0s',
    udpTimeout: '0s',
  },
  kind: configKind,
  logging: {
    flushFrequency: '5s',
    format: 'text',
    options: { json: { infoBufferSize: '0' }, text: { infoBufferSize: '0' } },
    verbosity: 0,
  },
  metricsBindAddress: '127.0.0.1:10249',
  mode: 'iptables',
  nftables: { masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: '1s', syncPeriod: '30s' },
  nodePortAddresses: null,
  oomScoreAdj: -999,
  portRange: '',
  showHiddenMetricsForVersion: '',
  windowsRunAsService: false,
  winkernel: {
    enableDSR: false,
    forwardHealthCheckVip: false,
    networkName: '',
    rootHnsEndpointName: '',
    sourceVip: '',
  },
} as const satisfies Document;

/** Where a zero cannot be told from nothing: in a file it means the default, in a flag what it says. */
const unsetWhenZero = new Set([
  'clientConnection.burst',
  'clientConnection.qps',
  'configSyncPeriod',
  'iptables.minSyncPeriod',
  'iptables.syncPeriod',
  'ipvs.syncPeriod',
  'logging.flushFrequency',
  'nftables.minSyncPeriod',
  'nftables.syncPeriod',
]);

/** @param isZeroMeant whether a zero or an empty text is what was meant (flags), or the same as nothing (files) */
export function defaultedDocument(raw: Document, isZeroMeant: boolean): Record<string, unknown> {
  const bindAddress = raw['bindAddress'];
  const isIpv6 = typeof bindAddress === 'string' && bindAddress.includes(':');
  const base = {
    ...defaults,
    ...(isIpv6 ? { healthzBindAddress: '[::]:10256', metricsBindAddress: '[::1]:10249' } : {}),
    ...(raw['mode'] === 'nftables' ? { nodePortAddresses: ['primary'] } : {}),
  };
  const document = fill(raw, base, '', isZeroMeant);
  if (Array.isArray(document['nodePortAddresses']) && document['nodePortAddresses'].length === 0) {
    document['nodePortAddresses'] = base.nodePortAddresses;
  }
  for (const [field, port] of [
    ['healthzBindAddress', 10_256],
    ['metricsBindAddress', 10_249],
  ] as const) {
    document[field] = withPort(document[field], port);
  }
  return document;
}

function fill(raw: Document, base: Document, path: string, isZeroMeant: boolean): Record<string, unknown> {
  const filled: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(raw)) {
    const at = path === '' ? name : `${path}.${name}`;
    const fallback = base[name];
    if (isRecord(value) && isRecord(fallback)) filled[name] = fill(value, fallback, at, isZeroMeant);
    else if (!isUnset(value, fallback, at, isZeroMeant)) filled[name] = value;
  }
  return filled;
}

function isUnset(value: unknown, fallback: unknown, path: string, isZeroMeant: boolean): boolean {
  if (value === undefined || value === null) return true;
  if (value === '' && (path === 'mode' || path === 'detectLocalMode')) return true; // blank has a meaning of its own
  if (isZeroMeant) return false;
  if (value === '' && typeof fallback === 'string') return true;
  if (!unsetWhenZero.has(path)) return false;
  return value === 0 || (typeof value === 'string' && parseDurationMs(value) === 0);
}

/** An address without a port gets the usual one; what is no address is left for validation to name. */
function withPort(address: unknown, port: number): unknown {
  if (typeof address !== 'string' || address === '') return address;
  if (/^\d+(\.\d+){3}$/.test(address) || /^\[[^\]]*\]$/.test(address)) return `${address}:${port}`;
  return /^[\da-fA-F]*:[\da-fA-F:.]*:[\da-fA-F.]*$/.test(address) ? `[${address}]:${port}` : address;
}
