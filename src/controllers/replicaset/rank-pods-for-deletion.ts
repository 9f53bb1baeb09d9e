/** Which pods a ReplicaSet gives up first. Pure. */
import type { Pod } from '../../objects/generated/core-v1.ts';
import { isPodReady, readySinceMs } from '../pod-state.ts';

const phaseRank: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** Sorted so that the first are to be deleted first. `related` counts the owner's active pods per node. */
export function rankPodsForDeletion(pods: readonly Pod[], related: ReadonlyMap<string, number>, nowMs: number): Pod[] {
  const keys = new Map(pods.map((pod) => [pod, rankOf(pod, related, nowMs)]));
  return pods.toSorted((a, b) => compare(keys.get(a) ?? [], keys.get(b) ?? []) || compareText(a, b));
}

/** Numbers to compare one after the other; the smaller goes first. */
function rankOf(pod: Pod, related: ReadonlyMap<string, number>, nowMs: number): number[] {
  const { metadata, spec, status } = pod;
  const node = spec.nodeName ?? '';
  const isReady = isPodReady(pod);
  return [
    node === '' ? 0 : 1,
    phaseRank[status?.phase ?? 'Pending'] ?? 0,
    isReady ? 1 : 0,
    deletionCost(metadata.annotations),
    -(related.get(node) ?? 0),
    isReady ? ageBucket(readySinceMs(pod), nowMs) : 0,
    -mostRestarts(status?.containerStatuses),
    -mostRestarts(status?.initContainerStatuses),
    ageBucket(metadata.creationTimestamp === undefined ? undefined : Date.parse(metadata.creationTimestamp), nowMs),
  ];
}

function deletionCost(annotations: Readonly<Record<string, string>> | undefined): number {
  const text = annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? '0';
  const isNumber = /^(?:0|[+-]?[1-9]\d{0,9})$/.test(text);
  const cost = isNumber ? Number(text) : 0;
  return Math.abs(cost) < 2 ** 31 ? cost : 0;
}

/** Ages that differ by less than a factor of two count as equal. The younger is smaller. */
function ageBucket(sinceMs: number | undefined, nowMs: number): number {
  if (sinceMs === undefined) return -1;
  return Math.floor(Math.log2(Math.max(1, (nowMs - sinceMs) * 1e6)));
}

function mostRestarts(statuses: ReadonlyArray<{ restartCount: number }> | undefined): number {
  return Math.max(0, ...(statuses ?? []).map(({ restartCount }) => restartCount));
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) {
    const difference = value - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function compareText(a: Pod, b: Pod): number {
  const [x, y] = [a.metadata.uid ?? '', b.metadata.uid ?? ''];
  return x < y ? -1 : x > y ? 1 : 0;
}
