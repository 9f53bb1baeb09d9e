/** From a source's complete set of pods to what changed. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { Pod } from '../../objects/generated/core-v1.ts';
import {
  type PodChange,
  type PodSource,
  configMirrorAnnotation,
  configSeenAnnotation,
  configSourceAnnotation,
  podFullName,
  uidOf,
} from '../pod-model.ts';

const localAnnotations = new Set([configSourceAnnotation, configSeenAnnotation, configMirrorAnnotation]);

/** The copy that the kubelet works with: where the pod comes from, and when it was first seen here. */
export function withLocalAnnotations(pod: Pod, source: PodSource, seen: string): Pod {
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      annotations: { ...pod.metadata.annotations, [configSourceAnnotation]: source, [configSeenAnnotation]: seen },
    },
  };
}

/** Of several pods with one full name in a source only the first counts; the others are returned apart. */
export function dropDuplicates(pods: readonly Pod[]): { pods: Pod[]; duplicates: Pod[] } {
  const names = new Set<string>();
  const kept: Pod[] = [];
  const duplicates: Pod[] = [];
  for (const pod of pods) {
    const name = podFullName(pod);
    if (names.has(name)) duplicates.push(pod);
    else kept.push(pod);
    names.add(name);
  }
  return { pods: kept, duplicates };
}

/** What happened to one pod of a source; undefined when nothing did. */
export function classifyChange(old: Pod | undefined, now: Pod | undefined): PodChange | undefined {
  if (now === undefined) return old === undefined ? undefined : { kind: 'remove', pod: old };
  if (old === undefined) return { kind: 'add', pod: now };
  if (hasSemanticChange(old, now)) return { kind: 'update', pod: now, old };
  if (!isDeepStrictEqual(old.status, now.status)) return { kind: 'reconcile', pod: now, old };
  return undefined;
}

function hasSemanticChange(old: Pod, now: Pod): boolean {
  return !(
    old.metadata.deletionTimestamp === now.metadata.deletionTimestamp &&
    old.metadata.deletionGracePeriodSeconds === now.metadata.deletionGracePeriodSeconds &&
    isDeepStrictEqual(old.metadata.labels ?? {}, now.metadata.labels ?? {}) &&
    isDeepStrictEqual(foreignAnnotations(old), foreignAnnotations(now)) &&
    isDeepStrictEqual(old.spec, now.spec)
  );
}

function foreignAnnotations({ metadata }: Pod): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(([key]) => !localAnnotations.has(key)));
}

/** Removals first, then additions (oldest pod first), updates, and mere status changes. */
export function inDeliveryOrder(changes: readonly PodChange[]): PodChange[] {
  const rank = { remove: 0, add: 1, update: 2, reconcile: 3 } as const;
  return changes.toSorted(
    (a, b) =>
      rank[a.kind] - rank[b.kind] ||
      (a.pod.metadata.creationTimestamp ?? '').localeCompare(b.pod.metadata.creationTimestamp ?? '') ||
      uidOf(a.pod).localeCompare(uidOf(b.pod)),
  );
}
