/** Whether a node can take a pod, filter by filter, in upstream's order and words. Pure. */
import { matchesNodeAffinity } from '../../objects/node-selector.ts';
import { toleratesTaint, untoleratedTaint } from '../../objects/tolerations.ts';
import type { HostPort, NodeInfo, PodInfo } from '../cache/node-info.ts';
import type { FilterName } from '../queue/scheduling-queue.ts';
import type { AffinityState } from './match-pod-affinity.ts';
import { podAffinityReason } from './match-pod-affinity.ts';
import { type SpreadState, topologySpreadReason } from './check-topology-spread.ts';
import { planVolumes } from './plan-volumes.ts';
import type { PodVolumes } from './pod-volumes.ts';
import { exceedsLimits, isInOtherZone } from './volume-limits.ts';
import type { VolumeView } from './volume-view.ts';

/** What the filters that look at all nodes have counted up front. */
export interface FilterState {
  affinity: AffinityState;
  spread: SpreadState;
  /** Of pods without claims: nothing. */
  volumes: { found: PodVolumes; view: VolumeView } | undefined;
}

export interface Rejection {
  filter: FilterName;
  /** One node may lack several things. */
  reasons: string[];
}

type Filter = (pod: PodInfo, node: NodeInfo, state: FilterState) => string[];

const filters: ReadonlyArray<readonly [FilterName, Filter]> = [
  [
    'NodeUnschedulable',
    ({ pod }, { node }) => {
      const isCordoned = node.spec?.unschedulable === true;
      const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
      const isTolerated = (pod.spec.tolerations ?? []).some((toleration) => toleratesTaint(toleration, taint));
      return isCordoned && !isTolerated ? ['node(s) were unschedulable'] : [];
    },
  ],
  [
    'NodeName',
    ({ pod }, { node }) =>
      (pod.spec.nodeName ?? '') !== '' && pod.spec.nodeName !== node.metadata.name
        ? ["node(s) didn't match the requested node name"]
        : [],
  ],
  [
    'TaintToleration',
    ({ pod }, { node }) =>
      untoleratedTaint(node.spec?.taints, pod.spec.tolerations, ['NoSchedule', 'NoExecute']) === undefined
        ? []
        : ['node(s) had untolerated taint(s)'],
  ],
  [
    'NodeAffinity',
    ({ pod }, { node }) =>
      matchesNodeAffinity(pod, node) ? [] : ["node(s) didn't match Pod's node affinity/selector"],
  ],
  [
    'NodePorts',
    ({ hostPorts }, { pods }) =>
      hostPorts.some((port) => pods.some((other) => other.hostPorts.some((used) => doPortsConflict(port, used))))
        ? ["node(s) didn't have free ports for the requested pod ports"]
        : [],
  ],
  ['NodeResourcesFit', missingResources],
  [
    'VolumeRestrictions',
    (_pod, _node, { volumes }) =>
      volumes?.found.isTaken === true
        ? [
            'node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod',
          ]
        : [],
  ],
  [
    'NodeVolumeLimits',
    (pod, node, { volumes }) =>
      volumes !== undefined && exceedsLimits(pod, node, volumes.view) ? ['node(s) exceed max volume count'] : [],
  ],
  [
    'VolumeBinding',
    (_pod, { node }, { volumes }) => {
      if (volumes === undefined) return [];
      const planned = planVolumes(volumes.found, node, volumes.view);
      return planned.kind === 'rejected' ? planned.reasons : [];
    },
  ],
  [
    'VolumeZone',
    (_pod, { node }, { volumes }) =>
      volumes !== undefined && isInOtherZone(volumes.found, node) ? ['node(s) had no available volume zone'] : [],
  ],
  ['PodTopologySpread', (pod, node, { spread }) => asList(topologySpreadReason(pod.pod, node.node, spread))],
  ['InterPodAffinity', (pod, node, { affinity }) => asList(podAffinityReason(node.node, affinity))],
];

/** The first filter that says no, or undefined when the pod fits. */
export function filterNode(pod: PodInfo, node: NodeInfo, state: FilterState): Rejection | undefined {
  for (const [filter, check] of filters) {
    const reasons = check(pod, node, state);
    if (reasons.length > 0) return { filter, reasons };
  }
  return undefined;
}

/** Every resource of which too little is left. A pod that asks for nothing needs only a place. */
export function missingResources({ requests }: PodInfo, { allocatable, requested, pods }: NodeInfo): string[] {
  const reasons: string[] = [];
  if (pods.length + 1 > (allocatable['pods'] ?? 0)) reasons.push('Too many pods');
  for (const [name, amount] of Object.entries(requests)) {
    if (name === 'pods' || amount === 0) continue;
    if (amount > (allocatable[name] ?? 0) - (requested[name] ?? 0)) reasons.push(`Insufficient ${name}`);
  }
  return reasons;
}

function doPortsConflict(a: HostPort, b: HostPort): boolean {
  const isSameAddress = a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0';
  return a.port === b.port && a.protocol === b.protocol && isSameAddress;
}

function asList(reason: string | undefined): string[] {
  return reason === undefined ? [] : [reason];
}
