/** Which pods a policy is about, and which it names as peers. Pure. */
import { matchesRequirements } from '../../objects/label-selector.ts';
import type { PodFacts, PodPeer, Policy, PolicyRule, Protocol } from '../network-policy-model.ts';
import { isInRange } from './ip-ranges.ts';

/** Whether a policy is about this pod. */
export function selects({ namespace, selector }: Policy, pod: PodFacts): boolean {
  return pod.namespace === namespace && matchesRequirements(selector, pod.labels);
}

/** Whether selectors of a rule name this pod. */
export function isNamedBy({ peers }: PolicyRule, pod: PodFacts): boolean {
  return peers !== undefined && peers.pods.some((peer) => isPeer(peer, pod));
}

function isPeer({ namespace, pods }: PodPeer, pod: PodFacts): boolean {
  return isInNamespace(namespace, pod) && matchesRequirements(pods, pod.labels);
}

/** Of a namespace whose labels nobody knows yet only those can be said to fit who take any: `NotIn` would let in. */
function isInNamespace(wanted: PodPeer['namespace'], { namespace, namespaceLabels }: PodFacts): boolean {
  if (typeof wanted === 'string') return namespace === wanted;
  return namespaceLabels === undefined ? wanted.length === 0 : matchesRequirements(wanted, namespaceLabels);
}

/** Whether a rule is for this address, which may be a pod's. */
export function isForPeer(rule: PolicyRule, ip: string, pod: PodFacts | undefined): boolean {
  if (rule.peers === undefined) return true;
  return rule.peers.blocks.some((block) => isInRange(block, ip)) || (pod !== undefined && isNamedBy(rule, pod));
}

/** The numbers that a rule's port names stand for at this pod. */
export function namedNumbers({ ports }: PolicyRule, pod: PodFacts): Array<{ protocol: Protocol; port: number }> {
  const wanted = ports?.named ?? [];
  return pod.ports.filter(({ name, protocol }) => wanted.some((one) => one.name === name && one.protocol === protocol));
}
