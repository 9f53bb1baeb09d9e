import { describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../objects/generated/networking-v1.ts';
import { evaluate } from '../../../test/fixtures/network-policy/evaluate-objects.ts';
import {
  PolicyMaker,
  outside,
  ownNode,
  randomFrom,
  someNamespaces,
  somePods,
} from '../../../test/fixtures/network-policy/generate.ts';
import {
  type OracleEnd,
  type OraclePod,
  type OracleWorld,
  mayConnect,
} from '../../../test/fixtures/network-policy/oracle.ts';
import type { PodFacts, Protocol } from '../network-policy-model.ts';
import { compilePolicy } from './compile-policy.ts';
import { explainVerdict } from './explain-verdict.ts';
import { PolicyState } from './policy-state.ts';

const protocolOf = (text: string): Protocol => (text === 'UDP' ? 'UDP' : text === 'SCTP' ? 'SCTP' : 'TCP');

function factsOf(pod: OraclePod, { namespaces }: OracleWorld, node: string): PodFacts {
  return {
    key: `${pod.namespace}/${pod.name}`,
    namespace: pod.namespace,
    labels: pod.labels,
    namespaceLabels: namespaces[pod.namespace] ?? {},
    ips: pod.ips,
    isLocal: pod.node === node,
    ports: pod.ports.map(({ name, protocol, port }) => ({ name, port, protocol: protocolOf(protocol) })),
  };
}

const connections = [
  { protocol: 'TCP', port: 80 },
  { protocol: 'TCP', port: 81 },
  { protocol: 'UDP', port: 80 },
  { protocol: 'UDP', port: 81 },
  { protocol: 'SCTP', port: 80 },
  { protocol: 'ICMP', port: 0 },
] as const;

/** Compares every connection of a world with what the rules of its nodes would do to it. @returns how many */
function compare(world: OracleWorld, nodes: ReadonlyMap<string, PolicyState>, what: string): number {
  let count = 0;
  const isDual = (world.pods[0]?.ips.length ?? 0) > 1;
  for (const family of isDual ? [0, 1] : [0]) {
    const ends: OracleEnd[] = [
      ...world.pods.map((pod) => ({ pod, ip: pod.ips[family] ?? '' })),
      { ip: outside[family] ?? '' },
    ];
    for (const from of ends) {
      for (const to of ends) {
        if (from.pod === undefined && to.pod === undefined) continue;
        for (const { protocol, port } of connections) {
          const want = mayConnect(world, { from, to, protocol, port });
          const packet = { source: from.ip, destination: to.ip, protocol, port };
          // both ends' nodes have their say
          const isPassed = [...new Set([from.pod?.node, to.pod?.node])].every((node) => {
            const state = node === undefined ? undefined : nodes.get(node);
            return state === undefined || evaluate(state.objects, packet).verdict === 'accept';
          });
          const say = (): string =>
            `${what}: ${from.ip} to ${to.ip} ${protocol} ${port}\n${JSON.stringify(world.policies)}`;
          if (isPassed !== want) expect.fail(`rules say ${isPassed}, the oracle ${want}; ${say()}`);
          if (from.pod === undefined || from.pod !== to.pod) {
            const state = nodes.get(ownNode);
            const end = ({ ip, pod }: OracleEnd): { ip: string; pod: PodFacts | undefined } => ({
              ip,
              pod: pod === undefined ? undefined : state?.pods.get(`${pod.namespace}/${pod.name}`),
            });
            const explained = explainVerdict(
              state?.policies.values() ?? [],
              end(from),
              end(to),
              protocol === 'ICMP' ? undefined : protocol,
              port,
            );
            if (explained.isAllowed !== want)
              expect.fail(`explained ${explained.isAllowed}, the oracle ${want}; ${say()}`);
          }
          count++;
        }
      }
    }
  }
  return count;
}

function nodesOf(world: OracleWorld): Map<string, PolicyState> {
  return new Map(
    ['node-1', 'node-2'].map((node) => {
      const state = new PolicyState();
      for (const pod of world.pods) state.putPod(factsOf(pod, world, node));
      for (const policy of world.policies) state.putPolicy(compilePolicy(policy));
      return [node, state];
    }),
  );
}

const twoNodes = (index: number): string => (index % 3 === 1 ? 'node-2' : 'node-1');

describe('the rules of generated policies', () => {
  it.each([
    { name: 'IPv4', seed: 20_261, isDual: false },
    { name: 'both families', seed: 20_262, isDual: true },
  ])('let pass what the specification allows, and nothing else ($name)', ({ seed, isDual }) => {
    const random = randomFrom(seed);
    let count = 0;
    for (let round = 0; round < 60; round++) {
      const make = new PolicyMaker(random, isDual);
      const policies = Array.from({ length: 1 + Math.floor(random() * 5) }, () => make.policy());
      const world = { namespaces: someNamespaces(), pods: somePods(isDual, twoNodes), policies };
      count += compare(world, nodesOf(world), `seed ${seed}, round ${round}`);
    }
    expect(count).toBeGreaterThan(30_000);
  });

  it('say the same after any change as if they had been written new, by the difference alone', () => {
    const seed = 20_263;
    const random = randomFrom(seed);
    const make = new PolicyMaker(random, true);
    const world: OracleWorld = { namespaces: someNamespaces(), pods: somePods(true, twoNodes), policies: [] };
    const nodes = nodesOf(world);
    const kernel = new Map([...nodes].map(([node]) => [node, new ModelKernel()]));
    const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
    for (let round = 0; round < 300; round++) {
      const pod = pick(world.pods);
      const old = pick(world.policies);
      switch (Math.floor(random() * 6)) {
        case 0:
        case 1: {
          const policy = make.policy();
          world.policies.push(policy);
          for (const state of nodes.values()) state.putPolicy(compilePolicy(policy));
          break;
        }
        case 2:
          if (old === undefined) break;
          world.policies = world.policies.filter((policy) => policy !== old);
          for (const state of nodes.values()) state.removePolicy(keyOf(old));
          break;
        case 3: {
          if (old === undefined) break;
          const changed: NetworkPolicy = { ...make.policy(old.metadata.name), metadata: old.metadata };
          world.policies = world.policies.map((policy) => (policy === old ? changed : policy));
          for (const state of nodes.values()) state.putPolicy(compilePolicy(changed));
          break;
        }
        case 4: {
          if (pod === undefined) break;
          pod.labels = {
            pod: ['a', 'b', 'c'][Math.floor(random() * 3)] ?? 'a',
            ...(random() < 0.5 ? { tier: 'back' } : {}),
          };
          for (const [node, state] of nodes) state.putPod(factsOf(pod, world, node));
          break;
        }
        default: {
          const namespace = pod?.namespace ?? 'x';
          const labels = { 'kubernetes.io/metadata.name': namespace, ns: namespace };
          world.namespaces[namespace] = random() < 0.5 ? labels : { ...labels, team: 'one' };
          for (const [node, state] of nodes) {
            for (const one of world.pods) if (one.namespace === namespace) state.putPod(factsOf(one, world, node));
          }
        }
      }
      if (world.policies.length > 8) {
        const [first] = world.policies.splice(0, 1);
        if (first !== undefined) for (const state of nodes.values()) state.removePolicy(keyOf(first));
      }
      for (const [node, state] of nodes) {
        const model = kernel.get(node);
        model?.apply(state.objects.size === 0 ? state.objects.whole() : state.objects.changes());
        state.objects.commit();
        const fresh = new ModelKernel();
        fresh.apply(state.objects.whole());
        expect(model?.text, `seed ${seed}, round ${round}, ${node}`).toBe(fresh.text);
      }
      if (round % 10 === 0) compare(world, nodes, `seed ${seed}, round ${round}`);
    }
  });

  it('are gone with the last policy', () => {
    const world: OracleWorld = { namespaces: someNamespaces(), pods: somePods(false, () => ownNode), policies: [] };
    const state = nodesOf(world).get(ownNode);
    const policy = new PolicyMaker(randomFrom(1), false).policy();
    expect(state?.objects.size).toBe(0);
    state?.putPolicy(compilePolicy(policy));
    expect(state?.objects.size).toBeGreaterThan(0);
    state?.removePolicy(keyOf(policy));
    expect(state?.objects.size).toBe(0);
  });

  it('keep the addresses of this node that nobody knows from everybody, where any policy isolates', () => {
    const world: OracleWorld = { namespaces: someNamespaces(), pods: somePods(false, () => ownNode), policies: [] };
    const state = nodesOf(world).get(ownNode);
    if (state === undefined) throw new Error('no state');
    state.setPodCidrs(['10.79.0.0/16', 'fd00:79::/32']);
    const toStranger = { source: '192.0.2.10', destination: '10.79.9.9', protocol: 'TCP', port: 80 } as const;
    const fromStranger = { source: '10.79.9.9', destination: '192.0.2.10', protocol: 'TCP', port: 80 } as const;
    state.putPolicy(
      compilePolicy({ metadata: { namespace: 'x', name: 'in' }, spec: { podSelector: {}, policyTypes: ['Ingress'] } }),
    );
    expect(evaluate(state.objects, toStranger)).toEqual({ verdict: 'drop', counted: ['unknown/ingress/dropped'] });
    expect(evaluate(state.objects, fromStranger).verdict).toBe('accept');
    state.putPod({ ...factsOf({ ...podAt('10.79.9.9'), namespace: 'y' }, world, ownNode) });
    expect(evaluate(state.objects, toStranger).verdict).toBe('accept');
    state.putPod({ ...factsOf({ ...podAt('10.79.9.9'), namespace: 'x' }, world, ownNode) });
    expect(evaluate(state.objects, toStranger)).toEqual({ verdict: 'drop', counted: ['in/x/in/dropped'] });
    state.removePod('x/new');
    expect(evaluate(state.objects, toStranger).counted).toEqual(['unknown/ingress/dropped']);
  });
});

const podAt = (ip: string): OraclePod => ({
  namespace: 'x',
  name: 'new',
  node: ownNode,
  labels: {},
  ips: [ip],
  ports: [],
});

function keyOf({ metadata }: NetworkPolicy): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** Keeps a table as nft commands change it, and refuses what the kernel would refuse. */
class ModelKernel {
  #things = new Map<string, string[]>();

  get text(): string {
    return [...this.#things]
      .map(([name, lines]) => `${name}: ${(name.startsWith('chain') ? lines : lines.toSorted()).join(' | ')}`)
      .toSorted()
      .join('\n');
  }

  apply(commands: string): void {
    for (const line of commands.split('\n').filter((one) => one !== '')) {
      const match = /^(add|delete|flush) (\w+) inet [\w-]+ ?(\S*) ?(.*)$/.exec(line);
      const [, verb = '', kind = '', name = '', rest = ''] = match ?? [];
      const thing = kind === 'rule' ? `chain ${name}` : kind === 'element' ? this.#setOf(name) : `${kind} ${name}`;
      const lines = this.#things.get(thing);
      if (kind === 'table') {
        if (verb === 'delete') this.#things = new Map();
      } else if (kind === 'rule') {
        if (lines === undefined) throw new Error(`no such chain: ${line}`);
        for (const [, set] of rest.matchAll(/@(\S+)/g)) this.#setOf(set ?? '');
        for (const [, chain] of rest.matchAll(/(?:goto|jump) (\S+)/g)) this.#mustHave(`chain ${chain}`);
        for (const [, counter] of rest.matchAll(/counter name (\S+)/g)) this.#mustHave(`counter ${counter}`);
        lines.push(rest);
      } else if (kind === 'element') {
        const elements = rest.slice(2, -2).split(', ');
        for (const [, chain] of rest.matchAll(/(?:goto|jump) ([^\s,]+)/g)) this.#mustHave(`chain ${chain}`);
        const key = (element: string): string => element.split(' : ')[0] ?? '';
        for (const element of elements) {
          const at = lines?.findIndex((one) => key(one) === key(element)) ?? -1;
          if ((verb === 'add') !== at < 0) throw new Error(`element is there already, or is not: ${line}`);
          if (verb === 'add') lines?.push(element);
          else lines?.splice(at, 1);
        }
      } else if (verb === 'add') {
        if (lines !== undefined) throw new Error(`there already: ${line}`);
        this.#things.set(thing, []);
      } else if (lines === undefined) {
        throw new Error(`no such thing: ${line}`);
      } else if (verb === 'flush') {
        lines.length = 0;
      } else {
        this.#things.delete(thing);
        const pattern = kind === 'chain' ? `(?:goto|jump) ${name}(?: |,|$)` : `(?:@|counter name )${name}(?: |$)`;
        const user = [...this.#things].find(([, all]) => all.some((one) => new RegExp(pattern).test(one)));
        if (user !== undefined) throw new Error(`in use by ${user[0]}: ${line}`);
      }
    }
  }

  #setOf(name: string): string {
    return this.#things.has(`map ${name}`) ? `map ${name}` : this.#mustHave(`set ${name}`);
  }

  #mustHave(thing: string): string {
    if (!this.#things.has(thing)) throw new Error(`no such thing: "${thing}"`);
    return thing;
  }
}
