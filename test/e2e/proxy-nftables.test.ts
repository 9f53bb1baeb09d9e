import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awaitUntil } from '../await-until.ts';
import { NetPeer } from './net-peer.ts';
import { TestNode, missingForNamespaces } from './network-namespace.ts';

const missing = missingForNamespaces(['nft', 'sysctl', 'busybox']);
if (missing !== undefined) console.warn(`skipped: kube-proxy in mode nftables ${missing}`);

const proxyProcess = new URL('proxy-process.ts', import.meta.url).pathname;
const golden = new URL('../../src/proxy/install/nftables/golden/', import.meta.url).pathname;
const gantry = new URL('../../src/main.ts', import.meta.url).pathname;
const config = {
  mode: 'nftables',
  clusterCIDR: '10.77.0.0/24,fd77::/64',
  hostnameOverride: 'node-1',
  healthzBindAddress: '127.0.0.1:10256',
  metricsBindAddress: '127.0.0.1:10249',
  nftables: { syncPeriod: '1s', minSyncPeriod: '10ms' },
};

interface Family {
  family: 'IPv4' | 'IPv6';
  ip: (host: string) => string;
}
const ipv4: Family = { family: 'IPv4', ip: (host) => `10.77.0.${host}` };
const ipv6: Family = { family: 'IPv6', ip: (host) => `fd77::${host}` };
/** Pods by their last address part. Pod c counts as one of another node. */
const hosts = { a: '2', b: '3', c: '4' };
const nodeOf: Record<string, string> = { '2': 'node-1', '3': 'node-1', '4': 'node-2' };

const tcp = { port: 80, protocol: 'TCP' };

function service(name: string, clusterIP: string, spec: object = {}): object {
  const ipFamilies = [clusterIP.includes(':') ? 'IPv6' : 'IPv4'];
  return {
    kind: 'Service',
    metadata: { namespace: 'shop', name },
    spec: { type: 'ClusterIP', ipFamilies, clusterIP, clusterIPs: [clusterIP], ports: [tcp], ...spec },
  };
}

function slice(
  of: string,
  pods: readonly string[],
  { family, ip }: Family = ipv4,
  ports: object[] = [{ name: '', port: 8080, protocol: 'TCP' }],
  conditions: object = { ready: true },
): object {
  return {
    kind: 'EndpointSlice',
    metadata: { namespace: 'shop', name: `${of}-${family}`, labels: { 'kubernetes.io/service-name': of } },
    addressType: family,
    endpoints: pods.map((host) => ({ addresses: [ip(host)], nodeName: nodeOf[host] ?? 'node-2', conditions })),
    ports,
  };
}

const all = [hosts.a, hosts.b, hosts.c];
const both = [
  { name: 'tcp', port: 80, protocol: 'TCP' },
  { name: 'udp', port: 80, protocol: 'UDP' },
];
const bothTargets = [
  { name: 'tcp', port: 8080, protocol: 'TCP' },
  { name: 'udp', port: 8080, protocol: 'UDP' },
];
const affinity = (timeoutSeconds: number): object => ({
  sessionAffinity: 'ClientIP',
  sessionAffinityConfig: { clientIP: { timeoutSeconds } },
});
const local = { type: 'NodePort', externalTrafficPolicy: 'Local' };
const loadBalancer = (ip: string): object => ({ status: { loadBalancer: { ingress: [{ ip }] } } });

describe.skipIf(missing !== undefined)('kube-proxy in mode nftables', () => {
  let node: TestNode;
  let proxy: ReturnType<TestNode['start']>;
  let a: NetPeer;
  let b: NetPeer;
  let outside: NetPeer;
  let onNode: NetPeer;
  let objects: object[] = [];
  const tools = mkdtempSync(join(tmpdir(), 'gantry-e2e-nft-'));

  const ruleset = (): string => node.run('nft', 'list', 'ruleset');
  const ours = (): string =>
    ['ip', 'ip6'].map((family) => node.run('nft', 'list', 'table', family, 'kube-proxy')).join('');
  const put = (object: object): void => proxy.write(JSON.stringify({ put: object }));
  const startProxy = (): void => {
    proxy = node.start([
      'ip',
      'netns',
      'exec',
      node.name,
      'env',
      `PATH=${tools}:${process.env['PATH']}`,
      process.execPath,
      proxyProcess,
      JSON.stringify(config),
    ]);
    for (const object of objects) put(object);
    proxy.write('{"synced":true}');
  };
  const syncsSoFar = (): number => proxy.output.filter((line) => line.includes('rules are in place')).length;
  /** Puts objects and waits for what is told of them to be so. */
  const putUntil = async (what: string, some: object[], look: () => boolean | Promise<boolean>): Promise<void> => {
    for (const object of some) put(object);
    await awaitUntil(what, look);
  };
  const metric = (name: string): number => {
    const text = node.fetch('http://127.0.0.1:10249/metrics');
    const values = [...text.matchAll(new RegExp(`^kubeproxy_${name}\\{[^}]*\\} (\\d+)`, 'gm'))];
    return values.reduce((sum, [, value]) => sum + Number(value), 0);
  };

  beforeAll(async () => {
    node = new TestNode(`gantry-e2e-nft-${process.pid}`);
    for (const [name, host] of Object.entries(hosts)) node.addPod(name, ipv4.ip(host));
    const outsideNetns = node.addOutside();
    node.addIpv6(hosts);
    const peers = Object.keys(hosts).map((name) => new NetPeer(node, node.netns(name)));
    [a, b] = peers as [NetPeer, NetPeer];
    outside = new NetPeer(node, outsideNetns);
    onNode = new NetPeer(node, node.name);
    for (const [i, name] of Object.keys(hosts).entries()) await peers[i]?.serve(8080, name);
    node.run('nft', 'add table ip others; add chain ip others in { type filter hook input priority 0 ; }');
    node.run('nft', 'add rule ip others in tcp dport 7777 counter accept');
    // what a kube-proxy of upstream has left: another layout under the same name
    node.run(
      'nft',
      'add table ip kube-proxy; add chain ip kube-proxy service-X/shop/web/tcp/; add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }; add element ip kube-proxy service-ips { 10.96.0.99 . tcp . 80 : goto service-X/shop/web/tcp/ }',
    );
    writeFileSync(
      join(tools, 'nft'),
      `#!/bin/sh\nif [ -e ${tools}/fail ]; then echo 'nft is told to fail' >&2; exit 1; fi\nexec ${execFileSync('which', ['nft'], { encoding: 'utf8' }).trim()} "$@"\n`,
    );
    chmodSync(join(tools, 'nft'), 0o755);
    objects = [
      {
        kind: 'Node',
        metadata: { name: 'node-1' },
        status: {
          addresses: [
            { type: 'InternalIP', address: '10.78.0.1' },
            { type: 'InternalIP', address: 'fd78::1' },
          ],
        },
      },
      service('web', '10.96.0.10', { type: 'NodePort', ports: both.map((port) => ({ ...port, nodePort: 30080 })) }),
      slice('web', all, ipv4, bothTargets),
      service('web6', 'fd96::10', { type: 'NodePort', ports: both.map((port) => ({ ...port, nodePort: 30086 })) }),
      slice('web6', all, ipv6, bothTargets),
      service('empty', '10.96.0.11', {
        type: 'NodePort',
        ports: both.map((port) => ({ ...port, nodePort: 30081 })),
        externalIPs: ['192.0.2.11'],
      }),
      service('sticky', '10.96.0.12', { type: 'NodePort', ports: [{ ...tcp, nodePort: 30082 }], ...affinity(600) }),
      slice('sticky', all),
      service('inside', '10.96.0.13', { internalTrafficPolicy: 'Local' }),
      slice('inside', all),
      service('elsewhere', '10.96.0.14', { internalTrafficPolicy: 'Local' }),
      slice('elsewhere', [hosts.c]),
      service('front', '10.96.0.15', { ...local, ports: [{ ...tcp, nodePort: 30085 }], externalIPs: ['192.0.2.15'] }),
      slice('front', [hosts.a, hosts.c]),
      service('back', '10.96.0.16', { ...local, ports: [{ ...tcp, nodePort: 30087 }], externalIPs: ['192.0.2.16'] }),
      slice('back', [hosts.c]),
      {
        ...service('guarded', '10.96.0.17', {
          type: 'LoadBalancer',
          ports: [{ ...tcp, nodePort: 30088 }],
          loadBalancerSourceRanges: ['10.78.0.0/24', '10.78.0.128/25', '203.0.113.0/24'],
        }),
        ...loadBalancer('192.0.2.17'),
      },
      slice('guarded', all),
      {
        ...service('closed', '10.96.0.18', {
          type: 'LoadBalancer',
          ports: [{ ...tcp, nodePort: 30089 }],
          loadBalancerSourceRanges: ['203.0.113.0/24'],
        }),
        ...loadBalancer('192.0.2.18'),
      },
      // somebody would like to be the cluster's web
      service('thief', '10.96.0.19', { externalIPs: ['10.96.0.10'] }),
      slice('thief', [hosts.c]),
      service('stream', '10.96.0.20', { ports: [{ port: 132, protocol: 'SCTP' }] }),
      slice('stream', all, ipv4, [{ name: '', port: 8080, protocol: 'SCTP' }]),
      service('leaving', '10.96.0.21'),
      slice('leaving', [hosts.b], ipv4, undefined, { ready: false, serving: true, terminating: true }),
    ];
    startProxy();
    try {
      await awaitUntil('the first rules', () => syncsSoFar() >= 2, { timeoutMs: 60_000 });
    } catch (err) {
      throw new Error(proxy.output.join('\n'), { cause: err });
    }
  }, 60_000);

  afterAll(() => {
    node.remove();
    rmSync(tools, { recursive: true, force: true });
  });

  it('takes the place of an upstream table in one go', () => {
    expect(ours()).not.toContain('service-X');
    expect(ours()).toContain('tcp-endpoints');
  });

  it.each(['tcp', 'udp'] as const)('%s: leads pods to every endpoint, and keeps their address', async (protocol) => {
    // the last answer is the hairpin: a pod that reaches itself sees the node
    expect(await b.answers('10.96.0.10', 80, protocol)).toEqual(['a 10.77.0.3', 'b 10.77.0.1', 'c 10.77.0.3']);
    expect(await b.answers('fd96::10', 80, protocol)).toEqual(['a fd77::3', 'b fd77::1', 'c fd77::3']);
  });

  it('masquerades cluster IP traffic of those that are no pods', async () => {
    const want = ['a 10.77.0.1', 'b 10.77.0.1', 'c 10.77.0.1'];
    expect(await outside.answers('10.96.0.10', 80)).toEqual(want);
    expect(await onNode.answers('10.96.0.10', 80)).toEqual(want);
  });

  it('answers on NodePorts of the primary address alone, masqueraded', async () => {
    for (const protocol of ['tcp', 'udp'] as const) {
      expect(await outside.answers('10.78.0.1', 30080, protocol)).toEqual([
        'a 10.77.0.1',
        'b 10.77.0.1',
        'c 10.77.0.1',
      ]);
      expect(await outside.answers('fd78::1', 30086, protocol)).toEqual(['a fd77::1', 'b fd77::1', 'c fd77::1']);
    }
    expect(await onNode.ask('10.78.0.1', 30080)).toMatch(/^[abc] 10\.77\.0\.1$/);
    expect(await a.ask('10.77.0.1', 30080)).toBe('ECONNREFUSED');
    expect(await onNode.ask('127.0.0.1', 30080)).toBe('ECONNREFUSED');
  });

  it.each(['tcp', 'udp'] as const)('%s: refuses at once what has no endpoints', async (protocol) => {
    const answers: string[] = [];
    for (const [name, client] of Object.entries({ a, outside, onNode })) {
      for (const ip of ['10.96.0.11', '192.0.2.11']) {
        answers.push(`${name} ${ip} ${await client.ask(ip, 80, protocol)}`);
      }
    }
    expect(answers.filter((answer) => !answer.endsWith('ECONNREFUSED'))).toEqual([]);
    expect(await outside.ask('10.78.0.1', 30081, protocol)).toBe('ECONNREFUSED');
  });

  it('refuses ports that an active cluster IP does not have', async () => {
    expect(await a.ask('10.96.0.10', 81)).toBe('ECONNREFUSED');
    expect(await onNode.ask('10.96.0.10', 81)).toBe('ECONNREFUSED');
  });

  it('drops what goes to a cluster IP that no Service has, once the ranges are known', async () => {
    node.run('nft', 'add chain ip others late { type filter hook forward priority 10 ; }');
    node.run('nft', 'add rule ip others late ip daddr 10.96.0.200 counter');
    const passed = (): number =>
      Number(/packets (\d+)/.exec(node.run('nft', 'list', 'chain', 'ip', 'others', 'late'))?.[1]);
    await a.ask('10.96.0.200', 80);
    const before = passed();
    expect(before).toBeGreaterThan(0);

    const ranges = {
      kind: 'ServiceCIDR',
      metadata: { name: 'kubernetes' },
      spec: { cidrs: ['10.96.0.0/16', 'fd96::/112'] },
    };
    objects = [...objects, ranges];
    await putUntil('the ranges', [ranges], () => /fd96::\/112/.test(ours()) && /10\.96\.0\.0\/16/.test(ours()));
    expect(await a.ask('10.96.0.200', 80)).toBe('timeout');
    expect(passed()).toBe(before);
    expect(await a.ask('10.96.0.10', 81)).toBe('ECONNREFUSED');
  });

  it('keeps an internal policy Local on this node, and drops where there is nobody', async () => {
    expect(await b.answers('10.96.0.13', 80)).toEqual(['a 10.77.0.3', 'b 10.77.0.1']);
    expect(await a.ask('10.96.0.14', 80)).toBe('timeout');
  });

  it('an external policy Local: outsiders stay here with their address, pods and the node go anywhere', async () => {
    for (const [ip, port] of [
      ['10.78.0.1', 30085],
      ['192.0.2.15', 80],
    ] as const) {
      expect(await outside.answers(ip, port)).toEqual(['a 10.78.0.254']);
      expect(await b.answers(ip, port)).toEqual(['a 10.77.0.3', 'c 10.77.0.3']);
      expect(await onNode.answers(ip, port)).toEqual(['a 10.77.0.1', 'c 10.77.0.1']);
    }
  });

  it('an external policy Local without an endpoint here drops outsiders only', async () => {
    for (const [ip, port] of [
      ['10.78.0.1', 30087],
      ['192.0.2.16', 80],
    ] as const) {
      expect(await outside.ask(ip, port)).toBe('timeout');
      expect(await b.ask(ip, port)).toBe('c 10.77.0.3');
      expect(await onNode.ask(ip, port)).toBe('c 10.77.0.1');
    }
  });

  it("guards a balancer's address, even one with nobody behind it, but not its NodePort", async () => {
    expect(await outside.ask('192.0.2.17', 80)).toMatch(/^[abc] 10\.77\.0\.1$/);
    expect(await a.ask('192.0.2.17', 80)).toBe('timeout');
    // the ranges hold the node's address: it may use the balancer's
    expect(await onNode.ask('192.0.2.17', 80)).toMatch(/^[abc] /);
    expect(await outside.ask('192.0.2.18', 80)).toBe('timeout');
    expect(await outside.ask('10.78.0.1', 30089)).toBe('ECONNREFUSED');
  });

  it('leaves a cluster IP to its Service where another asks for it', async () => {
    expect((await b.answers('10.96.0.10', 80)).length).toBe(3);
  });

  it('uses endpoints that are going where there are no others', async () => {
    expect(await a.ask('10.96.0.21', 80)).toBe('b 10.77.0.2');
  });

  it('has SCTP rules, whether or not the kernel speaks it', () => {
    expect(node.run('nft', 'list', 'map', 'ip', 'kube-proxy', 'sctp-endpoints')).toContain(
      '10.96.0.20 . 132 . 2 : 10.77.0.4 . 8080',
    );
  });

  describe('session affinity', () => {
    it('keeps a client with its endpoint through every address, and another after its own has gone', async () => {
      const [first = '', ...others] = await outside.answers('10.96.0.12', 80);
      expect(others).toEqual([]);
      expect(await outside.answers('10.78.0.1', 30082)).toEqual([first]);

      const gone = hosts[first[0] as 'a' | 'b' | 'c'];
      const left = all.filter((host) => host !== gone);
      await putUntil('the endpoint to go', [slice('sticky', left)], () => !ours().match(`sticky.*${ipv4.ip(gone)}`));
      await awaitUntil('another answer', async () => !(await outside.ask('10.96.0.12', 80)).startsWith(first));
      const [second = '', ...more] = await outside.answers('10.96.0.12', 80);
      expect(more).toEqual([]);

      // back again: the client stays where it is now
      await putUntil('the endpoint to be back', [slice('sticky', all)], () =>
        node
          .run('nft', 'list', 'chain', 'ip', 'kube-proxy', 'sticky-cluster-shop/sticky/tcp/')
          .includes(`${ipv4.ip(gone)}:8080`),
      );
      expect(await outside.answers('10.96.0.12', 80)).toEqual([second]);
    });

    it('forgets a client that has been quiet for long enough', async () => {
      const brief = [service('brief', '10.96.0.30', affinity(1)), slice('brief', all)];
      await putUntil('an answer', brief, async () => (await a.ask('10.96.0.30', 80)).startsWith('timeout') === false);
      const pairs = (): string[] =>
        [
          ...node
            .run('nft', 'list', 'set', 'ip', 'kube-proxy', 'affinity')
            .matchAll(/10\.77\.0\.2 \. (\d+) timeout 1s/g),
        ].map(([, number = '']) => number);
      const seen = new Set<string>();
      for (let i = 0; i < 12 && seen.size < 2; i++) {
        await a.ask('10.96.0.30', 80);
        for (const number of pairs()) seen.add(number);
        await awaitUntil('the pair to be forgotten', () => pairs().length === 0);
      }
      expect(seen.size).toBeGreaterThan(1);
    });
  });

  it('makes chains for any number of endpoints, and takes them away when nobody needs them', async () => {
    const many = Array.from({ length: 40 }, (_, i) => String(100 + i));
    node.addAddresses('a', many.map(ipv4.ip));
    const big = [service('big', '10.96.0.31'), slice('big', many)];
    await putUntil('the chain', big, () => ours().includes('chain cluster-tcp-40 {'));
    expect(await b.answers('10.96.0.31', 80)).toEqual(['a 10.77.0.3']);
    await putUntil('the chain to go', [slice('big', many.slice(1))], () => !ours().includes('chain cluster-tcp-40 {'));
    expect(ours()).toContain('chain cluster-tcp-39 {');
    expect(metric('sync_proxy_rules_nftables_cleanup_failures_total')).toBe(0);
  });

  it('writes the same text when it starts anew with nothing changed', async () => {
    await proxy.stop();
    const withoutPairs = (): string => ours().replaceAll(/ expires \S+/g, '');
    objects = [...objects, service('big', '10.96.0.31'), slice('big', ['100', '101'])];
    startProxy();
    await awaitUntil('the rules', () => syncsSoFar() >= 2);
    await awaitUntil('what is stale to go', () => !ours().includes('brief') && !ours().includes('cluster-tcp-39 {'));
    const before = withoutPairs();
    await proxy.stop();
    expect(withoutPairs()).toBe(before);
    startProxy();
    await awaitUntil('the rules', () => syncsSoFar() >= 2);
    expect(withoutPairs()).toBe(before);
  });

  it('keeps connections and rules when it is killed', async () => {
    expect(await outside.hold('10.78.0.1', 30080)).toBe('held');
    const first = await outside.poke();
    await proxy.stop('SIGKILL');
    expect(await outside.poke()).toBe(first);
    expect((await b.answers('10.96.0.10', 80)).length).toBe(3);
    startProxy();
    await awaitUntil('the rules', () => syncsSoFar() >= 2);
    expect(await outside.poke()).toBe(first);
  });

  it.each([
    { name: 'all rules were flushed', command: 'flush ruleset' },
    { name: 'the table was deleted', command: 'delete table ip kube-proxy' },
    { name: 'chains were flushed', command: 'flush table ip kube-proxy' },
    { name: 'an element was deleted', command: 'delete element ip kube-proxy tcp-endpoints { 10.96.0.10 . 80 . 1 }' },
    { name: 'an element was added', command: 'add element ip6 kube-proxy cluster-ips { fd96::99 }' },
    { name: 'a rule was added', command: 'insert rule ip kube-proxy services drop' },
  ])('has its rules back after $name', async ({ command }) => {
    const withoutPairs = (): string => ours().replaceAll(/\t*elements = \{[^}]*timeout[^}]*\}\n/g, '');
    await awaitUntil('quiet', () => !ours().includes('brief'));
    const before = withoutPairs();
    node.run('nft', command);
    await awaitUntil('all rules to be back', () => withoutPairs() === before, { timeoutMs: 60_000 });
    expect((await b.answers('10.96.0.10', 80)).length).toBe(3);
  });

  it('tries again where nft fails, and counts it', async () => {
    writeFileSync(join(tools, 'fail'), '');
    put(slice('web', [hosts.c], ipv4, bothTargets));
    await awaitUntil('a failure', () => metric('sync_proxy_rules_nftables_sync_failures_total') > 0);
    expect((await b.answers('10.96.0.10', 80)).length).toBe(3);
    rmSync(join(tools, 'fail'));
    await awaitUntil('the change', async () => (await b.answers('10.96.0.10', 80, 'tcp', 10)).join() === 'c 10.77.0.3');
  });

  it('changes a few elements when an endpoint comes', async () => {
    await putUntil('two endpoints', [slice('web', [hosts.b, hosts.c], ipv4, bothTargets)], () =>
      ours().includes('10.96.0.10 . 80 . 1 : 10.77.0.4 . 8080'),
    );
    await awaitUntil('its report', () => proxy.output.at(-1)?.includes('"isFull":false') === true);
  });

  it.each(readdirSync(golden))('the kernel takes golden/%s', (file) => {
    const command = ['netns', 'exec', node.netns('a'), 'nft', '--check', '-f', join(golden, file)];
    expect(execFileSync('ip', command, { encoding: 'utf8' })).toBe('');
  });

  it('refuses a tool that is too old, by name', async () => {
    const old = mkdtempSync(join(tmpdir(), 'gantry-e2e-nft-'));
    writeFileSync(join(old, 'nft'), '#!/bin/sh\necho "nftables v1.0.0 (Fearless Fosdick #2)"\n', { mode: 0o755 });
    const started = node.start([
      'env',
      `PATH=${old}:${process.env['PATH']}`,
      process.execPath,
      proxyProcess,
      JSON.stringify(config),
    ]);
    await awaitUntil('the refusal', () =>
      started.output.some((line) => line.includes('it is version "1.0.0", expected 1.0.1')),
    );
    rmSync(old, { recursive: true });
  });

  it('cleans up: nothing of ours is left, foreign rules are as before', async () => {
    await proxy.stop();
    node.run('nft', 'add table ip others');
    node.run(process.execPath, gantry, 'kube-proxy', '--cleanup');
    expect(ruleset()).not.toContain('kube-proxy');
    expect(ruleset()).toContain('table ip others');
    expect(existsSync(join(tools, 'fail'))).toBe(false);
  });
});
