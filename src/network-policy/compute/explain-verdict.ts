/** Which policies stand between two ends, in words. Pure. */
import type { Direction, PodFacts, Policy, PolicyRule, Protocol } from '../network-policy-model.ts';
import { isForPeer, namedNumbers, selects } from './match-policy.ts';

/** A pod, or an address that is nobody's. */
export interface End {
  readonly ip: string;
  readonly pod?: PodFacts | undefined;
}

export interface Verdict {
  readonly isAllowed: boolean;
  /** One sentence for each direction, that which forbids first. */
  readonly sentences: readonly string[];
}

/**
 * What policies say to a new connection between two different ends; that of a node to its own pods never gets this far.
 * @param protocol undefined: one without ports, as ICMP
 */
export function explainVerdict(
  policies: Iterable<Policy>,
  from: End,
  to: End,
  protocol: Protocol | undefined,
  port: number | undefined,
): Verdict {
  const all = [...policies];
  const sides = [
    explainSide('egress', all, from, to, protocol, port),
    explainSide('ingress', all, to, from, protocol, port),
  ];
  const isAllowed = sides.every((side) => side.isAllowed);
  return {
    isAllowed,
    sentences: sides.toSorted((a, b) => Number(a.isAllowed) - Number(b.isAllowed)).map(({ sentence }) => sentence),
  };
}

function explainSide(
  direction: Direction,
  policies: readonly Policy[],
  self: End,
  peer: End,
  protocol: Protocol | undefined,
  port: number | undefined,
): { isAllowed: boolean; sentence: string } {
  const { pod } = self;
  if (pod === undefined)
    return { isAllowed: true, sentence: `${self.ip} is no pod: no policy is about its ${direction}` };
  const isolating = policies.filter((policy) => policy[direction] !== undefined && selects(policy, pod));
  if (isolating.length === 0) {
    return { isAllowed: true, sentence: `no policy isolates pod "${pod.key}" for ${direction}` };
  }
  const destination = direction === 'ingress' ? pod : peer.pod;
  for (const policy of isolating) {
    for (const [i, rule] of (policy[direction] ?? []).entries()) {
      if (!isForPeer(rule, peer.ip, peer.pod) || !isForPort(rule, destination, protocol, port)) continue;
      return {
        isAllowed: true,
        sentence: `${direction} of pod "${pod.key}" is allowed by NetworkPolicy "${policy.key}", rule ${i + 1}`,
      };
    }
  }
  const names = isolating.map(({ key }) => `"${key}"`).join(', ');
  const what = protocol === undefined ? 'this protocol' : `${protocol} port ${port ?? 0}`;
  const who = `${peer.pod === undefined ? peer.ip : `pod "${peer.pod.key}"`}`;
  return {
    isAllowed: false,
    sentence: `pod "${pod.key}" is isolated for ${direction} by NetworkPolicy ${names}, and no rule allows ${what} ${direction === 'ingress' ? 'from' : 'to'} ${who}`,
  };
}

function isForPort(
  rule: PolicyRule,
  destination: PodFacts | undefined,
  protocol: Protocol | undefined,
  port: number | undefined,
): boolean {
  if (rule.ports === undefined) return true;
  if (protocol === undefined || port === undefined) return false;
  const isInRange = rule.ports.ranges.some(
    (range) => range.protocol === protocol && range.first <= port && port <= range.last,
  );
  if (isInRange || destination === undefined) return isInRange;
  return namedNumbers(rule, destination).some((one) => one.protocol === protocol && one.port === port);
}
