import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseDurationMs } from './config-fields.ts';
import { parseProxyConfig } from './parse-proxy-config.ts';

const header = { apiVersion: 'kubeproxy.config.k8s.io/v1alpha1', kind: 'KubeProxyConfiguration' };
const fromFile = (fields: object): ReturnType<typeof parseProxyConfig> =>
  parseProxyConfig(
    { ...header, ...fields },
    { source: '"config.yaml"', isZeroMeant: false, servedModes: ['iptables', 'nftables'] },
  );

/** As kubeadm writes it: every field there, most of them empty. */
const kubeadmFile = `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: /var/lib/kube-proxy/kubeconfig.conf, qps: 0}
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack: {maxPerCore: null, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s}
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s, tcpTimeout: 0s, udpTimeout: 0s}
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}
metricsBindAddress: ""
mode: ""
nftables: {masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: {enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: ""}
`;

describe('parseProxyConfig', () => {
  it('takes what kubeadm writes, with upstream’s defaults', () => {
    const config = parseProxyConfig(parse(kubeadmFile), { source: '"config.yaml"', isZeroMeant: false });
    expect(config).toMatchObject({
      mode: 'iptables',
      kubeconfig: '/var/lib/kube-proxy/kubeconfig.conf',
      clientQps: 5,
      clientBurst: 10,
      healthz: { host: '0.0.0.0', port: 10_256 },
      metrics: { host: '127.0.0.1', port: 10_249 },
      masqueradeBit: 14,
      localhostNodePorts: true,
      syncPeriodMs: 30_000,
      minSyncPeriodMs: 1000,
      localDetection: { mode: 'ClusterCIDR', clusterCidrs: ['10.244.0.0/16'] },
      nodePortAddresses: [],
      oomScoreAdj: -999,
      conntrack: { maxPerCore: 32_768, min: 131_072, tcpEstablishedTimeoutMs: 86_400_000 },
    });
  });

  it.each([
    {
      name: 'an unknown field',
      fields: { iptables: { masqueradBit: 3 } },
      want: 'unknown field "iptables.masqueradBit"',
    },
    {
      name: 'a field of the wrong type',
      fields: { iptables: { syncPeriod: 30 } },
      want: 'iptables.syncPeriod must be a duration like "30s": 30',
    },
    {
      name: 'a mode without a back end',
      fields: { mode: 'ipvs' },
      want: 'mode "ipvs" is not served yet: must be iptables, nftables or blank',
    },
    {
      name: 'a pause longer than the period, in the section of the mode',
      fields: { mode: 'nftables', nftables: { minSyncPeriod: '40s' } },
      want: 'nftables.minSyncPeriod must not be longer than nftables.syncPeriod',
    },
    { name: 'an unknown mode', fields: { mode: 'magic' }, want: 'mode "magic" is unknown' },
    { name: 'profiling', fields: { enableProfiling: true }, want: 'enableProfiling is not served' },
    { name: 'feature gates', fields: { featureGates: { Foo: true } }, want: 'featureGates are not served (Foo)' },
    { name: 'a bit out of range', fields: { iptables: { masqueradeBit: 32 } }, want: 'within the range [0, 31]: 32' },
    { name: 'a bad CIDR', fields: { clusterCIDR: '10.0.0.0/40' }, want: 'clusterCIDR must be CIDRs: "10.0.0.0/40"' },
    {
      name: 'two CIDRs of one family',
      fields: { clusterCIDR: '10.0.0.0/8,11.0.0.0/8' },
      want: 'two of different IP families',
    },
    {
      name: 'primary and a CIDR',
      fields: { nodePortAddresses: ['primary', '10.0.0.0/8'] },
      want: "can't use both 'primary' and CIDRs",
    },
    {
      name: 'a bridge without a name',
      fields: { detectLocalMode: 'BridgeInterface' },
      want: 'detectLocal.bridgeInterface must be',
    },
    {
      name: 'a listen address with a name',
      fields: { healthzBindAddress: 'localhost:10256' },
      want: 'healthzBindAddress must be IP:port',
    },
    {
      name: 'a pause longer than the period',
      fields: { iptables: { minSyncPeriod: '1m' } },
      want: 'minSyncPeriod must not be longer',
    },
    { name: 'another kind of file', fields: { kind: 'KubeletConfiguration' }, want: 'apiVersion and kind must be' },
  ])('refuses $name by name', ({ fields, want }) => {
    expect(() => fromFile(fields)).toThrow(want);
  });

  const sections = {
    iptables: { masqueradeBit: 1, masqueradeAll: true, syncPeriod: '1s', minSyncPeriod: '100ms' },
    nftables: { masqueradeBit: 2, masqueradeAll: false, syncPeriod: '2s', minSyncPeriod: '200ms' },
    ipvs: { syncPeriod: '3s', minSyncPeriod: '0s' },
  };
  it.each([
    { mode: 'iptables', want: { masqueradeBit: 1, masqueradeAll: true, syncPeriodMs: 1000, minSyncPeriodMs: 100 } },
    { mode: 'nftables', want: { masqueradeBit: 2, masqueradeAll: false, syncPeriodMs: 2000, minSyncPeriodMs: 200 } },
    { mode: 'ipvs', want: { masqueradeBit: 1, masqueradeAll: true, syncPeriodMs: 3000, minSyncPeriodMs: 0 } },
    { mode: 'nftables', want: { nodePortAddresses: ['primary'] } },
    { mode: 'ipvs', want: { nodePortAddresses: [], ipvs: { scheduler: 'rr', excludeCidrs: [], strictArp: false } } },
  ])('reads the section of mode $mode: $want', ({ mode, want }) => {
    const document = { ...header, ...sections, mode };
    expect(parseProxyConfig(document, { source: 'a test', isZeroMeant: false })).toMatchObject(want);
  });

  it('names all problems at once', () => {
    expect(() => fromFile({ mode: 'ipvs', oomScoreAdj: 2000, foo: 1 })).toThrow(
      /unknown field "foo".*ipvs.*oomScoreAdj/,
    );
  });

  it('takes a zero for unset in a file and for zero in a flag', () => {
    expect(fromFile({ iptables: { minSyncPeriod: '0s' } }).minSyncPeriodMs).toBe(1000);
    const flags = parseProxyConfig({ iptables: { minSyncPeriod: '0s' } }, { source: 'flags', isZeroMeant: true });
    expect(flags.minSyncPeriodMs).toBe(0);
  });

  it('lets an empty health address switch the server off by flag', () => {
    expect(
      parseProxyConfig({ healthzBindAddress: '' }, { source: 'flags', isZeroMeant: true }).healthz,
    ).toBeUndefined();
  });
});

describe('parseDurationMs', () => {
  it.each([
    ['30s', 30_000],
    ['1h30m', 5_400_000],
    ['24h0m0s', 86_400_000],
    ['1.5s', 1500],
    ['100ms', 100],
    ['0', 0],
    ['-1s', -1000],
    ['30', undefined],
    ['soon', undefined],
    ['', undefined],
  ])('%j: %s', (text, want) => {
    expect(parseDurationMs(text)).toBe(want);
  });
});
