import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awaitUntil } from '../await-until.ts';
import { TestNode, missingForNamespaces } from './network-namespace.ts';

const missing = missingForNamespaces(['iptables', 'iptables-restore', 'busybox', 'sysctl']);
if (missing !== undefined) console.warn(`skipped: kube-proxy in a network namespace ${missing}`);

const proxyProcess = new URL('proxy-process.ts', import.meta.url).pathname;
const config = {
  clusterCIDR: '10.77.0.0/24',
  hostnameOverride: 'node-1',
  healthzBindAddress: '127.0.0.1:10256',
  metricsBindAddress: '127.0.0.1:10249',
  iptables: { syncPeriod: '5s', minSyncPeriod: '100ms' },
};

const service = (name: string, spec: object): object => ({
  kind: 'Service',
  metadata: { namespace: 'shop', name },
  spec: { type: 'ClusterIP', ipFamilies: ['IPv4'], ...spec },
});

const slice = (of: string, addresses: string[], port: number, protocol = 'TCP'): object => ({
  kind: 'EndpointSlice',
  metadata: { namespace: 'shop', name: `${of}-1`, labels: { 'kubernetes.io/service-name': of } },
  addressType: 'IPv4',
  endpoints: addresses.map((address) => ({ addresses: [address], nodeName: 'node-1', conditions: { ready: true } })),
  ports: [{ name: '', port, protocol }],
});

const web = service('web', {
  type: 'NodePort',
  clusterIP: '10.96.0.10',
  clusterIPs: ['10.96.0.10'],
  ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }],
});
const empty = service('empty', {
  clusterIP: '10.96.0.11',
  clusterIPs: ['10.96.0.11'],
  ports: [{ port: 80, protocol: 'TCP' }],
});
const sticky = service('sticky', {
  clusterIP: '10.96.0.12',
  clusterIPs: ['10.96.0.12'],
  sessionAffinity: 'ClientIP',
  sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
  ports: [{ port: 80, protocol: 'TCP' }],
});

describe.skipIf(missing !== undefined)('kube-proxy in a network namespace', () => {
  let node: TestNode;
  let proxy: ReturnType<TestNode['start']>;
  let foreignBefore = '';
  const startProxy = (): ReturnType<TestNode['start']> =>
    node.start(['ip', 'netns', 'exec', node.name, process.execPath, proxyProcess, JSON.stringify(config)]);
  const put = (object: object): void => proxy.write(JSON.stringify({ put: object }));
  const ourRules = (): string[] => rules().filter((line) => line.includes('KUBE-'));
  const rules = (): string[] =>
    ['filter', 'nat', 'mangle'].flatMap((table) =>
      node
        .run('iptables-save', '-t', table)
        .split('\n')
        .filter((line) => /^[:-]/.test(line))
        .map((line) => `${table} ${line.replace(/ \[\d+:\d+\]$/, '')}`),
    );

  beforeAll(async () => {
    node = new TestNode(`gantry-e2e-proxy-${process.pid}`);
    node.addPod('a', '10.77.0.2');
    node.addPod('b', '10.77.0.3');
    node.serve('a', 8080);
    node.serve('b', 8080);
    // somebody else's rules, in the same tables and chains
    node.run('iptables', '-t', 'nat', '-N', 'OTHERS');
    node.run('iptables', '-t', 'nat', '-A', 'PREROUTING', '-p', 'tcp', '--dport', '7777', '-j', 'OTHERS');
    node.run('iptables', '-A', 'INPUT', '-p', 'tcp', '--dport', '7777', '-j', 'ACCEPT');
    foreignBefore = rules().join('\n');
    proxy = startProxy();
    for (const object of [web, empty, sticky, slice('web', ['10.77.0.2', '10.77.0.3'], 8080)]) put(object);
    put(slice('sticky', ['10.77.0.2', '10.77.0.3'], 8080));
    proxy.write('{"synced":true}');
    await awaitUntil('the first rules', () => rules().some((line) => line.includes('shop/web')));
  });

  afterAll(() => node.remove());

  it('answers on the cluster IP from a pod, by every endpoint', () => {
    const seen = new Set(Array.from({ length: 40 }, () => node.fetch('http://10.96.0.10/who', 'b')));
    expect(seen).toEqual(new Set(['a', 'b']));
  });

  it('keeps the source address of a pod, and masquerades the node as a client', () => {
    const viaNode = new Set(Array.from({ length: 10 }, () => node.fetch('http://10.96.0.10/cgi-bin/from')));
    expect(viaNode).toEqual(new Set(['10.77.0.1']));
    const viaPod = new Set(Array.from({ length: 40 }, () => node.fetch('http://10.96.0.10/cgi-bin/from', 'b')));
    // the other pod sees the pod; the pod itself, called through its own Service, sees the node (hairpin)
    expect(viaPod).toEqual(new Set(['10.77.0.3', '10.77.0.1']));
  });

  it('answers on the NodePort: from a pod, on the node, and on 127.0.0.1', () => {
    expect(node.fetch('http://10.77.0.1:30080/who', 'a')).toMatch(/^[ab]$/);
    expect(node.fetch('http://10.77.0.1:30080/who')).toMatch(/^[ab]$/);
    expect(node.fetch('http://127.0.0.1:30080/who')).toMatch(/^[ab]$/);
  });

  it('refuses a Service without endpoints at once', () => {
    expect(node.refusal('http://10.96.0.11/who', 'a')).toContain('Connection refused');
    expect(node.refusal('http://10.96.0.11/who')).toContain('Connection refused');
  });

  it('keeps a client with its endpoint when the Service asks for it', () => {
    const seen = new Set(Array.from({ length: 20 }, () => node.fetch('http://10.96.0.12/who', 'a')));
    expect(seen.size).toBe(1);
  });

  it('moves traffic when endpoints change, and writes only what changed', async () => {
    put(slice('web', ['10.77.0.3'], 8080));
    await awaitUntil('only b to be left', () => !ourRules().some((line) => /shop\/web -> 10\.77\.0\.2/.test(line)));
    const seen = new Set(Array.from({ length: 20 }, () => node.fetch('http://10.96.0.10/who', 'b')));
    expect(seen).toEqual(new Set(['b']));
    await awaitUntil('a sync of the change alone', () =>
      proxy.output.some((line) => line.includes('"isFull":false') && line.includes('IPv4')),
    );
    put(slice('web', [], 8080));
    await awaitUntil('a refusal', () => node.refusal('http://10.96.0.10/who', 'b').includes('Connection refused'));
    put(slice('web', ['10.77.0.2', '10.77.0.3'], 8080));
    await awaitUntil('an answer', () => /^[ab]$/.test(node.fetch('http://10.96.0.10/who', 'b')));
  });

  it('tells its mode, its metrics and its health', () => {
    expect(node.fetch('http://127.0.0.1:10249/proxyMode')).toBe('iptables');
    expect(node.fetch('http://127.0.0.1:10249/healthz')).toBe('ok');
    expect(node.fetch('http://127.0.0.1:10249/metrics')).toMatch(
      /kubeproxy_sync_full_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} [1-9]/,
    );
    expect(JSON.parse(node.fetch('http://127.0.0.1:10256/livez'))).toMatchObject({ healthy: true });
  });

  it.each([
    { name: 'flushed one table', command: ['iptables', '-t', 'nat', '-F'] },
    { name: 'flushed the filter table', command: ['iptables', '-F'] },
    {
      name: 'flushed and deleted chains',
      command: ['sh', '-c', 'iptables -t nat -F; iptables -t nat -X; iptables -F; iptables -X'],
    },
  ])('puts its rules back after somebody $name', async ({ command }) => {
    const before = ourRules().toSorted();
    node.run(...command);
    expect(ourRules().length).toBeLessThan(before.length);
    await awaitUntil('all rules to be back', () => ourRules().toSorted().join('\n') === before.join('\n'), {
      timeoutMs: 60_000,
    });
    expect(node.fetch('http://10.96.0.10/who', 'b')).toMatch(/^[ab]$/);
  });

  it('leaves the rules when it stops, and a new one takes them over and removes what is stale', async () => {
    await proxy.stop();
    expect(node.fetch('http://10.96.0.10/who', 'b')).toMatch(/^[ab]$/);
    proxy = startProxy();
    put(web);
    put(slice('web', ['10.77.0.2'], 8080));
    proxy.write('{"synced":true}');
    await awaitUntil('the stale chains to go', () => !ourRules().some((line) => line.includes('shop/sticky')));
    expect(node.fetch('http://10.96.0.10/who', 'b')).toBe('a');
    const jumps = ourRules().filter((line) => /^\w+ -A (INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING) /.test(line));
    expect(jumps.length).toBe(new Set(jumps).size);
    expect(jumps.length).toBe(14);
  });

  it('cleans up: nothing of ours is left, foreign rules are as before', async () => {
    await proxy.stop();
    // the tests above flushed the foreign rules; they come from somebody who puts them back
    node.run('sh', '-c', 'iptables -t nat -S OTHERS >/dev/null 2>&1 || iptables -t nat -N OTHERS');
    for (const rule of [
      '-t nat PREROUTING -p tcp --dport 7777 -j OTHERS',
      '-t filter INPUT -p tcp --dport 7777 -j ACCEPT',
    ]) {
      const [dashT = '', table = '', chain = '', ...rest] = rule.split(' ');
      node.run('iptables', dashT, table, '-A', chain, ...rest);
    }
    node.run(process.execPath, new URL('../../src/main.ts', import.meta.url).pathname, 'kube-proxy', '--cleanup');
    expect(ourRules()).toEqual([]);
    expect(rules().toSorted().join('\n')).toBe(foreignBefore.split('\n').toSorted().join('\n'));
    expect(node.run('ip6tables-save')).not.toContain('KUBE-');
  });
});
