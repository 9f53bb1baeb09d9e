import { rfc3339Seconds } from '../../base/clock.ts';
import type { DeleteOptions } from '../../objects/generated/meta-v1.ts';
import { type ApiObject, copyOf } from './api-object.ts';
import type { Resource } from './resource.ts';

/** What a delete does to an object. */
export type DeletePlan =
  /** Nothing to change: it is on its way already. */
  | { kind: 'keep' }
  /** It stays, marked. */
  | { kind: 'mark'; object: ApiObject }
  /** It goes now; the object is what the answer shows. */
  | { kind: 'remove'; object: ApiObject };

/** Grace, finalizers and repeated deletes, as upstream has them. Pure. */
export function planDelete(resource: Resource, old: ApiObject, options: DeleteOptions, nowMs: number): DeletePlan {
  const object = copyOf(old);
  const { metadata } = object;
  metadata.finalizers = finalizersFor(resource, metadata.finalizers ?? [], options);
  if (metadata.finalizers.length === 0) delete metadata.finalizers;
  const isHeld = metadata.finalizers !== undefined;
  const graceSeconds = resource.strategy.graceSeconds?.(old, options.gracePeriodSeconds) ?? 0;

  if (resource.resource === 'namespaces' && resource.group === '') {
    if (metadata.deletionTimestamp !== undefined) return { kind: 'keep' };
    metadata.deletionTimestamp = rfc3339Seconds(nowMs);
    object['status'] = { ...Object(object['status']), phase: 'Terminating' };
    return { kind: 'mark', object };
  }
  if (metadata.deletionTimestamp !== undefined) {
    const leftSeconds = metadata.deletionGracePeriodSeconds ?? 0;
    if (leftSeconds === 0) {
      if (!isHeld) return { kind: 'remove', object };
      return hasSameFinalizers(old, object) ? { kind: 'keep' } : { kind: 'mark', object };
    }
    // a repeated delete may only shorten the grace
    if (graceSeconds >= leftSeconds) return { kind: 'keep' };
    if (graceSeconds > 0) {
      const requestedMs = Date.parse(metadata.deletionTimestamp) - leftSeconds * 1000;
      const endMs = Math.max(requestedMs + graceSeconds * 1000, nowMs);
      metadata.deletionTimestamp = rfc3339Seconds(endMs);
      metadata.deletionGracePeriodSeconds = graceSeconds;
      return { kind: 'mark', object };
    }
    metadata.deletionGracePeriodSeconds = 0;
    metadata.deletionTimestamp = rfc3339Seconds(nowMs);
    return isHeld ? { kind: 'mark', object } : { kind: 'remove', object };
  }
  if (graceSeconds === 0 && !isHeld) {
    if (resource.strategy.graceSeconds !== undefined) {
      metadata.deletionTimestamp = rfc3339Seconds(nowMs);
      metadata.deletionGracePeriodSeconds = 0;
    }
    return { kind: 'remove', object };
  }
  metadata.deletionTimestamp = rfc3339Seconds(nowMs + graceSeconds * 1000);
  metadata.deletionGracePeriodSeconds = graceSeconds;
  if (metadata.generation !== undefined && metadata.generation > 0) metadata.generation++;
  return { kind: 'mark', object };
}

const orphan = 'orphan';
const foreground = 'foregroundDeletion';

/** What is to become of the dependents is written down as a finalizer, for the garbage collector. */
function finalizersFor(resource: Resource, current: readonly string[], options: DeleteOptions): string[] {
  const { propagationPolicy, orphanDependents } = options;
  const { defaultPropagation } = resource.strategy;
  const others = current.filter((finalizer) => finalizer !== orphan && finalizer !== foreground);
  if (defaultPropagation === 'never') return [...current];
  if (orphanDependents !== undefined) return orphanDependents ? [...others, orphan] : others;
  switch (propagationPolicy) {
    case 'Orphan':
      return [...others, orphan];
    case 'Foreground':
      return [...others, foreground];
    case 'Background':
      return others;
    case undefined:
    default:
      if (others.length < current.length) return [...current];
      return defaultPropagation === 'Orphan' ? [...others, orphan] : others;
  }
}

function hasSameFinalizers(a: ApiObject, b: ApiObject): boolean {
  return (a.metadata.finalizers ?? []).join() === (b.metadata.finalizers ?? []).join();
}
