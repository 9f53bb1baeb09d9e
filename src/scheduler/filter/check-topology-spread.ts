/** Topology spread constraints that must hold (`DoNotSchedule`). Pure. */
import type { Node, Pod, TopologySpreadConstraint } from '../../objects/generated/core-v1.ts';
import { matchesNodeAffinity } from '../../objects/node-selector.ts';
import { labelSelectorRequirements, matchesRequirements } from '../../objects/label-selector.ts';
import { untoleratedTaint } from '../../objects/tolerations.ts';
import type { NodeInfo } from '../cache/node-info.ts';

/** Per constraint: matching pods in each domain that counts. */
export type SpreadState = ReadonlyArray<{
  constraint: TopologySpreadConstraint;
  countByDomain: ReadonlyMap<string, number>;
}>;

export function countTopologySpread(pod: Pod, nodes: readonly NodeInfo[]): SpreadState {
  const constraints = (pod.spec.topologySpreadConstraints ?? []).filter(
    ({ whenUnsatisfiable }) => whenUnsatisfiable === 'DoNotSchedule',
  );
  return constraints.map((constraint) => {
    const countByDomain = new Map<string, number>();
    for (const { node, pods } of nodes) {
      if (!constraints.every(({ topologyKey }) => node.metadata.labels?.[topologyKey] !== undefined)) continue;
      if (!isIncluded(constraint, pod, node)) continue;
      const domain = node.metadata.labels?.[constraint.topologyKey] ?? '';
      const matching = pods.filter(
        ({ pod: other }) =>
          other.metadata.namespace === pod.metadata.namespace &&
          other.metadata.deletionTimestamp === undefined &&
          isSelected(constraint, pod, other),
      ).length;
      countByDomain.set(domain, (countByDomain.get(domain) ?? 0) + matching);
    }
    return { constraint, countByDomain };
  });
}

/** Why the node is not possible, or undefined. */
export function topologySpreadReason(pod: Pod, node: Node, state: SpreadState): string | undefined {
  const reason = "node(s) didn't match pod topology spread constraints";
  for (const { constraint, countByDomain } of state) {
    const domain = node.metadata.labels?.[constraint.topologyKey];
    if (domain === undefined) return `${reason} (missing required label)`;
    const tooFew = countByDomain.size < (constraint.minDomains ?? 1);
    const least = tooFew || countByDomain.size === 0 ? 0 : Math.min(...countByDomain.values());
    const self = isSelected(constraint, pod, pod) ? 1 : 0;
    if ((countByDomain.get(domain) ?? 0) + self - least > constraint.maxSkew) return reason;
  }
  return undefined;
}

function isIncluded({ nodeAffinityPolicy, nodeTaintsPolicy }: TopologySpreadConstraint, pod: Pod, node: Node): boolean {
  if (nodeAffinityPolicy !== 'Ignore' && !matchesNodeAffinity(pod, node)) return false;
  const isTainted =
    untoleratedTaint(node.spec?.taints, pod.spec.tolerations, ['NoSchedule', 'NoExecute']) !== undefined;
  return nodeTaintsPolicy !== 'Honor' || !isTainted;
}

/** `matchLabelKeys` narrow the selector to the values that the pod itself has. */
function isSelected({ labelSelector, matchLabelKeys = [] }: TopologySpreadConstraint, pod: Pod, other: Pod): boolean {
  const requirements = labelSelectorRequirements(labelSelector);
  if (requirements === undefined || (requirements.length === 0 && matchLabelKeys.length === 0)) return false;
  const own = matchLabelKeys.flatMap((key) => {
    const value = pod.metadata.labels?.[key];
    return value === undefined ? [] : [{ key, operator: 'In' as const, values: [value] }];
  });
  return matchesRequirements([...requirements, ...own], other.metadata.labels);
}
