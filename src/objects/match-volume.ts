/** Which volume a claim gets. The binder and the scheduler must agree on it. Pure. */
import { classOfClaim, classOfVolume, capacityOf, isVolumeOfClaim, requestedStorage, volumeModeOf } from './claims.ts';
import type { Node, PersistentVolume, PersistentVolumeClaim } from './generated/core-v1.ts';
import { matchesLabelSelector } from './label-selector.ts';
import { matchesNodeSelector } from './node-selector.ts';
import { compareQuantity } from './quantity.ts';

export interface MatchOptions {
  /** Only volumes that can be used on this node. Without one the question is the binder's. */
  node?: Node | undefined;
  /** The claim's class waits for its first pod: then only a volume that is kept for the claim will do for the binder. */
  isDelayed: boolean;
  /** Names of volumes that others get. */
  taken?: ReadonlySet<string>;
}

/**
 * A volume that is kept for the claim, or else the smallest that does, with as few access modes as possible.
 * @throws {Error} when the claim's selector is none
 */
export function matchVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  { node, isDelayed, taken }: MatchOptions,
): PersistentVolume | undefined {
  const candidates = volumes.filter(
    (volume) =>
      taken?.has(volume.metadata.name) !== true &&
      volume.metadata.deletionTimestamp === undefined &&
      (volume.spec?.claimRef === undefined || isVolumeOfClaim(volume, claim)) &&
      compareQuantity(capacityOf(volume), requestedStorage(claim)) >= 0 &&
      volumeModeOf(volume.spec) === volumeModeOf(claim.spec) &&
      isSameAttributes(volume, claim) &&
      hasAccessModes(volume, claim),
  );
  const kept = candidates.find((volume) => isVolumeOfClaim(volume, claim));
  if (kept !== undefined) return node === undefined || isUsableOn(kept, node) ? kept : undefined;
  if (node === undefined && isDelayed) return undefined;
  return candidates
    .filter(
      (volume) =>
        volume.status?.phase === 'Available' &&
        classOfVolume(volume) === classOfClaim(claim) &&
        (claim.spec?.selector === undefined || matchesLabelSelector(claim.spec.selector, volume.metadata.labels)) &&
        (node === undefined || isUsableOn(volume, node)),
    )
    .toSorted((a, b) => (node === undefined ? modeCount(a) - modeCount(b) : 0) || bySize(a, b))[0];
}

/** Whether the volume's node affinity lets a node use it. */
export function isUsableOn({ spec }: PersistentVolume, node: Node): boolean {
  const required = spec?.nodeAffinity?.required;
  return required === undefined || matchesNodeSelector(required, node);
}

/** Why a volume that the claim asks for by name will not do; undefined when it will. */
export function mismatchReason(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  if (compareQuantity(requestedStorage(claim), capacityOf(volume)) > 0) return 'requested PV is too small';
  if (classOfVolume(volume) !== classOfClaim(claim)) return 'storageClassName does not match';
  if (!isSameAttributes(volume, claim)) return 'volumeAttributesClassName does not match';
  if (volumeModeOf(volume.spec) !== volumeModeOf(claim.spec)) return 'incompatible volumeMode';
  return hasAccessModes(volume, claim) ? undefined : 'incompatible accessMode';
}

function hasAccessModes({ spec }: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  return (claim.spec?.accessModes ?? []).every((mode) => spec?.accessModes?.includes(mode) === true);
}

function isSameAttributes({ spec }: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  return (spec?.volumeAttributesClassName ?? '') === (claim.spec?.volumeAttributesClassName ?? '');
}

function modeCount({ spec }: PersistentVolume): number {
  return new Set(spec?.accessModes).size;
}

function bySize(a: PersistentVolume, b: PersistentVolume): number {
  return compareQuantity(capacityOf(a), capacityOf(b));
}
