import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modelClusterCidrs, modelServices, modelSlices } from '../../src/proxy/compute/model-cluster.ts';
import { awaitUntil } from '../await-until.ts';
import { TestNode, missingForNamespaces } from './network-namespace.ts';

const tools = ['iptables', 'iptables-save', 'iptables-restore', 'ip6tables', 'ip6tables-save', 'ip6tables-restore'];
const missing = missingForNamespaces([...tools, 'nfacct', 'busybox', 'sysctl', 'flock']);
if (missing !== undefined) console.warn(`skipped: rules of the model cluster in a network namespace ${missing}`);

const proxyProcess = new URL('proxy-process.ts', import.meta.url).pathname;
const firewallProcess = new URL('firewall-process.ts', import.meta.url).pathname;
const gantry = new URL('../../src/main.ts', import.meta.url).pathname;
const goldens = new URL('../../src/proxy/install/iptables/golden/', import.meta.url).pathname;
const pods = { a: '10.77.0.2', b: '10.77.0.3' };
const web = {
  kind: 'Service',
  metadata: { namespace: 'shop', name: 'web' },
  spec: {
    type: 'NodePort',
    clusterIP: '10.96.9.1',
    clusterIPs: ['10.96.9.1'],
    ipFamilies: ['IPv4'],
    ports: [{ port: 80, protocol: 'TCP', nodePort: 30_999 }],
  },
};
const webSlice = (...addresses: string[]): object => ({
  kind: 'EndpointSlice',
  metadata: { namespace: 'shop', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  ports: [{ name: '', port: 8080, protocol: 'TCP' }],
});
const url = 'http://10.96.9.1/who';

/** The tools under their plain names, of one flavour, with a restore tool that can fail, or end its caller. */
class Flavour {
  readonly name: 'nft' | 'legacy';
  readonly directory: string;

  constructor(name: 'nft' | 'legacy', parent: string) {
    this.name = name;
    this.directory = join(parent, name);
    mkdirSync(this.directory);
    for (const tool of tools) {
      const real = `${tool.replace('tables', `tables-${name}`)}`;
      const trouble = tool === 'iptables-restore' ? `. ${this.directory}/trouble\n` : '';
      writeFileSync(join(this.directory, tool), `#!/bin/sh\n${trouble}exec ${real} "$@"\n`, { mode: 0o755 });
    }
    this.trouble('');
  }

  /** What iptables-restore does first. */
  trouble(script: string): void {
    writeFileSync(join(this.directory, 'trouble'), `${script}\n`);
  }

  get env(): string[] {
    const lock = `XTABLES_LOCKFILE=${this.directory}/lock`;
    return ['env', `PATH=${this.directory}:${process.env['PATH'] ?? ''}`, lock];
  }
}

/** Whether this kernel has the old tables. */
function hasLegacy(): boolean {
  try {
    execFileSync('iptables-legacy', ['-t', 'nat', '-S'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const flavours = ['nft', ...(missing === undefined && hasLegacy() ? ['legacy' as const] : [])] as const;
if (missing === undefined && flavours.length === 1) console.warn('skipped: this kernel has no iptables-legacy');

describe.skipIf(missing !== undefined).each(flavours)('rules of the model cluster, iptables-%s', (flavourName) => {
  let node: TestNode;
  let proxy: ReturnType<TestNode['start']>;
  let directory: string;
  let flavour: Flavour;
  let foreign: string[] = [];
  const run = (...command: string[]): string => node.run(...flavour.env, ...command);
  const put = (object: object): void => proxy.write(JSON.stringify({ put: object }));
  const rules = (): string[] =>
    ['iptables-save', 'ip6tables-save'].flatMap((tool) =>
      ['filter', 'nat', 'mangle'].flatMap((table) =>
        run(tool, '-t', table)
          .split('\n')
          .filter((line) => /^[:-]/.test(line))
          .map((line) => `${tool} ${table} ${line.replace(/ \[\d+:\d+\]$/, '')}`),
      ),
    );
  const ours = (): string =>
    rules()
      .filter((line) => line.includes('KUBE-'))
      .join('\n');
  const theirs = (): string[] => rules().filter((line) => !line.includes('KUBE-'));
  const startProxy = (more: readonly object[] = []): void => {
    const config = {
      clusterCIDR: ['10.77.0.0/24', modelClusterCidrs[1]].join(','),
      hostnameOverride: 'here',
      bindAddress: '192.168.0.2',
      healthzBindAddress: '127.0.0.1:10256',
      metricsBindAddress: '127.0.0.1:10249',
      iptables: { syncPeriod: '1s', minSyncPeriod: '100ms' },
    };
    const command = ['ip', 'netns', 'exec', node.name, ...flavour.env, process.execPath, proxyProcess];
    proxy = node.start([...command, JSON.stringify(config)]);
    for (const object of [...modelServices, ...modelSlices, web, webSlice(pods.a, pods.b), ...more]) put(object);
    proxy.write('{"synced":true}');
  };
  const isFull = (family: string): boolean =>
    proxy.output.some((line) => line.includes('"isFull":true') && line.includes(`"family":"${family}"`));
  const settled = (): Promise<unknown> =>
    awaitUntil('both families to be in place', () => isFull('IPv4') && isFull('IPv6'));

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-iptables-'));
    flavour = new Flavour(flavourName, directory);
    node = new TestNode(`gantry-e2e-ipt-${flavourName}-${process.pid}`);
    for (const [pod, address] of Object.entries(pods)) {
      node.addPod(pod, address);
      node.serve(pod, 8080);
    }
    for (const tool of ['iptables', 'ip6tables']) {
      run(tool, '-t', 'nat', '-N', 'OTHERS');
      run(tool, '-t', 'nat', '-A', 'PREROUTING', '-p', 'tcp', '--dport', '7777', '-j', 'OTHERS');
      run(tool, '-A', 'INPUT', '-p', 'tcp', '--dport', '7777', '-j', 'ACCEPT');
      run(tool, '-t', 'mangle', '-A', 'FORWARD', '-p', 'tcp', '--dport', '7777', '-j', 'ACCEPT');
    }
    startProxy();
    await settled();
    foreign = theirs();
  });

  afterAll(() => {
    node.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('the golden files are what the tools take', () => {
    for (const file of readdirSync(goldens).filter((name) =>
      readFileSync(goldens + name, 'utf8').startsWith('*mangle'),
    )) {
      const name = `${node.name}-golden`;
      execFileSync('ip', ['netns', 'add', name]);
      try {
        const inside = ['netns', 'exec', name, ...flavour.env];
        execFileSync('ip', [...inside, 'nfacct', 'add', 'ct_state_invalid_dropped_pkts']);
        execFileSync('ip', [...inside, 'nfacct', 'add', 'localhost_nps_accepted_pkts']);
        const restore = file.includes('ipv6') ? 'ip6tables-restore' : 'iptables-restore';
        const input = readFileSync(goldens + file, 'utf8');
        execFileSync('ip', [...inside, restore, '-w', '5', '--noflush', '--counters'], { input });
      } finally {
        execFileSync('ip', ['netns', 'del', name]);
      }
    }
  });

  it('come in upstream’s order on a fresh node', () => {
    const jumpsOf = (chain: string): string[] =>
      [...ours().matchAll(new RegExp(`^iptables-save filter -A ${chain} .*-j KUBE-(\\S+)$`, 'gm'))].map(
        ([, target]) => target ?? '',
      );
    expect(jumpsOf('INPUT')).toEqual(['FIREWALL', 'PROXY-FIREWALL', 'NODEPORTS', 'EXTERNAL-SERVICES']);
    expect(jumpsOf('FORWARD')).toEqual(['PROXY-FIREWALL', 'FORWARD', 'SERVICES', 'EXTERNAL-SERVICES']);
    expect(jumpsOf('OUTPUT')).toEqual(['FIREWALL', 'PROXY-FIREWALL', 'SERVICES']);
    expect(ours()).toContain('--nfacct-name  localhost_nps_accepted_pkts');
  });

  it('are the same to the letter after a restart', async () => {
    const before = ours();
    await proxy.stop();
    expect(ours()).toBe(before);
    startProxy();
    await settled();
    expect(ours()).toBe(before);
    expect(theirs()).toEqual(foreign);
  });

  it.each(
    [
      { name: 'flushed the chain of all Services', command: ['-t', 'nat', '-F', 'KUBE-SERVICES'] },
      { name: 'flushed the mark that masquerades', command: ['-t', 'nat', '-F', 'KUBE-MARK-MASQ'] },
      { name: 'flushed one Service', command: ['-t', 'nat', '-F', 'KUBE-SVC-NPX46M4PTMTKRN6Y'] },
      { name: 'deleted a jump', command: ['-D', 'FORWARD', '1'] },
      { name: 'deleted a canary', command: ['-t', 'mangle', '-X', 'KUBE-PROXY-CANARY'] },
    ].slice(0, flavourName === 'nft' ? undefined : 1),
  )('come back after somebody $name, and foreign rules stay', async ({ command }) => {
    const before = ours().split('\n').toSorted();
    run('iptables', ...command);
    await awaitUntil('all rules to be back', () => ours().split('\n').toSorted().join() === before.join(), {
      timeoutMs: 60_000,
    });
    expect(theirs()).toEqual(foreign);
    expect(node.fetch(url, 'b')).toMatch(/^[ab]$/);
  });

  it.runIf(flavourName === 'nft')('follow a change although iptables-restore fails twice', async () => {
    const failures = join(directory, 'failures');
    writeFileSync(failures, '');
    flavour.trouble(
      `[ $(wc -c < ${failures}) -ge 2 ] || { printf x >> ${failures}; cat > /dev/null; echo "line 3 failed" >&2; exit 1; }`,
    );
    put(webSlice(pods.a));
    await awaitUntil('b to get nothing', () => !ours().includes('shop/web -> 10.77.0.3'));
    expect(Array.from({ length: 6 }, () => node.fetch(url, 'b')).join('')).toBe('aaaaaa');
    expect(readFileSync(failures, 'utf8')).toBe('xx');
    const metrics = node.fetch('http://127.0.0.1:10249/metrics');
    expect(metrics).toContain('kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 2');
    expect(metrics).toContain('kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv4"} 1');
    const told = proxy.output.find((line) => line.includes('line 3 failed')) ?? '';
    expect(told).toMatch(/3: .*\\n4: /);
    flavour.trouble('');
  });

  it.runIf(flavourName === 'legacy')('follow a change when the lock is free again', async () => {
    const holder = node.start(['flock', '--no-fork', join(flavour.directory, 'lock'), 'cat']);
    put(webSlice(pods.b));
    await awaitUntil('the lock to be told', () => proxy.output.some((line) => line.includes('xtables lock')), {
      timeoutMs: 60_000,
    });
    expect(node.fetch(url, 'a')).toMatch(/^[ab]$/);
    await holder.stop();
    await awaitUntil('a to get nothing', () => !ours().includes('shop/web -> 10.77.0.2'), { timeoutMs: 60_000 });
  });

  it.runIf(flavourName === 'nft')(
    'serve on while a proxy is killed at some step of its start, and the next one completes them',
    async () => {
      // more Services than go into one call: the steps are chains, what leads to them, and removals
      const many = Array.from({ length: 310 }, (_, i) => [
        { ...web, metadata: { namespace: 'many', name: `s${i}` }, spec: manySpec(i) },
        { ...webSlice(pods.a), metadata: manyMetadata(i) },
      ]).flat();
      const calls = join(directory, 'calls');
      for (const [more, steps] of [[many, [2]] as const, [[], [2, 3]] as const]) {
        await proxy.stop();
        for (const step of steps) {
          writeFileSync(calls, '');
          flavour.trouble(`printf x >> ${calls}; [ $(wc -c < ${calls}) -ne ${step} ] || kill -9 $PPID`);
          startProxy(more);
          await proxy.ended;
          expect(node.fetch(url, 'b')).toMatch(/^[ab]$/);
        }
        flavour.trouble('');
        startProxy(more);
        await settled();
        expect(node.fetch(url, 'b')).toMatch(/^[ab]$/);
        const reachable = new Set([...ours().matchAll(/-j (KUBE-\w+-\w{16})/g)].map(([, chain]) => chain));
        const there = [...ours().matchAll(/:(KUBE-\w+-\w{16}) /g)].map(([, chain]) => chain);
        expect(new Set(there)).toEqual(reachable);
        expect(ours().includes('many/s309')).toBe(more === many);
      }
      expect(theirs()).toEqual(foreign);
    },
  );

  it('go without a trace, and foreign ones stay', async () => {
    await proxy.stop();
    run(process.execPath, gantry, 'kube-proxy', '--cleanup');
    expect(ours()).toBe('');
    expect(theirs()).toEqual(foreign);
    expect(run('nfacct', 'list')).not.toContain('pkts');
  });

  it('share the kubelet’s guard of 127.0.0.0/8, and leave it to the kubelet when they go', async () => {
    const command = ['ip', 'netns', 'exec', node.name, ...flavour.env, process.execPath, firewallProcess];
    const kubelet = node.start(command);
    await awaitUntil('the kubelet’s chains', () => ours().includes('ip6tables-save mangle :KUBE-KUBELET-CANARY'));
    const alone = ours().split('\n').toSorted();
    expect(alone).toHaveLength(2 * 4 + 4);
    startProxy();
    await settled();
    expect(run('iptables', '-S', 'KUBE-FIREWALL').match(/-j DROP/g)).toHaveLength(1);
    await proxy.stop();
    await kubelet.stop();
    run(process.execPath, gantry, 'kube-proxy', '--cleanup');
    expect(ours().split('\n').toSorted()).toEqual(alone);
  });
});

function manySpec(i: number): object {
  const clusterIP = `10.97.${i >> 8}.${i & 255}`;
  return { ...web.spec, type: 'ClusterIP', clusterIP, clusterIPs: [clusterIP], ports: [{ port: 80, protocol: 'TCP' }] };
}

function manyMetadata(i: number): object {
  return { namespace: 'many', name: `s${i}-1`, labels: { 'kubernetes.io/service-name': `s${i}` } };
}
