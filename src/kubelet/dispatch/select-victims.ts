/** Which pods make room for a critical one. Pure. */
import type { Pod } from '../../objects/generated/core-v1.ts';
import { podQos } from '../../objects/qos.ts';
import { isCriticalPod } from '../pod-model.ts';
import { type Shortage, requestOf } from './fit-node.ts';

export type Victims = { kind: 'victims'; pods: Pod[] } | { kind: 'none'; problem: string };

/** What is said on the API of a pod that makes room. */
export const preempted = {
  phase: 'Failed',
  reason: 'Preempting',
  message: 'Preempted in order to admit critical pod',
  disruption: 'Pod was preempted by Kubelet to accommodate a critical pod.',
} as const;

/** Whether `victim` may be ended so that `pod` runs: it is not critical, or both state priorities and its is lower. */
export function mayPreempt(pod: Pod, victim: Pod): boolean {
  if (isCriticalPod(pod) && !isCriticalPod(victim)) return true;
  const [ours, theirs] = [pod.spec.priority, victim.spec.priority];
  return ours !== undefined && theirs !== undefined && ours > theirs;
}

/**
 * As few as will do of the class that matters most: what all lower classes together could free is not taken from a
 * higher one, and what a higher class must free anyway is not taken from a lower one.
 */
export function selectVictims(pod: Pod, running: readonly Pod[], missing: readonly Shortage[]): Victims {
  const candidates = running.filter((other) => mayPreempt(pod, other));
  const impossible = rest(missing, candidates);
  if (impossible.length > 0) return { kind: 'none', problem: noSet(impossible) };
  const ofClass = (qos: string): Pod[] => candidates.filter((other) => podQos(other) === qos);
  const [bestEffort, burstable, guaranteed] = [ofClass('BestEffort'), ofClass('Burstable'), ofClass('Guaranteed')];
  const fromGuaranteed = nearest(guaranteed, rest(missing, [...bestEffort, ...burstable]));
  const fromBurstable = nearest(burstable, rest(missing, [...bestEffort, ...fromGuaranteed]));
  const fromBestEffort = nearest(bestEffort, rest(missing, [...fromBurstable, ...fromGuaranteed]));
  return { kind: 'victims', pods: [...fromBestEffort, ...fromBurstable, ...fromGuaranteed] };
}

const noSet = (missing: readonly Shortage[]): string =>
  `preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: [${missing
    .map(({ resource, amount }) => `(res: ${resource}, q: ${amount}), `)
    .join('')}]`;

/** What is still missing when these pods are gone. */
function rest(missing: readonly Shortage[], gone: readonly Pod[]): Shortage[] {
  return missing
    .map(({ resource, amount }) => ({
      resource,
      amount: amount - gone.reduce((sum, pod) => sum + requestOf(pod, resource), 0),
    }))
    .filter(({ amount }) => amount > 0);
}

/** One after the other the pod that brings most of what is missing, until nothing is. */
function nearest(pods: readonly Pod[], missing: readonly Shortage[]): Pod[] {
  const chosen: Pod[] = [];
  let needed = missing;
  let left = pods;
  while (needed.length > 0 && left.length > 0) {
    const best = nearestOne(left, needed);
    chosen.push(best);
    left = left.filter((pod) => pod !== best);
    needed = rest(needed, [best]);
  }
  return chosen;
}

/** Of two that bring as much, the one that asks for less memory, then for less cpu; then the later one. */
function nearestOne(pods: readonly Pod[], missing: readonly Shortage[]): Pod {
  return pods.reduce((best, pod) => {
    const nearer = distance(pod, missing) - distance(best, missing);
    if (nearer !== 0) return nearer < 0 ? pod : best;
    return asksNoMore(pod, best) ? pod : best;
  });
}

/** Sum of the squared parts of each resource that would still be missing without the pod: 0 when it brings all. */
function distance(pod: Pod, missing: readonly Shortage[]): number {
  return missing.reduce((sum, { resource, amount }) => {
    const open = amount - requestOf(pod, resource);
    return open > 0 ? sum + (open / amount) ** 2 : sum;
  }, 0);
}

function asksNoMore(pod: Pod, other: Pod): boolean {
  for (const resource of ['memory', 'cpu']) {
    const difference = requestOf(pod, resource) - requestOf(other, resource);
    if (difference !== 0) return difference < 0;
  }
  return true;
}
