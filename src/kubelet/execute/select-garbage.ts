/** Which ended containers and sandboxes the runtime may drop. Pure. */
import type { ObservedContainer, ObservedPod } from '../pod-model.ts';

export interface GarbagePolicy {
  /** Ended containers younger than this stay; milliseconds since their creation. */
  minAgeMs: number;
  /** Ended instances kept per container, for logs and the last state; negative: all. */
  maxPerContainer: number;
  /** Ended containers kept on the whole node; negative: any number. */
  maxTotal: number;
}

interface GarbageInput {
  pods: readonly ObservedPod[];
  /** Nothing of the pod is needed any more: it is deleted and ended, evicted, or nobody knows it. */
  mayRemoveAll(uid: string): boolean;
  nowMs: number;
}

export interface Garbage {
  containers: Array<{ uid: string; id: string; logPath: string; isUnknown: boolean }>;
  sandboxes: Array<{ uid: string; id: string }>;
}

/** A container may be between its creation and its start for this long. */
const createdGraceMs = 120_000;

/** The look at the whole node, once a minute: ids of ended containers beyond what the policy keeps. */
export function selectSurplus(
  { minAgeMs, maxPerContainer, maxTotal }: GarbagePolicy,
  { pods, mayRemoveAll, nowMs }: GarbageInput,
): Set<string> {
  const surplus = new Set<string>();
  let units: ObservedContainer[][] = [];
  for (const pod of pods) {
    const old = pod.containers.filter((c) => c.state !== 'running' && isOld(c, minAgeMs, nowMs));
    if (mayRemoveAll(pod.uid)) for (const { id } of old) surplus.add(id);
    else units.push(...Object.values(Object.groupBy(old, ({ name }) => name)).filter((unit) => unit !== undefined));
  }
  const keepPerUnit = (max: number): void => {
    for (const { id } of units.flatMap((unit) => unit.slice(max))) surplus.add(id);
    units = units.map((unit) => unit.slice(0, max));
  };
  if (maxPerContainer >= 0) keepPerUnit(maxPerContainer);
  const total = (): number => units.reduce((sum, unit) => sum + unit.length, 0);
  if (maxTotal >= 0 && total() > maxTotal) {
    keepPerUnit(Math.max(1, Math.floor(maxTotal / units.length)));
    const newestFirst = units.flat().toSorted((a, b) => Number(b.createdAtNs - a.createdAtNs));
    for (const { id } of newestFirst.slice(maxTotal)) surplus.add(id);
  }
  return surplus;
}

/** What goes when something of a pod has ended: all but the newest exited instances, and what the last look chose. */
export function selectGarbage(
  { maxPerContainer }: Pick<GarbagePolicy, 'maxPerContainer'>,
  surplus: ReadonlySet<string>,
  { pods, mayRemoveAll }: Pick<GarbageInput, 'pods' | 'mayRemoveAll'>,
): Garbage {
  const garbage: Garbage = { containers: [], sandboxes: [] };
  for (const pod of pods) {
    const removesAll = mayRemoveAll(pod.uid);
    const seen = new Map<string, number>();
    const named = new Set<string>();
    const removed = new Set<string>();
    for (const container of pod.containers) {
      const isNewest = !named.has(container.name);
      named.add(container.name);
      if (container.state === 'running') continue;
      // One that was replaced before it was ever started has no log and no end that anybody could ask for.
      const isVoid = container.state === 'created' && !isNewest;
      if (container.state === 'exited') seen.set(container.name, (seen.get(container.name) ?? 0) + 1);
      const isTooMany = container.state === 'exited' && (seen.get(container.name) ?? 0) > Math.max(1, maxPerContainer);
      if (!isTooMany && !isVoid && !removesAll && !surplus.has(container.id)) continue;
      // one that may still run keeps its sandbox until it has stopped
      if (container.state !== 'unknown') removed.add(container.id);
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

/** The newest instance of a container that is about to start is no garbage, dead as it may look. */
function isOld({ state, createdAtNs }: ObservedContainer, minAgeMs: number, nowMs: number): boolean {
  const ageMs = nowMs - Number(createdAtNs / 1_000_000n);
  return ageMs >= (state === 'created' ? Math.max(minAgeMs, createdGraceMs) : minAgeMs);
}
