/** The command kube-proxy as kubeadm's DaemonSet starts it, from its ConfigMap, in a network namespace. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awaitUntil } from '../await-until.ts';
import { TestNode, missingForNamespaces } from './network-namespace.ts';

const missing = missingForNamespaces(['iptables', 'nft', 'busybox', 'sysctl']);
if (missing !== undefined) console.warn(`skipped: the command kube-proxy ${missing}`);

const main = new URL('../../src/main.ts', import.meta.url).pathname;
const apiProcess = new URL('proxy-api-process.ts', import.meta.url).pathname;

/** As kubeadm writes it; only the connection table is left alone, which is the machine's. */
const configOf = (directory: string, mode: string): string => `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: ${directory}/kubeconfig.conf, qps: 0}
clusterCIDR: 10.77.0.0/24
configSyncPeriod: 0s
conntrack: {maxPerCore: 0, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s}
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s, tcpTimeout: 0s, udpTimeout: 0s}
kind: KubeProxyConfiguration
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}
metricsBindAddress: ""
mode: "${mode}"
nftables: {masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: {enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: ""}
`;

const kubeconfigOf = (directory: string, server: string): string => `
apiVersion: v1
kind: Config
clusters:
- cluster: {certificate-authority: ${directory}/ca.crt, server: "${server}"}
  name: default
contexts:
- context: {cluster: default, namespace: default, user: default}
  name: default
current-context: default
users:
- name: default
  user: {tokenFile: ${directory}/token}
`;

const objects = [
  {
    path: '/api/v1/nodes',
    body: {
      metadata: { name: 'node-1' },
      spec: {},
      status: { addresses: [{ type: 'InternalIP', address: '10.77.0.1' }] },
    },
  },
  {
    path: '/api/v1/namespaces/shop/services',
    body: {
      metadata: { name: 'web' },
      spec: { type: 'NodePort', clusterIP: '10.96.0.10', ports: [{ port: 80, protocol: 'TCP', nodePort: 30_080 }] },
    },
  },
  {
    path: '/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices',
    body: {
      metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.77.0.2'], conditions: { ready: true } }],
      ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    },
  },
];

describe.skipIf(missing !== undefined)('the command kube-proxy', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gantry-proxy-command-'));
  let node: TestNode;
  const inNode = (...args: string[]): string[] => ['ip', 'netns', 'exec', node.name, process.execPath, ...args];
  const start = (mode: string): ReturnType<TestNode['start']> => {
    writeFileSync(join(directory, '..v1', 'config.conf'), configOf(directory, mode));
    return node.start(inNode(main, 'kube-proxy', `--config=${directory}/config.conf`, '--hostname-override=node-1'));
  };
  const page = (path: string): string => node.fetch(`http://127.0.0.1:10249${path}`);
  const answers = async (mode: string): Promise<void> => {
    await awaitUntil(`an answer in mode ${mode}`, () => page('/proxyMode') === mode, { timeoutMs: 60_000 });
    await awaitUntil('an answer of the Service', () => node.fetch('http://10.96.0.10/who') === 'a');
    expect(node.fetch('http://10.77.0.1:30080/who')).toBe('a');
  };
  const iptablesRules = (): string[] => [
    ...node
      .run('iptables-save')
      .split('\n')
      .filter((line) => line.includes('KUBE-')),
    ...node
      .run('ip6tables-save')
      .split('\n')
      .filter((line) => line.includes('KUBE-')),
  ];
  const nftTables = (): string[] =>
    node
      .run('nft', 'list', 'tables')
      .split('\n')
      .filter((line) => line.endsWith('kube-proxy'));

  beforeAll(async () => {
    node = new TestNode(`gantry-e2e-command-${process.pid}`);
    node.addPod('a', '10.77.0.2');
    node.serve('a', 8080);
    const api = node.start(inNode(apiProcess, ...objects.map((object) => JSON.stringify(object))));
    const line = await awaitUntil('the API server', () => api.output.find((text) => text.startsWith('{"url"')), {
      timeoutMs: 60_000,
    });
    const { url, ca, status } = JSON.parse(line) as { url: string; ca: string; status: { token: string } };
    mkdirSync(join(directory, '..v1'));
    symlinkSync('..v1', join(directory, '..data'));
    symlinkSync('..data/config.conf', join(directory, 'config.conf'));
    writeFileSync(join(directory, 'ca.crt'), ca);
    writeFileSync(join(directory, 'token'), status.token);
    writeFileSync(join(directory, 'kubeconfig.conf'), kubeconfigOf(directory, url));
  });

  afterAll(() => {
    node.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('serves from kubeadm’s files, ends when they change, and cleans up after another mode', async () => {
    const iptables = start('');
    await answers('iptables');
    expect(iptablesRules().length).toBeGreaterThan(0);
    expect(JSON.parse(page('/configz'))).toMatchObject({
      'kubeproxy.config.k8s.io': { mode: 'iptables', clusterCIDR: '10.77.0.0/24', iptables: { minSyncPeriod: '1s' } },
    });
    expect(page('/flagz')).toContain('\nhostname-override=node-1\n');

    writeFileSync(join(directory, '..v1', 'config.conf'), configOf(directory, 'nftables'));
    await awaitUntil('its end', () =>
      iptables.output.some((line) => line.includes("content of the proxy server's configuration file was updated")),
    );

    // the old rules serve until the new ones do: there is no moment without an answer
    const gone = async (rules: () => string[]): Promise<void> => {
      const seen = new Set<string>();
      const look = (): boolean => {
        seen.add(node.refusal('http://10.96.0.10/who'));
        return rules().length === 0;
      };
      await awaitUntil('the old rules to go', look, { timeoutMs: 60_000 });
      expect(seen).toEqual(new Set(['answered: a']));
    };
    const nftables = start('nftables');
    await gone(iptablesRules);
    await answers('nftables');
    expect(nftTables()).toContain('table ip kube-proxy');
    await nftables.stop();

    const again = start('iptables');
    await gone(nftTables);
    await answers('iptables');
    await again.stop();
    node.run(process.execPath, main, 'kube-proxy', '--cleanup');
    expect([iptablesRules(), nftTables()]).toEqual([[], []]);
  });

  it('writes its configuration with all defaults, and does only what needs privileges', () => {
    const written = join(directory, 'written.yaml');
    node.run(process.execPath, main, 'kube-proxy', `--config=${directory}/config.conf`, `--write-config-to=${written}`);
    expect(readFileSync(written, 'utf8')).toMatch(
      /^apiVersion: kubeproxy.config.k8s.io\/v1alpha1\nbindAddress: 0.0.0.0\n/,
    );
    node.run('sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_timeout_close_wait=60');
    node.run(process.execPath, main, 'kube-proxy', `--config=${written}`, '--init-only');
    expect(node.run('sysctl', '-n', 'net.netfilter.nf_conntrack_tcp_timeout_close_wait').trim()).toBe('3600');
    expect(iptablesRules()).toEqual([]);
  });

  it('refuses a mode that it does not know, in one line', () => {
    const failure = (...args: string[]): string => {
      try {
        node.run(process.execPath, main, 'kube-proxy', ...args);
        return 'it ran';
      } catch (err) {
        return err instanceof Error && 'stderr' in err ? String(err.stderr) : String(err);
      }
    };
    expect(failure('--proxy-mode=userspace')).toMatch(
      /^kube-proxy: .*Mode: Invalid value: "userspace": must be iptables, /,
    );
  });
});
