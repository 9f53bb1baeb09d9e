/** File systems that are to become as large as their volume: whether, how large, and what is told of it. */
import type { PersistentVolumeClaim, PersistentVolumeClaimStatus } from '../../../objects/generated/core-v1.ts';
import { parseQuantity, toValue } from '../../../objects/quantity.ts';
import type { PodVolume } from './persistent-model.ts';

export type Expansion =
  | { kind: 'none' }
  /** The pod may only read: somebody else's pod has to. */
  | { kind: 'read-only' }
  /** `size` as the API has it, for the status of the claim; undefined when the status says it already. */
  | { kind: 'expand'; sizeBytes: number; size: string | undefined };

const statuses = new Set(['NodeResizePending', 'NodeResizeInProgress']);
const notRequired = 'volume.kubernetes.io/node-expansion-not-required';

const bytesOf = (quantity: string | undefined): number =>
  quantity === undefined ? 0 : toValue(parseQuantity(quantity));

/** @param knownBytes to which size this node has brought the volume already, as far as it knows */
export function expansionOf(
  { kind, pv, claim, isReadOnly }: Pick<PodVolume, 'kind' | 'pv' | 'claim' | 'isReadOnly'>,
  knownBytes: number | undefined,
): Expansion {
  if (kind !== 'csi' || pv === undefined || claim === undefined) return { kind: 'none' };
  const status = claim.status ?? {};
  const wanted = bytesOf(pv.spec?.capacity?.['storage']);
  const told = bytesOf(status.capacity?.['storage']);
  if (wanted <= (knownBytes ?? told)) return { kind: 'none' };
  if (isReadOnly) return { kind: 'read-only' };
  const size = status.allocatedResources?.['storage'];
  const resize = status.allocatedResourceStatuses?.['storage'] ?? '';
  if (size !== undefined && statuses.has(resize)) return { kind: 'expand', sizeBytes: bytesOf(size), size };
  const isShared = (pv.spec?.accessModes ?? []).includes('ReadWriteMany');
  const isLeft = claim.metadata.annotations?.[notRequired] !== undefined;
  if (resize === '' && told >= wanted && isShared && !isLeft)
    return { kind: 'expand', sizeBytes: wanted, size: undefined };
  return { kind: 'none' };
}

export type ExpansionEnd = { kind: 'done'; size: string } | { kind: 'failed'; message: string; isInfeasible: boolean };

type StatusPatch = Pick<PersistentVolumeClaimStatus, 'capacity'> & {
  allocatedResourceStatuses?: { storage: string | null };
  conditions?: PersistentVolumeClaimStatus['conditions'];
};

/** What the status of the claim says while its volume is expanded, and after. A merge patch. */
export function claimStatusPatch(
  { status }: PersistentVolumeClaim,
  end: ExpansionEnd | 'in progress',
  now: string,
): StatusPatch {
  if (end === 'in progress') return { allocatedResourceStatuses: { storage: 'NodeResizeInProgress' } };
  const others = (status?.conditions ?? []).filter(
    ({ type }) => type !== 'FileSystemResizePending' && type !== 'Resizing' && type !== 'NodeResizeError',
  );
  if (end.kind === 'done') {
    return {
      capacity: { ...status?.capacity, storage: end.size },
      allocatedResourceStatuses: { storage: null },
      conditions: others,
    };
  }
  const kept = (status?.conditions ?? []).filter(({ type }) => type !== 'NodeResizeError');
  const condition = {
    type: 'NodeResizeError',
    status: 'True',
    lastTransitionTime: now,
    message: `failed to expand pvc with ${end.message}`,
  };
  return {
    ...(end.isInfeasible ? { allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' } } : {}),
    conditions: [...kept, condition],
  };
}
