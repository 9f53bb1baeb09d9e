/** What controllers ask about pods. Pure. */
import { findCondition } from '../objects/conditions.ts';
import type { Pod } from '../objects/generated/core-v1.ts';

/** Counts as a replica: neither finished nor on its way out. */
export function isPodActive({ metadata, status }: Pod): boolean {
  return status?.phase !== 'Succeeded' && status?.phase !== 'Failed' && metadata.deletionTimestamp === undefined;
}

export function isPodTerminal({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

export function isPodReady({ status }: Pod): boolean {
  return findCondition(status?.conditions, 'Ready')?.status === 'True';
}

/** When the pod became ready, in ms since the epoch; undefined when it is not. */
export function readySinceMs({ status }: Pod): number | undefined {
  const ready = findCondition(status?.conditions, 'Ready');
  if (ready?.status !== 'True') return undefined;
  return ready.lastTransitionTime === undefined ? 0 : Date.parse(ready.lastTransitionTime);
}

/** When a ready pod becomes available, in ms since the epoch; undefined when it is not ready. */
export function availableAtMs(pod: Pod, minReadySeconds: number): number | undefined {
  const sinceMs = readySinceMs(pod);
  return sinceMs === undefined ? undefined : sinceMs + minReadySeconds * 1000;
}
