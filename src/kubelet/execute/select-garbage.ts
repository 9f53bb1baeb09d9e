/** Which ended containers and sandboxes the runtime may drop. Pure. */
import type { ObservedPod } from '../pod-model.ts';

export interface GarbageInput {
  pods: readonly ObservedPod[];
  /** Nothing of the pod is needed any more: it is deleted and ended, evicted, or nobody knows it. */
  mayRemoveAll(uid: string): boolean;
  /** Ended instances kept per container, for logs and the last state. */
  keepPerContainer: number;
  /** Ended containers younger than this stay. */
  minAgeMs: number;
  nowMs: number;
}

export interface Garbage {
  containers: Array<{ uid: string; id: string; logPath: string; isUnknown: boolean }>;
  sandboxes: Array<{ uid: string; id: string }>;
}

export function selectGarbage({ pods, mayRemoveAll, keepPerContainer, minAgeMs, nowMs }: GarbageInput): Garbage {
  const garbage: Garbage = { containers: [], sandboxes: [] };
  for (const pod of pods) {
    const removesAll = mayRemoveAll(pod.uid);
    const kept = new Map<string, number>();
    const named = new Set<string>();
    const removed = new Set<string>();
    for (const container of pod.containers) {
      const isNewest = !named.has(container.name);
      named.add(container.name);
      if (container.state === 'running') continue;
      const ageMs = nowMs - Number(container.createdAtNs / 1_000_000n);
      const count = kept.get(container.name) ?? 0;
      // The newest instance of a container that is about to start is no garbage, dead as it may look.
      const isSpared = container.state === 'created' && ageMs < createdGraceMs;
      // One that was replaced before it was ever started has no log and no end that anybody could ask for.
      const isVoid = container.state === 'created' && !isNewest;
      if (!removesAll && !isVoid && (count < keepPerContainer || ageMs < minAgeMs || isSpared)) {
        kept.set(container.name, count + 1);
        continue;
      }
      removed.add(container.id);
      garbage.containers.push({
        uid: pod.uid,
        id: container.id,
        logPath: container.logPath,
        isUnknown: container.state === 'unknown',
      });
    }
    for (const [i, sandbox] of pod.sandboxes.entries()) {
      if (sandbox.isReady || (!removesAll && i === 0)) continue;
      const isUsed = pod.containers.some(({ id, sandboxId }) => sandboxId === sandbox.id && !removed.has(id));
      if (!isUsed) garbage.sandboxes.push({ uid: pod.uid, id: sandbox.id });
    }
  }
  return garbage;
}

/** A container may be between its creation and its start for this long. */
const createdGraceMs = 120_000;
