import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../src/objects/generated/networking-v1.ts';
import { awaitUntil } from '../await-until.ts';
import {
  PolicyMaker,
  outside,
  ownNode,
  randomFrom,
  serverPorts,
  someNamespaces,
  somePods,
} from '../fixtures/network-policy/generate.ts';
import { type OracleEnd, type OraclePod, type OracleWorld, mayConnect } from '../fixtures/network-policy/oracle.ts';
import { missingForNamespaces } from './network-namespace.ts';
import { PolicyNode } from './support/policy-node.ts';

const missing = missingForNamespaces(['nft', 'sysctl']);
if (missing !== undefined) console.warn(`skipped: network policies in network namespaces ${missing}`);

const agentProcess = new URL('network-policy-process.ts', import.meta.url).pathname;
const rounds = 10;
const seed = 20_264;
/** How long a client waits for what is dropped; what shall answer has longer. */
const clientTimeoutMs = 400;

const world: OracleWorld = { namespaces: someNamespaces(), pods: somePods(true, () => ownNode), policies: [] };
const nameOf = ({ namespace, name }: Pick<OraclePod, 'namespace' | 'name'>): string => `${namespace}${name}`;

const podObject = ({ namespace, name, node, labels, ips, ports }: OraclePod): object => ({
  kind: 'Pod',
  metadata: { namespace, name, labels, uid: `uid-${nameOf({ namespace, name })}` },
  spec: {
    nodeName: node,
    containers: [
      { name: 'c', image: 'i', ports: ports.map(({ port, ...port1 }) => ({ ...port1, containerPort: port })) },
    ],
  },
  status: { phase: 'Running', podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) },
});

describe.skipIf(missing !== undefined)('network policies on a node of network namespaces', () => {
  let node: PolicyNode;
  let agent: ReturnType<PolicyNode['start']>;
  let output: string[] = [];
  const directory = mkdtempSync(join(tmpdir(), 'gantry-e2e-'));
  /** While this file is there, the agent's nft fails. */
  const broken = join(directory, 'broken');
  const put = (object: object): void => void agent.stdin.write(`${JSON.stringify({ put: object })}\n`);
  const remove = (object: object): void => void agent.stdin.write(`${JSON.stringify({ delete: object })}\n`);
  const table = (): string => node.run('nft', 'list', 'table', 'inet', 'gantry-network-policy');
  const tables = (): string => node.run('nft', 'list', 'tables').replace('table inet others\n', '');

  function startAgent(): void {
    output = [];
    const path = `${join(directory, 'bin')}:${process.env['PATH'] ?? ''}`;
    agent = node.start([process.execPath, agentProcess, ownNode, join(directory, 'cni')], undefined, { PATH: path });
    for (const stream of [agent.stdout, agent.stderr]) {
      createInterface({ input: stream }).on('line', (line) => output.push(line));
    }
    put({ kind: 'Node', metadata: { name: ownNode }, spec: { podCIDRs: ['10.79.0.0/16', 'fd00:79::/32'] } });
    for (const [name, labels] of Object.entries(world.namespaces))
      put({ kind: 'Namespace', metadata: { name, labels } });
    for (const pod of world.pods) put(podObject(pod));
    for (const policy of world.policies) put(policy);
    agent.stdin.write('{"synced":true}\n');
  }

  function setPolicies(policies: NetworkPolicy[]): void {
    for (const policy of policies) put(policy);
    for (const old of world.policies) if (!policies.some((one) => keyOf(one) === keyOf(old))) remove(old);
    world.policies = policies;
  }

  /** Everybody to everybody, by TCP and UDP, both families: what the oracle allows, and what answers. */
  async function matrix(): Promise<{ want: string[]; have: string[] }> {
    const ends = [
      ...world.pods.map((pod): OracleEnd & { at: string } => ({ pod, ip: '', at: nameOf(pod) })),
      { ip: '', at: 'outside' },
    ];
    const ipsOf = (end: OracleEnd): readonly string[] => end.pod?.ips ?? outside;
    const want: string[] = [];
    const have = await Promise.all(
      ends.map(async (from) => {
        const targets: string[] = [];
        const allowed: string[] = [];
        for (const to of ends.filter((end) => end !== from && (end.pod ?? from.pod) !== undefined)) {
          for (const [f, ip] of ipsOf(to).entries()) {
            for (const protocol of ['TCP', 'UDP'] as const) {
              for (const port of serverPorts) {
                const target = `${ip} ${protocol} ${port}`;
                const source = { ...from, ip: ipsOf(from)[f] ?? '' };
                const isAllowed = mayConnect(world, { from: source, to: { ...to, ip }, protocol, port });
                (isAllowed ? allowed : targets).push(target);
              }
            }
          }
        }
        want.push(...allowed.map((target) => `${from.at} to ${target}`));
        const [open, leaked] = await Promise.all([
          node.open(from.at, allowed, clientTimeoutMs * 3),
          node.open(from.at, targets, clientTimeoutMs),
        ]);
        return [...open, ...leaked].map((target) => `${from.at} to ${target}`);
      }),
    );
    return { want: want.toSorted(), have: have.flat().toSorted() };
  }

  async function agrees(what: string): Promise<void> {
    let last = { want: [''], have: [''] };
    try {
      await awaitUntil(
        what,
        async () => {
          last = await matrix();
          return last.want.join() === last.have.join();
        },
        { timeoutMs: 60_000 },
      );
    } catch {
      expect(
        last.have,
        `${what}\n${JSON.stringify(world.policies)}\n${table()}\n${output.slice(-10).join('\n')}`,
      ).toEqual(last.want);
    }
  }

  beforeAll(async () => {
    mkdirSync(join(directory, 'cni', 'results'), { recursive: true });
    mkdirSync(join(directory, 'bin'));
    const real = execFileSync('which', ['nft'], { encoding: 'utf8' }).trim();
    const script = `#!/bin/sh\n[ -e ${broken} ] && echo "out of order" >&2 && exit 1\nexec ${real} "$@"\n`;
    writeFileSync(join(directory, 'bin', 'nft'), script, { mode: 0o755 });
    const ends = [...world.pods.map((pod) => ({ name: nameOf(pod), ips: pod.ips })), { name: 'outside', ips: outside }];
    node = new PolicyNode(`gantry-np-${process.pid}`, ends);
    // as kube-proxy does on every node, from its start: connections are tracked
    node.run('nft', 'add table inet others; add chain inet others c { type filter hook forward priority 0 ; }');
    node.run('nft', 'add rule inet others c ct state new accept');
    await node.startPeers(
      ends.map(({ name }) => name),
      serverPorts,
    );
    startAgent();
  });

  afterAll(() => {
    node.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('costs nothing without a policy', async () => {
    await agrees('everything to answer');
    expect(tables()).toBe('');
  });

  it(`lets pass what the oracle allows, and nothing else (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const make = new PolicyMaker(random, true);
    for (let round = 0; round < rounds; round++) {
      const kept = world.policies.filter(() => random() < 0.4);
      setPolicies([...kept, ...Array.from({ length: 1 + Math.floor(random() * 4) }, () => make.policy())]);
      await agrees(`seed ${seed}, round ${round}`);
    }
    expect(output.filter((line) => line.includes('"level":40'))).toEqual([]);
  });

  it('takes a changed label at once, and counts what it keeps back', async () => {
    const front = policy('front', {
      podSelector: {},
      ingress: [{ from: [{ podSelector: { matchLabels: { tier: 'front' } } }] }],
    });
    setPolicies([front]);
    await agrees('front alone');
    const pod = world.pods.find(({ namespace, name }) => namespace === 'x' && name === 'b');
    if (pod === undefined) throw new Error('no pod x/b');
    pod.labels = { ...pod.labels, tier: 'front' };
    put(podObject(pod));
    await agrees('b at the front, too');
    const dropped = (): number => Number(/counter in\/x\/front\/dropped \{\s+packets (\d+)/.exec(table())?.[1] ?? 0);
    const before = dropped();
    expect(await node.open('xc', ['10.79.0.2 UDP 80'], clientTimeoutMs)).toEqual([]);
    expect(dropped()).toBe(before + 3); // as many as the client has sent
    agent.stdin.write('{"metrics":true}\n');
    const line = await awaitUntil('metrics', () => output.find((one) => one.startsWith('{"metrics"')));
    expect((JSON.parse(line) as { metrics: string }).metrics).toContain(
      `gantry_network_policy_dropped_packets_total{namespace="x",policy="front",direction="ingress"} ${before + 3}`,
    );
  });

  it('keeps a new pod from being reached until it is known, which is when the runtime knows it', async () => {
    const pod = world.pods.find(({ namespace, name }) => namespace === 'x' && name === 'c');
    if (pod === undefined) throw new Error('no pod x/c');
    const bound = { ...podObject(pod), status: { phase: 'Pending' } };
    put(bound);
    // not selected by any policy's peers: but an address that nobody knows is nobody's to reach
    setPolicies([policy('in', { podSelector: { matchLabels: { pod: 'a' } }, policyTypes: ['Ingress'] })]);
    await awaitUntil(
      'the address to be unknown',
      async () =>
        (await node.open('zb', ['10.79.0.4 TCP 80'], clientTimeoutMs)).length === 0 &&
        /counter unknown\/ingress\/dropped \{\s+packets [1-9]/.test(table()),
    );

    const result = {
      kind: 'cniCacheV1',
      ifName: 'eth0',
      cniArgs: [
        ['K8S_POD_NAMESPACE', 'x'],
        ['K8S_POD_NAME', 'c'],
        ['K8S_POD_UID', 'uid-xc'],
      ],
      result: { ips: [{ address: '10.79.0.4/16' }, { address: 'fd00:79:0::4/32' }] },
    };
    writeFileSync(join(directory, 'cni', 'results', 'net-c-eth0'), JSON.stringify(result));
    await agrees('x/c by the word of the runtime');
    rmSync(join(directory, 'cni', 'results', 'net-c-eth0'));
    put(podObject(pod));
    await agrees('x/c by its status');
  });

  it('lets flows go on that were open before a policy came', async () => {
    setPolicies([]);
    await awaitUntil('no table', () => tables() === '');
    expect(await node.say('ya', '10.79.0.2 TCP 80', 'before')).toBe('before');
    setPolicies([policy('deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })]);
    await awaitUntil(
      'new ones to be refused',
      async () => (await node.open('ya', ['10.79.0.2 TCP 80'], clientTimeoutMs)).length === 0,
    );
    expect(await node.say('ya', '10.79.0.2 TCP 80', 'after')).toBe('after');
    setPolicies([]);
  });

  it('is in force while no agent runs, and a new one changes nothing', async () => {
    setPolicies([policy('deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })]);
    await agrees('x to be cut off');
    const before = table();
    agent.kill('SIGKILL');
    await agrees('x to be cut off without an agent');
    const counted = table();
    startAgent();
    await awaitUntil('the new agent to be in charge', () =>
      output.some((line) => line.includes('policies are in force')),
    );
    expect(output.some((line) => line.includes('"written":"nothing"'))).toBe(true);
    expect(table()).toBe(counted);
    expect(table().replaceAll(/packets \d+ bytes \d+/g, '')).toBe(before.replaceAll(/packets \d+ bytes \d+/g, ''));
  });

  it('keeps what is in force while nft fails, and catches up', async () => {
    const before = table().replaceAll(/packets \d+ bytes \d+/g, '');
    writeFileSync(broken, '');
    const old = world.policies;
    setPolicies([]);
    await awaitUntil('the failure to be told', () => output.some((line) => line.includes('out of order')));
    expect(table().replaceAll(/packets \d+ bytes \d+/g, '')).toBe(before);
    rmSync(broken);
    await awaitUntil('no table', () => tables() === '');
    setPolicies(old);
    await agrees('the policies as before');
  });

  it.each([
    { name: 'the table', command: ['delete', 'table', 'inet', 'gantry-network-policy'] },
    { name: 'the rules of a chain', command: ['flush', 'chain', 'inet', 'gantry-network-policy', 'postrouting'] },
    { name: 'the elements of a map', command: ['flush', 'map', 'inet', 'gantry-network-policy', 'ingress4'] },
  ])('puts back $name after somebody took it', async ({ command }) => {
    const withoutCounts = (): string => node.run('nft', '-s', 'list', 'table', 'inet', 'gantry-network-policy');
    const before = withoutCounts();

    node.run('nft', ...command);
    await awaitUntil('it to be back', () => withoutCounts() === before, { timeoutMs: 60_000 });
  });

  it('tells that a policy cannot be enforced as it is written, and lets that part allow nothing', async () => {
    const odd = policy('odd', { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 'everywhere' } }] }] });
    put(odd);
    await awaitUntil('the event', () =>
      output.some((line) => line.includes('PolicyNotUnderstood') && line.includes('everywhere')),
    );
    remove(odd);
  });

  it('goes with its last policy', async () => {
    setPolicies([]);
    await awaitUntil('no table', () => tables() === '');
    await agrees('everything to answer');
  });
});

function policy(name: string, spec: NonNullable<NetworkPolicy['spec']>): NetworkPolicy {
  return { kind: 'NetworkPolicy', metadata: { namespace: 'x', name }, spec: { policyTypes: ['Ingress'], ...spec } };
}

function keyOf({ metadata }: NetworkPolicy): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
