/** The taints that follow from a node's conditions, and how fast nodes may be emptied. Pure. */
import { findCondition } from '../../objects/conditions.ts';
import type { Node, Taint } from '../../objects/generated/core-v1.ts';
import { readyStatus } from './assess-node-health.ts';

export const notReadyTaint = 'node.kubernetes.io/not-ready';
export const unreachableTaint = 'node.kubernetes.io/unreachable';

const byCondition: ReadonlyArray<readonly [type: string, taint: string]> = [
  ['MemoryPressure', 'node.kubernetes.io/memory-pressure'],
  ['DiskPressure', 'node.kubernetes.io/disk-pressure'],
  ['PIDPressure', 'node.kubernetes.io/pid-pressure'],
  ['NetworkUnavailable', 'node.kubernetes.io/network-unavailable'],
];
const unschedulableTaint = 'node.kubernetes.io/unschedulable';
const managedNoSchedule: ReadonlySet<string> = new Set([
  notReadyTaint,
  unreachableTaint,
  unschedulableTaint,
  ...byCondition.map(([, taint]) => taint),
]);

/** The node's taints with our NoSchedule ones put right; others are not touched. */
export function withNoScheduleTaints(node: Node, now: string): Taint[] {
  const before = node.spec?.taints ?? [];
  const wanted = new Set<string>();
  const ready = findCondition(node.status?.conditions, 'Ready')?.status;
  if (ready === 'False') wanted.add(notReadyTaint);
  if (ready === 'Unknown') wanted.add(unreachableTaint);
  for (const [type, taint] of byCondition) {
    if (findCondition(node.status?.conditions, type)?.status === 'True') wanted.add(taint);
  }
  if (node.spec?.unschedulable === true) wanted.add(unschedulableTaint);
  const isOurs = ({ key, effect }: Taint): boolean => effect === 'NoSchedule' && managedNoSchedule.has(key);
  const kept = before.filter((taint) => !isOurs(taint) || wanted.has(taint.key));
  const present = new Set(kept.filter(isOurs).map(({ key }) => key));
  const added = [...wanted].filter((key) => !present.has(key));
  return [...kept, ...added.map((key) => ({ key, effect: 'NoSchedule', timeAdded: now }))];
}

/** The node's taints with exactly this one of ours that evicts, or none. */
export function withNoExecuteTaint(node: Node, key: string | undefined, now: string): Taint[] {
  const before = node.spec?.taints ?? [];
  const isOurs = (taint: Taint): boolean =>
    taint.effect === 'NoExecute' && (taint.key === notReadyTaint || taint.key === unreachableTaint);
  const kept = before.filter((taint) => !isOurs(taint) || taint.key === key);
  if (key === undefined || kept.some(isOurs)) return kept;
  return [...kept, { key, effect: 'NoExecute', timeAdded: now }];
}

export function hasNoExecuteTaint(node: Node): boolean {
  return (node.spec?.taints ?? []).some(
    ({ key, effect }) => effect === 'NoExecute' && (key === notReadyTaint || key === unreachableTaint),
  );
}

/** The evicting taint that fits the node's state; undefined for a ready node. */
export function noExecuteTaintFor(node: Node): string | undefined {
  if (findCondition(node.status?.conditions, 'Ready') === undefined) return undefined; // not judged yet
  const ready = readyStatus(node);
  return ready === 'True' ? undefined : ready === 'False' ? notReadyTaint : unreachableTaint;
}

export function zoneOf({ metadata }: Node): string {
  const region = metadata.labels?.['topology.kubernetes.io/region'] ?? '';
  const zone = metadata.labels?.['topology.kubernetes.io/zone'] ?? '';
  return `${region}:\u0000:${zone}`;
}

export type ZoneState = 'Normal' | 'PartialDisruption' | 'FullDisruption';

export function zoneState(nodes: readonly Node[]): ZoneState {
  const counted = nodes.filter(
    ({ metadata }) => metadata.labels?.['node.kubernetes.io/exclude-disruption'] === undefined,
  );
  const ready = counted.filter((node) => readyStatus(node) === 'True').length;
  const notReady = counted.length - ready;
  if (ready === 0 && notReady > 0) return 'FullDisruption';
  return notReady > 2 && notReady / counted.length >= 0.55 ? 'PartialDisruption' : 'Normal';
}

/** Nodes per second that may get an evicting taint. */
export function evictionRate(state: ZoneState, nodeCount: number): number {
  if (state !== 'PartialDisruption') return 0.1;
  return nodeCount > 50 ? 0.01 : 0;
}
