/** The scheduler's decision: the node for a pod, or why there is none. Pure but for the choice among equals. */
import type { NodeInfo, PodInfo } from './cache/node-info.ts';
import { countTopologySpread } from './filter/check-topology-spread.ts';
import { explainNoFit } from './filter/explain-no-fit.ts';
import { filterNode } from './filter/filter-node.ts';
import { findUnsupportedRules } from './filter/find-unsupported-rules.ts';
import { type NamespaceLabels, countPodAffinity } from './filter/match-pod-affinity.ts';
import type { FilterName } from './queue/scheduling-queue.ts';
import { bestIndex, scoreNodes } from './score/score-nodes.ts';

export type Placement =
  | { kind: 'node'; name: string }
  | { kind: 'none'; message: string; rejectedBy: ReadonlySet<FilterName> };

export function placePod(
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  namespaceLabels: NamespaceLabels,
  pick: () => number,
): Placement {
  const unsupported = findUnsupportedRules(pod.pod);
  if (unsupported.length > 0) {
    const message = `0/${nodes.length} nodes are available: this scheduler does not support ${unsupported.join(', ')}.`;
    return { kind: 'none', message, rejectedBy: new Set(['Unsupported']) };
  }
  const state = {
    affinity: countPodAffinity(pod.pod, nodes, namespaceLabels),
    spread: countTopologySpread(pod.pod, nodes),
  };
  const feasible: NodeInfo[] = [];
  const reasons: string[] = [];
  const rejectedBy = new Set<FilterName>();
  for (const node of nodes) {
    const rejection = filterNode(pod, node, state);
    if (rejection === undefined) {
      feasible.push(node);
    } else {
      reasons.push(...rejection.reasons);
      rejectedBy.add(rejection.filter);
    }
  }
  if (nodes.length === 0) rejectedBy.add('NodeName'); // waits for nodes
  const only = feasible[0];
  if (only === undefined) return { kind: 'none', message: explainNoFit(nodes.length, reasons), rejectedBy };
  const best = feasible.length === 1 ? only : feasible[bestIndex(scoreNodes(pod, feasible), pick)];
  return { kind: 'node', name: (best ?? only).node.metadata.name };
}
