/** What becomes of an object, given the state of each of its owners. Pure. */
import { foregroundFinalizer, orphanFinalizer } from './owner-graph.ts';

/** solid: alive; waiting: being deleted and waiting for this object; dangling: gone. */
export type OwnerState = 'solid' | 'waiting' | 'dangling';

export type Verdict =
  | { kind: 'keep' }
  | { kind: 'drop-references'; uids: string[] }
  | { kind: 'delete'; propagationPolicy: 'Foreground' | 'Background' | 'Orphan' };

export function decideCollection(
  owners: ReadonlyArray<{ uid: string; state: OwnerState }>,
  hasDependents: boolean,
  finalizers: readonly string[],
): Verdict {
  if (owners.length === 0) return { kind: 'keep' };
  if (owners.some(({ state }) => state === 'solid')) {
    const uids = owners.filter(({ state }) => state !== 'solid').map(({ uid }) => uid);
    return uids.length === 0 ? { kind: 'keep' } : { kind: 'drop-references', uids };
  }
  if (hasDependents && owners.some(({ state }) => state === 'waiting')) {
    return { kind: 'delete', propagationPolicy: 'Foreground' };
  }
  if (finalizers.includes(orphanFinalizer)) return { kind: 'delete', propagationPolicy: 'Orphan' };
  if (finalizers.includes(foregroundFinalizer)) return { kind: 'delete', propagationPolicy: 'Foreground' };
  return { kind: 'delete', propagationPolicy: 'Background' };
}
