/** Required pod affinity and anti-affinity, in both directions. Pure. */
import type { Node, Pod, PodAffinityTerm } from '../../objects/generated/core-v1.ts';
import { labelSelectorRequirements, matchesLabelSelector, matchesRequirements } from '../../objects/label-selector.ts';
import type { NodeInfo } from '../cache/node-info.ts';

/** Labels of a namespace, for `namespaceSelector`. */
export type NamespaceLabels = (namespace: string) => Readonly<Record<string, string>> | undefined;

/** Counts per topology, found once per pod over all nodes. */
export interface AffinityState {
  affinityTerms: readonly PodAffinityTerm[];
  antiAffinityTerms: readonly PodAffinityTerm[];
  /** Topology (key and value) to the pods there that match all of the pod's affinity terms. */
  affinityCounts: ReadonlyMap<string, number>;
  antiAffinityCounts: ReadonlyMap<string, number>;
  /** Topologies that a running pod's anti-affinity closes to this pod. */
  closed: ReadonlySet<string>;
  /** Whether the pod matches all of its own affinity terms. */
  matchesItself: boolean;
}

export function countPodAffinity(
  pod: Pod,
  nodes: readonly NodeInfo[],
  namespaceLabels: NamespaceLabels,
): AffinityState {
  const affinityTerms = requiredTerms(pod, 'podAffinity');
  const antiAffinityTerms = requiredTerms(pod, 'podAntiAffinity');
  const affinityCounts = new Map<string, number>();
  const antiAffinityCounts = new Map<string, number>();
  const closed = new Set<string>();
  const matchesAll = (other: Pod): boolean =>
    affinityTerms.length > 0 && affinityTerms.every((term) => matchesTerm(term, pod, other, namespaceLabels));
  for (const { node, pods } of nodes) {
    for (const { pod: other } of pods) {
      if (matchesAll(other)) for (const term of affinityTerms) count(affinityCounts, topologyOf(term, node));
      for (const term of antiAffinityTerms) {
        if (matchesTerm(term, pod, other, namespaceLabels)) count(antiAffinityCounts, topologyOf(term, node));
      }
      for (const term of requiredTerms(other, 'podAntiAffinity')) {
        const topology = topologyOf(term, node);
        if (topology !== undefined && matchesTerm(term, other, pod, namespaceLabels)) closed.add(topology);
      }
    }
  }
  return {
    affinityTerms,
    antiAffinityTerms,
    affinityCounts,
    antiAffinityCounts,
    closed,
    matchesItself: matchesAll(pod),
  };
}

/** Why the node is not possible, or undefined. */
export function podAffinityReason(node: Node, state: AffinityState): string | undefined {
  if (!satisfiesAffinity(node, state)) return "node(s) didn't match pod affinity rules";
  for (const term of state.antiAffinityTerms) {
    const topology = topologyOf(term, node);
    if (topology !== undefined && (state.antiAffinityCounts.get(topology) ?? 0) > 0) {
      return "node(s) didn't match pod anti-affinity rules";
    }
  }
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (state.closed.has(topologyKey(key, value))) return "node(s) didn't satisfy existing pods anti-affinity rules";
  }
  return undefined;
}

function satisfiesAffinity(node: Node, { affinityTerms, affinityCounts, matchesItself }: AffinityState): boolean {
  let hasEveryMatch = true;
  for (const term of affinityTerms) {
    const topology = topologyOf(term, node);
    if (topology === undefined) return false;
    if ((affinityCounts.get(topology) ?? 0) === 0) hasEveryMatch = false;
  }
  // the first pod of a group that wants to be together may go anywhere
  return hasEveryMatch || (affinityCounts.size === 0 && matchesItself);
}

function requiredTerms({ spec }: Pod, kind: 'podAffinity' | 'podAntiAffinity'): readonly PodAffinityTerm[] {
  return spec.affinity?.[kind]?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
}

function matchesTerm(term: PodAffinityTerm, owner: Pod, other: Pod, namespaceLabels: NamespaceLabels): boolean {
  const namespace = other.metadata.namespace ?? '';
  if (!coversNamespace(term, owner.metadata.namespace ?? '', namespace, namespaceLabels)) return false;
  const requirements = labelSelectorRequirements(term.labelSelector);
  return requirements !== undefined && matchesRequirements(requirements, other.metadata.labels);
}

function coversNamespace(
  { namespaces = [], namespaceSelector }: PodAffinityTerm,
  own: string,
  namespace: string,
  namespaceLabels: NamespaceLabels,
): boolean {
  if (namespaces.includes(namespace)) return true;
  if (namespaceSelector === undefined) return namespaces.length === 0 && namespace === own;
  return matchesLabelSelector(namespaceSelector, namespaceLabels(namespace) ?? {});
}

function topologyOf({ topologyKey: key }: PodAffinityTerm, node: Node): string | undefined {
  const value = node.metadata.labels?.[key];
  return value === undefined ? undefined : topologyKey(key, value);
}

function topologyKey(key: string, value: string): string {
  return `${key}=${value}`;
}

function count(counts: Map<string, number>, topology: string | undefined): void {
  if (topology !== undefined) counts.set(topology, (counts.get(topology) ?? 0) + 1);
}
