/** The scheduler's decision: the node for a pod, or why there is none. Pure but for the choice among equals. */
import type { Node } from '../objects/generated/core-v1.ts';
import type { NodeInfo, PodInfo } from './cache/node-info.ts';
import { countTopologySpread } from './filter/check-topology-spread.ts';
import { explainNoFit } from './filter/explain-no-fit.ts';
import { type FilterState, filterNode } from './filter/filter-node.ts';
import { findUnsupportedRules } from './filter/find-unsupported-rules.ts';
import { type NamespaceLabels, countPodAffinity } from './filter/match-pod-affinity.ts';
import { type VolumePlan, planVolumes } from './filter/plan-volumes.ts';
import { findPodVolumes } from './filter/pod-volumes.ts';
import type { VolumeView } from './filter/volume-view.ts';
import type { FilterName } from './queue/scheduling-queue.ts';
import { bestIndex, scoreNodes } from './score/score-nodes.ts';

export type Placement =
  | { kind: 'node'; node: Node; volumes: VolumePlan | undefined }
  | { kind: 'none'; message: string; rejectedBy: ReadonlySet<FilterName> };

export function placePod(
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  namespaceLabels: NamespaceLabels,
  pick: () => number,
  view: VolumeView,
): Placement {
  const unsupported = findUnsupportedRules(pod.pod);
  if (unsupported.length > 0) {
    const message = `0/${nodes.length} nodes are available: this scheduler does not support ${unsupported.join(', ')}.`;
    return { kind: 'none', message, rejectedBy: new Set(['Unsupported']) };
  }
  const none = (message: string, filter: FilterName): Placement => ({
    kind: 'none',
    message,
    rejectedBy: new Set([filter]),
  });
  if (nodes.length === 0) return none(explainNoFit(0, []), 'NodeName'); // waits for nodes
  const found = pod.claimKeys.length === 0 ? undefined : findPodVolumes(pod.pod, nodes, view);
  if (found?.kind === 'rejected') {
    return none(`0/${nodes.length} nodes are available: ${found.message}.`, found.filter);
  }
  const state: FilterState = {
    volumes: found === undefined ? undefined : { found: found.volumes, view },
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
  const only = feasible[0];
  if (only === undefined) return { kind: 'none', message: explainNoFit(nodes.length, reasons), rejectedBy };
  const best = feasible.length === 1 ? only : feasible[bestIndex(scoreNodes(pod, feasible), pick)];
  const { node } = best ?? only;
  const planned = state.volumes && planVolumes(state.volumes.found, node, view);
  return { kind: 'node', node, volumes: planned?.kind === 'plan' ? planned.plan : undefined };
}
