/** The status of a ReplicaSet from its pods. Pure. */
import type { ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from '../../objects/generated/apps-v1.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { removeCondition, setCondition } from '../../objects/conditions.ts';
import { matchesLabelMap } from '../../objects/label-selector.ts';
import { availableAtMs, isPodActive, isPodReady, isPodTerminal } from '../pod-state.ts';

export interface ManageFailure {
  reason: 'FailedCreate' | 'FailedDelete';
  message: string;
}

export function computeReplicaSetStatus(
  { metadata, spec, status }: ReplicaSet,
  pods: readonly Pod[],
  failure: ManageFailure | undefined,
  nowMs: number,
  now: string,
): ReplicaSetStatus {
  const active = pods.filter(isPodActive);
  const templateLabels = spec.template?.metadata?.labels ?? {};
  const minReadySeconds = spec.minReadySeconds ?? 0;
  let conditions: ReplicaSetCondition[] = status?.conditions ?? [];
  if (failure !== undefined) {
    const known = conditions.find(({ type }) => type === 'ReplicaFailure');
    const wanted: ReplicaSetCondition = { type: 'ReplicaFailure', status: 'True', ...failure };
    if (known?.status !== 'True' || known.reason !== failure.reason) conditions = setCondition(conditions, wanted, now);
  } else {
    conditions = removeCondition(conditions, 'ReplicaFailure');
  }
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((pod) => matchesLabelMap(templateLabels, pod.metadata.labels)).length,
    readyReplicas: active.filter(isPodReady).length,
    availableReplicas: active.filter((pod) => (availableAtMs(pod, minReadySeconds) ?? Infinity) <= nowMs).length,
    terminatingReplicas: pods.filter((pod) => pod.metadata.deletionTimestamp !== undefined && !isPodTerminal(pod))
      .length,
    observedGeneration: metadata.generation,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

/** When the next ready pod becomes available, in ms since the epoch. */
export function nextAvailableMs({ spec }: ReplicaSet, pods: readonly Pod[], nowMs: number): number | undefined {
  const times = pods
    .filter(isPodActive)
    .map((pod) => availableAtMs(pod, spec.minReadySeconds ?? 0))
    .filter((ms) => ms !== undefined && ms > nowMs)
    .map(Number);
  return times.length === 0 ? undefined : Math.min(...times);
}
