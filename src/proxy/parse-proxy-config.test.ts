import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
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
      name: 'a field of the wrong type',
      fields: { iptables: { syncPeriod: 30 } },
      want: 'iptables.syncPeriod must be a duration like "30s": 30',
    },
    {
      name: 'a mode without a back end',
      fields: { mode: 'ipvs' },
      want: 'Mode: Invalid value: "ipvs": must be iptables, nftables or blank (blank means the best-available proxy [currently iptables])',
    },
    { name: 'an unknown mode', fields: { mode: 'magic' }, want: 'Mode: Invalid value: "magic": must be iptables' },
    {
      name: 'a locked gate',
      fields: { featureGates: { NFTablesProxyMode: false } },
      want: 'cannot set feature gate NFTablesProxyMode to false, feature is locked to true',
    },
    {
      name: 'a gate that we have one way only',
      fields: { featureGates: { AllowServiceExternalIPs: false } },
      want: 'featureGates.AllowServiceExternalIPs cannot be false',
    },
    {
      name: 'a bit out of range',
      fields: { iptables: { masqueradeBit: 32 } },
      want: 'KubeProxyConfiguration.KubeProxyIPTablesConfiguration.MasqueradeBit: Invalid value: 32: must be within the range [0, 31]',
    },
    {
      name: 'a bit of mode nftables out of range',
      fields: { mode: 'nftables', nftables: { masqueradeBit: -1 } },
      want: 'KubeProxyNFTablesConfiguration.MasqueradeBit: Invalid value: -1: must be within the range [0, 31]',
    },
    {
      name: 'a score out of range',
      fields: { oomScoreAdj: -1001 },
      want: 'OOMScoreAdj: Invalid value: -1001: must be within the range [-1000, 1000]',
    },
    {
      name: 'a negative period',
      fields: { iptables: { syncPeriod: '-1s' } },
      want: 'SyncPeriod: Invalid value: "-1s": must be greater than 0',
    },
    {
      name: 'a negative pause',
      fields: { iptables: { minSyncPeriod: '-1s' } },
      want: 'MinSyncPeriod: Invalid value: "-1s": must be greater than or equal to 0',
    },
    {
      name: 'a pause longer than the period',
      fields: { iptables: { minSyncPeriod: '1m' } },
      want: 'SyncPeriod: Invalid value: "30s": must be greater than or equal to KubeProxyConfiguration.MinSyncPeriod',
    },
    {
      name: 'a pause longer than the period, in the section of the mode',
      fields: { mode: 'nftables', nftables: { minSyncPeriod: '40s' } },
      want: 'SyncPeriod: Invalid value: "30s": must be greater than or equal to KubeProxyConfiguration.MinSyncPeriod',
    },
    {
      name: 'a negative resync',
      fields: { configSyncPeriod: '-15m' },
      want: 'ConfigSyncPeriod: Invalid value: "-15m": must be greater than 0',
    },
    {
      name: 'a bad CIDR',
      fields: { clusterCIDR: '10.0.0.0/40' },
      want: 'ClusterCIDR: Invalid value: "10.0.0.0/40": must be a valid CIDR block',
    },
    {
      name: 'two CIDRs of one family',
      fields: { clusterCIDR: '10.0.0.0/8,11.0.0.0/8' },
      want: 'only one CIDR allowed or a valid DualStack CIDR',
    },
    {
      name: 'three CIDRs',
      fields: { clusterCIDR: '10.0.0.0/8,fd00::/64,fd01::/64' },
      want: 'only one CIDR allowed or a valid DualStack CIDR',
    },
    {
      name: 'primary and a CIDR',
      fields: { nodePortAddresses: ['10.0.0.0/8', 'primary'] },
      want: `NodePortAddresses[1]: Invalid value: "primary": can't use both 'primary' and CIDRs`,
    },
    {
      name: 'a NodePort address that is no CIDR',
      fields: { nodePortAddresses: ['10.0.0.0/8', '10.0.0.1'] },
      want: 'NodePortAddresses[1]: Invalid value: "10.0.0.1": must be a valid CIDR',
    },
    {
      name: 'an unknown way to tell local traffic',
      fields: { detectLocalMode: 'Guess' },
      want: 'DetectLocalMode: Invalid value: "Guess": must be BridgeInterface, ClusterCIDR, InterfaceNamePrefix, NodeCIDR',
    },
    {
      name: 'a bridge without a name',
      fields: { detectLocalMode: 'BridgeInterface' },
      want: 'DetectLocal.BridgeInterface: Invalid value: "": must be the name of an interface',
    },
    {
      name: 'a prefix that is a rule of its own',
      fields: { detectLocalMode: 'InterfaceNamePrefix', detectLocal: { interfaceNamePrefix: 'a -j DROP' } },
      want: 'DetectLocal.InterfaceNamePrefix: Invalid value: "a -j DROP"',
    },
    {
      name: 'an address of this node that is a name',
      fields: { bindAddress: 'node' },
      want: 'BindAddress: Invalid value: "node": not a valid textual representation of an IP address',
    },
    {
      name: 'a listen address with a name',
      fields: { healthzBindAddress: 'localhost:10256' },
      want: 'HealthzBindAddress: Invalid value: "localhost": must be a valid IP',
    },
    {
      name: 'a listen address that is a name',
      fields: { metricsBindAddress: 'localhost' },
      want: 'MetricsBindAddress: Invalid value: "localhost": must be IP:port',
    },
    {
      name: 'a port out of range',
      fields: { healthzBindAddress: '[::]:70000' },
      want: 'HealthzBindAddress: Invalid value: "70000": must be a valid port',
    },
    {
      name: 'a negative burst',
      fields: { clientConnection: { burst: -1 } },
      want: 'ClientConnection.Burst: Invalid value: -1: must be non-negative',
    },
    {
      name: 'a negative limit of connections',
      fields: { conntrack: { maxPerCore: -1 } },
      want: 'KubeProxyConntrackConfiguration.MaxPerCore: Invalid value: -1: must be greater than or equal to 0',
    },
    {
      name: 'metrics of an old version',
      fields: { showHiddenMetricsForVersion: '1.20' },
      want: `ShowHiddenMetricsForVersion: Invalid value: "1.20": must be omitted or have the value '1.35'`,
    },
    { name: 'Windows', fields: { winkernel: { enableDSR: true } }, want: 'winkernel is for Windows' },
    { name: 'a Windows service', fields: { windowsRunAsService: true }, want: 'windowsRunAsService is for Windows' },
    {
      name: 'verbosity by file',
      fields: { logging: { vmodule: [{ filePattern: 'x', verbosity: 9 }] } },
      want: 'logging.vmodule is not served',
    },
    {
      name: 'another encoding',
      fields: { clientConnection: { contentType: 'application/cbor' } },
      want: 'clientConnection.contentType "application/cbor" is not served',
    },
    { name: 'another kind of file', fields: { kind: 'KubeletConfiguration' }, want: 'apiVersion and kind must be' },
  ])('refuses $name by name', ({ fields, want }) => {
    expect(() => fromFile(fields)).toThrow(want);
  });

  it.each([
    { mode: 'iptables', field: 'tcpTimeout', want: undefined },
    { mode: 'ipvs', field: 'tcpTimeout', want: 'KubeProxyIPVSConfiguration.TCPTimeout: Invalid value: "-1s"' },
    { mode: 'ipvs', field: 'tcpFinTimeout', want: 'KubeProxyIPVSConfiguration.TCPFinTimeout: Invalid value: "-1s"' },
    { mode: 'ipvs', field: 'udpTimeout', want: 'KubeProxyIPVSConfiguration.UDPTimeout: Invalid value: "-1s"' },
  ])('looks at ipvs.$field in mode $mode: $want', ({ mode, field, want }) => {
    const parse = (): unknown =>
      parseProxyConfig({ ...header, mode, ipvs: { [field]: '-1s' } }, { source: 'a test', isZeroMeant: false });
    if (want === undefined) expect(parse).not.toThrow();
    else expect(parse).toThrow(want);
  });

  it('goes on without fields that nobody knows and gates of others, and says so', () => {
    const config = fromFile({ iptables: { masqueradBit: 3 }, foo: 1, featureGates: { NodeSwap: true } });
    expect(config.warnings).toEqual([
      'unknown field "iptables.masqueradBit" is not looked at',
      'unknown field "foo" is not looked at',
      'featureGates.NodeSwap has no effect on kube-proxy',
    ]);
    expect(config.masqueradeBit).toBe(14);
  });

  it.each([
    { name: 'a port is added', fields: { healthzBindAddress: '10.0.0.1' }, healthz: '10.0.0.1:10256' },
    { name: 'to IPv6 in brackets, too', fields: { healthzBindAddress: '[fd00::1]' }, healthz: '[fd00::1]:10256' },
    { name: 'and to IPv6 without', fields: { healthzBindAddress: 'fd00::1' }, healthz: '[fd00::1]:10256' },
    {
      name: 'an IPv6 node listens on IPv6',
      fields: { bindAddress: '::' },
      healthz: '[::]:10256',
      metrics: '[::1]:10249',
    },
  ])('listens: $name', ({ fields, healthz, metrics = '127.0.0.1:10249' }) => {
    const { document } = fromFile(fields);
    expect(document).toMatchObject({ healthzBindAddress: healthz, metricsBindAddress: metrics });
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
    expect(() => fromFile({ mode: 'ipvs', oomScoreAdj: 2000, clusterCIDR: 'x' })).toThrow(
      /Mode: .*OOMScoreAdj: .*ClusterCIDR: /,
    );
  });

  it('has a document with all defaults, which says the same when it is read', () => {
    const config = parseProxyConfig(parse(kubeadmFile), { source: 'a test', isZeroMeant: false });
    expect(config.document).toMatchObject({ mode: 'iptables', conntrack: { min: 131_072 }, configSyncPeriod: '15m0s' });
    const written = stringify(config.document, { sortMapEntries: true });
    expect(written).toContain('excludeCIDRs: null\n');
    expect(parseProxyConfig(parse(written), { source: 'a test', isZeroMeant: false })).toEqual(config);
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
