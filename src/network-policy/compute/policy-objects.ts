/** The objects of one policy, and which of its sets a pod belongs to. Pure. */
import { createHash } from 'node:crypto';
import type { Direction, PodFacts, Policy, PolicyRule } from '../network-policy-model.ts';
import { familyOfIp, formatRange } from './ip-ranges.ts';
import { isForPeer, isNamedBy, namedNumbers, selects } from './match-policy.ts';
import type { NftField, NftMatch, NftObject, NftRule, NftVerdict } from './nft-objects.ts';

export const ingressChain = 'ingress';
export const directions = ['ingress', 'egress'] as const;
/** nft takes names of at most 255 bytes. */
const nameMax = 200;

const families = [
  { family: 'IPv4', suffix: '4', type: 'ipv4_addr', source: 'ip saddr', destination: 'ip daddr' },
  { family: 'IPv6', suffix: '6', type: 'ipv6_addr', source: 'ip6 saddr', destination: 'ip6 daddr' },
] as const satisfies ReadonlyArray<{ source: NftField; destination: NftField } & Record<string, string>>;

/** Of the policy's chain and of its counter, and what its sets' names begin with: `in/shop/web`. */
export function policyName(direction: Direction, key: string): string {
  const name = `${direction === 'ingress' ? 'in' : 'eg'}/${key}`;
  return name.length <= nameMax ? name : `${name.slice(0, nameMax - 33)}-${digest(name)}`;
}

/** Nobody can choose a policy's name so that it shares a chain with another one. */
const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32);

/** Where pods that these policies isolate end up. */
export function isolationName(direction: Direction, policyKeys: readonly string[]): string {
  const hash = digest(JSON.stringify(policyKeys));
  return `isolated/${direction === 'ingress' ? 'in' : 'eg'}/${hash}`;
}

/** Each policy may allow; then all of them count, and it is over. */
export function isolationChain(direction: Direction, policyKeys: readonly string[]): NftObject {
  const chains = policyKeys.map((key) => policyName(direction, key));
  const counters = policyKeys.map((key) => counterName(direction, key));
  return {
    kind: 'chain',
    rules: [
      ...chains.map((chain): NftRule => ({ matches: [], verdict: { kind: 'jump', chain } })),
      ...counters.map((counter): NftRule => ({ matches: [], verdict: { kind: 'count', counter } })),
      { matches: [], verdict: { kind: 'drop' } },
    ],
  };
}

/** Who may leave may still not enter: what egress allows goes on to the ingress chain. */
export function allowed(direction: Direction): NftVerdict {
  return direction === 'ingress' ? { kind: 'accept' } : { kind: 'goto', chain: ingressChain };
}

/** Chain, counter and empty sets of a policy in one direction; of ipBlocks the sets are full. */
export function policyObjects(policy: Policy, direction: Direction): Map<string, NftObject> {
  const objects = new Map<string, NftObject>();
  const name = policyName(direction, policy.key);
  const rules: NftRule[] = [];
  for (const [i, rule] of (policy[direction] ?? []).entries()) {
    const sets = new Map(ruleSets(rule, `${name}/${i}`));
    for (const [setName, set] of sets) objects.set(setName, set);
    rules.push(...nftRules(rule, `${name}/${i}`, direction, sets));
  }
  objects.set(name, { kind: 'chain', rules });
  objects.set(counterName(direction, policy.key), { kind: 'counter' });
  return objects;
}

/** What a policy's counter is called: packets that it kept from a pod. */
export function counterName(direction: Direction, key: string): string {
  return `${policyName(direction, key)}/dropped`;
}

function* ruleSets({ peers, ports }: PolicyRule, name: string): Generator<[string, NftObject]> {
  for (const { family, suffix, type } of families) {
    if (peers !== undefined && peers.pods.length > 0) {
      yield [`${name}-pods${suffix}`, { kind: 'set', type, elements: new Map() }];
    }
    const blocks = (peers?.blocks ?? []).filter((block) => block.family === family);
    if (blocks.length > 0) {
      const elements = new Map(blocks.map((block) => [formatRange(block), undefined]));
      yield [`${name}-blocks${suffix}`, { kind: 'set', type, flags: 'interval', elements }];
    }
    if ((ports?.named ?? []).length > 0) {
      const elements = new Map<string, undefined>();
      yield [`${name}-named${suffix}`, { kind: 'set', type: `${type} . inet_proto . inet_service`, elements }];
    }
  }
}

function nftRules(
  { peers, ports }: PolicyRule,
  name: string,
  direction: Direction,
  sets: ReadonlyMap<string, NftObject>,
): NftRule[] {
  const verdict = allowed(direction);
  const inSet = (set: string, ...fields: NftField[]): NftMatch[] =>
    sets.has(set) ? [{ kind: 'in-set', fields, set }] : [];
  /** One per way to be a peer; an empty one for everybody. */
  const peerMatches = (suffix: string, field: NftField): NftMatch[][] =>
    peers === undefined
      ? [[]]
      : [...inSet(`${name}-pods${suffix}`, field), ...inSet(`${name}-blocks${suffix}`, field)].map((match) => [match]);
  const portMatches: NftMatch[][] =
    ports === undefined
      ? [[]]
      : ports.ranges.length === 0
        ? []
        : [
            [
              {
                kind: 'ports',
                ports: ports.ranges.map(
                  ({ protocol, first, last }) =>
                    `${protocol.toLowerCase()} . ${first === last ? first : `${first}-${last}`}`,
                ),
              },
            ],
          ];
  const byNumber = families.flatMap(({ suffix, source, destination }) =>
    peerMatches(suffix, direction === 'ingress' ? source : destination).flatMap((peer) =>
      portMatches.map((port): NftRule => ({ matches: [...peer, ...port], verdict })),
    ),
  );
  const byName = families.flatMap(({ suffix, source, destination }) => {
    const named = inSet(`${name}-named${suffix}`, destination, 'meta l4proto', 'th dport');
    if (named.length === 0) return [];
    // on the way out the set's addresses are those of peers already
    if (direction === 'egress') return [{ matches: named, verdict }];
    return peerMatches(suffix, source).map((peer): NftRule => ({ matches: [...peer, ...named], verdict }));
  });
  // a rule for everybody is the same for both families
  return [...(peers === undefined ? byNumber.slice(0, portMatches.length) : byNumber), ...byName];
}

/** Whether only pods of the policy's own namespace can be in its sets: most policies are so. */
export function isOfOwnNamespace(policy: Policy): boolean {
  return directions.every((direction) =>
    (policy[direction] ?? []).every(
      ({ peers, ports }) =>
        (peers?.pods ?? []).every(({ namespace }) => namespace === policy.namespace) &&
        (direction === 'ingress' || (ports?.named ?? []).length === 0),
    ),
  );
}

/** The elements that a pod has in a policy's sets: as a peer, and as who is selected. */
export function* elementsOf(policy: Policy, pod: PodFacts): Generator<[set: string, element: string]> {
  for (const direction of directions) {
    for (const [i, rule] of (policy[direction] ?? []).entries()) {
      const hasNames = (rule.ports?.named ?? []).length > 0;
      const isNamed = isNamedBy(rule, pod);
      if (!isNamed && !hasNames) continue;
      const name = `${policyName(direction, policy.key)}/${i}`;
      const isSelected = hasNames && direction === 'ingress' && pod.isLocal && selects(policy, pod);
      for (const ip of pod.ips) {
        const suffix = familyOfIp(ip) === 'IPv4' ? '4' : '6';
        if (isNamed) yield [`${name}-pods${suffix}`, ip];
        if (!hasNames) continue;
        if (direction === 'ingress' ? !isSelected : !isForPeer(rule, ip, pod)) continue;
        for (const { protocol, port } of namedNumbers(rule, pod)) {
          yield [`${name}-named${suffix}`, `${ip} . ${protocol.toLowerCase()} . ${port}`];
        }
      }
    }
  }
}

export { families };
