import { describe, expect, it } from 'vitest';
import { configOfFlags, readProxyFlags } from './proxy-flags.ts';

const config = (...args: string[]) => configOfFlags(readProxyFlags(args));

describe('readProxyFlags', () => {
  it.each([
    { args: ['--masquerade-all'], want: { masqueradeAll: true } },
    { args: ['--masquerade-all=false'], want: { masqueradeAll: false } },
    { args: ['--iptables-localhost-nodeports=false'], want: { localhostNodePorts: false } },
    { args: ['--iptables-min-sync-period=0s'], want: { minSyncPeriodMs: 0 } },
    { args: ['--iptables-sync-period', '1m'], want: { syncPeriodMs: 60_000 } },
    { args: ['--hostname-override=Node-1 '], want: { hostnameOverride: 'node-1' } },
    { args: ['--bind_address=10.0.0.1'], want: { bindAddress: '10.0.0.1' } },
    { args: ['--healthz-bind-address='], want: { healthz: undefined } },
    { args: ['--healthz-port=0'], want: { healthz: undefined } },
    { args: ['--healthz-port=1234'], want: { healthz: { host: '0.0.0.0', port: 1234 } } },
    {
      args: ['--metrics-port=1234', '--metrics-bind-address=0.0.0.0'],
      want: { metrics: { host: '0.0.0.0', port: 1234 } },
    },
    {
      args: ['--metrics-port=1234', '--metrics-bind-address=0.0.0.0:5'],
      want: { metrics: { host: '0.0.0.0', port: 5 } },
    },
    { args: ['--nodeport-addresses=10.0.0.0/8,fd00::/8'], want: { nodePortAddresses: ['10.0.0.0/8', 'fd00::/8'] } },
    { args: ['--kube-api-qps=-1', '--kube-api-burst=7'], want: { clientQps: -1, clientBurst: 7 } },
    { args: ['--conntrack-max-per-core=0'], want: { conntrack: { maxPerCore: 0, min: 131_072 } } },
    { args: ['--conntrack-tcp-timeout-established=0'], want: { conntrack: { tcpEstablishedTimeoutMs: 0 } } },
    {
      args: ['--feature-gates=ComponentFlagz=false,ComponentStatusz=true'],
      want: { gates: { flagz: false, statusz: true } },
    },
    { args: ['--profiling'], want: { enableProfiling: true } },
    { args: ['--proxy-mode='], want: { mode: 'iptables' } },
    { args: ['--boot-id-file=/x', '--machine-id-file=/y', '--config-sync-period=1m'], want: {} },
    { args: ['-v', '4'], want: { verbosity: 4 } },
    {
      args: ['--detect-local-mode=BridgeInterface', '--pod-bridge-interface=br0'],
      want: { localDetection: { mode: 'BridgeInterface', bridgeInterface: 'br0' } },
    },
  ])('$args', ({ args, want }) => {
    expect(config(...args)).toMatchObject(want);
  });

  it.each([
    { args: ['--masquerade-all=perhaps'], want: 'iptables.masqueradeAll must be true or false: "perhaps"' },
    { args: ['--oom-score-adj=low'], want: 'oomScoreAdj must be a whole number: "low"' },
    { args: ['--metrics-port=0'], want: 'MetricsBindAddress: Invalid value: "": must be IP:port' },
    { args: ['--vmodule=a=9'], want: 'logging.vmodule is not served' },
    { args: ['--log-json-split-stream'], want: 'logging.options.json.splitStream is not served' },
    { args: ['--config-sync-period=0s'], want: 'ConfigSyncPeriod: Invalid value: "0s": must be greater than 0' },
  ])('refuses $args', ({ args, want }) => {
    expect(() => config(...args)).toThrow(want);
  });

  it.each([
    { args: [], want: false },
    { args: ['--version'], want: true },
    { args: ['--version=raw'], want: true },
    { args: ['--version=false'], want: false },
  ])('asks for the version with $args: $want', ({ args, want }) => {
    expect(readProxyFlags(args).isVersion).toBe(want);
  });

  it('lets the node name and the verbosity win over a file', () => {
    const flags = readProxyFlags(['--config=/f', '--hostname-override=n', '--v=3', '--proxy-mode=ipvs', '--init-only']);
    expect(flags).toMatchObject({
      configPath: '/f',
      overrides: { hostnameOverride: 'n', verbosity: 3 },
      isInitOnly: true,
      isCleanup: false,
      isVersion: false,
      all: {
        config: '/f',
        'hostname-override': 'n',
        v: '3',
        'proxy-mode': 'ipvs',
        'init-only': 'true',
        cleanup: 'false',
        'iptables-sync-period': '30s',
        'oom-score-adj': '-999',
        'nodeport-addresses': '',
      },
    });
  });
});
