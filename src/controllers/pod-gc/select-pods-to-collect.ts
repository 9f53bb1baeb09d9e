/** Pods that nobody else will remove. Pure. */
import { isConditionTrue } from '../../objects/conditions.ts';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import { isPodTerminal } from '../pod-state.ts';

export type Collection =
  | { pod: Pod; why: 'finished' | 'unscheduled' }
  | { pod: Pod; why: 'out-of-service' }
  | { pod: Pod; why: 'orphaned'; nodeName: string };

export interface CollectInput {
  pods: readonly Pod[];
  nodes: ReadonlyMap<string, Node>;
  /** Nodes that have been missing long enough. */
  lostNodes: ReadonlySet<string>;
  finishedMax: number;
}

export function selectPodsToCollect({ pods, nodes, lostNodes, finishedMax }: CollectInput): Collection[] {
  const chosen = new Map<string, Collection>();
  const choose = (collection: Collection): void => {
    const key = objectKey(collection.pod);
    if (!chosen.has(key)) chosen.set(key, collection);
  };
  const finished = pods.filter(isPodTerminal);
  if (finishedMax > 0 && finished.length > finishedMax) {
    const evictedFirst = finished.toSorted(
      (a, b) => rank(a) - rank(b) || (created(a) < created(b) ? -1 : created(a) > created(b) ? 1 : 0),
    );
    for (const pod of evictedFirst.slice(0, finished.length - finishedMax)) choose({ pod, why: 'finished' });
  }
  for (const pod of pods) {
    const { nodeName = '' } = pod.spec;
    const isGoing = pod.metadata.deletionTimestamp !== undefined;
    const node = nodes.get(nodeName);
    if (isGoing && nodeName === '') choose({ pod, why: 'unscheduled' });
    else if (isGoing && node !== undefined && isOutOfService(node)) choose({ pod, why: 'out-of-service' });
    else if (nodeName !== '' && lostNodes.has(nodeName)) choose({ pod, why: 'orphaned', nodeName });
  }
  return [...chosen.values()];
}

function isOutOfService({ spec, status }: Node): boolean {
  const isTainted = (spec?.taints ?? []).some(({ key }) => key === 'node.kubernetes.io/out-of-service');
  return isTainted && !isConditionTrue(status?.conditions, 'Ready');
}

function rank({ status }: Pod): number {
  return status?.reason === 'Evicted' ? 0 : 1;
}

function created({ metadata }: Pod): string {
  return metadata.creationTimestamp ?? '';
}
