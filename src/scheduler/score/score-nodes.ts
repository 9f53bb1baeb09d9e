/** Which of the nodes that fit is best: upstream's formulas and weights, from 0 to 100 each. Pure. */
import { toleratesTaint } from '../../objects/tolerations.ts';
import { matchesNodeSelectorTerm } from '../../objects/node-selector.ts';
import type { Amounts, NodeInfo, PodInfo } from '../cache/node-info.ts';

const scoreMax = 100;
const weights = { taints: 3, nodeAffinity: 2, leastAllocated: 1, balanced: 1 };

/** One total per node, in the order given. */
export function scoreNodes(pod: PodInfo, nodes: readonly NodeInfo[]): number[] {
  const taints = normalized(
    nodes.map((node) => untoleratedPreferences(pod, node)),
    { isReversed: true },
  );
  const affinity = normalized(
    nodes.map((node) => preferredAffinity(pod, node)),
    { isReversed: false },
  );
  return nodes.map(
    (node, i) =>
      weights.taints * (taints[i] ?? 0) +
      weights.nodeAffinity * (affinity[i] ?? 0) +
      weights.leastAllocated * leastAllocated(pod, node) +
      weights.balanced * balancedAllocation(pod, node),
  );
}

/** Index of the highest score; `pick` chooses among equals (0 ≤ pick() < 1). */
export function bestIndex(scores: readonly number[], pick: () => number): number {
  const best = Math.max(...scores);
  const candidates = scores.flatMap((score, i) => (score === best ? [i] : []));
  return candidates[Math.floor(pick() * candidates.length)] ?? 0;
}

/** How much would be left free, the mean of cpu and memory. */
export function leastAllocated(pod: PodInfo, { allocatable, nonZero }: NodeInfo): number {
  let sum = 0;
  let count = 0;
  for (const resource of ['cpu', 'memory'] as const) {
    const capacity = allocatable[resource] ?? 0;
    if (capacity === 0) continue;
    const used = nonZero[resource] + pod.nonZero[resource];
    sum += used > capacity ? 0 : Math.trunc(((capacity - used) * scoreMax) / capacity);
    count++;
  }
  return count === 0 ? 0 : Math.trunc(sum / count);
}

/** How much the pod brings cpu and memory closer together: 50 is no change. */
export function balancedAllocation(pod: PodInfo, { allocatable, requested }: NodeInfo): number {
  const isBestEffort = (pod.requests['cpu'] ?? 0) === 0 && (pod.requests['memory'] ?? 0) === 0;
  if (isBestEffort) return 0;
  const after = balance(allocatable, requested, pod.requests);
  const before = balance(allocatable, requested, {});
  return Math.trunc(50 + (50 + after - before) / 2);
}

function balance(allocatable: Amounts, requested: Amounts, more: Amounts): number {
  const fractions = ['cpu', 'memory'].flatMap((name) => {
    const capacity = allocatable[name] ?? 0;
    return capacity === 0 ? [] : [Math.min(1, ((requested[name] ?? 0) + (more[name] ?? 0)) / capacity)];
  });
  const [a, b] = fractions;
  const deviation = a === undefined || b === undefined ? 0 : Math.abs(a - b) / 2;
  return Math.trunc((1 - deviation) * scoreMax);
}

function untoleratedPreferences({ pod }: PodInfo, { node }: NodeInfo): number {
  const tolerations = (pod.spec.tolerations ?? []).filter(
    ({ effect = '' }) => effect === '' || effect === 'PreferNoSchedule',
  );
  return (node.spec?.taints ?? []).filter(
    (taint) =>
      taint.effect === 'PreferNoSchedule' && !tolerations.some((toleration) => toleratesTaint(toleration, taint)),
  ).length;
}

function preferredAffinity({ pod }: PodInfo, { node }: NodeInfo): number {
  const terms = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.reduce(
    (sum, { weight, preference }) => sum + (matchesNodeSelectorTerm(preference, node) ? weight : 0),
    0,
  );
}

function normalized(raw: readonly number[], { isReversed }: { isReversed: boolean }): number[] {
  const max = Math.max(0, ...raw);
  return raw.map((value) => {
    const share = max === 0 ? 0 : Math.trunc((scoreMax * value) / max);
    return isReversed ? scoreMax - share : share;
  });
}
