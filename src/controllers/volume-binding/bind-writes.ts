/**
 * Three of the four writes that make a volume and a claim each other's, each one undefined when it is done already. The
 * first, by which the volume names its claim, may be the scheduler's, too (`objects/bind-volume.ts`). Pure.
 */
import { withAnnotations } from '../../objects/bind-volume.ts';
import { bindCompletedKey, boundByControllerKey, hasAnnotation, wantsToGrow } from '../../objects/claims.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import { sameJson } from '../same-json.ts';

/** 2: the volume's phase. */
export function volumeInPhase(volume: PersistentVolume, phase: string, message = ''): PersistentVolume | undefined {
  if (volume.status?.phase === phase) return undefined;
  const { message: _, ...status } = volume.status ?? {};
  return { ...volume, status: { ...status, phase, ...(message === '' ? {} : { message }) } };
}

/** 3: the claim names its volume. */
export function claimForVolume(
  claim: PersistentVolumeClaim,
  { metadata }: PersistentVolume,
): PersistentVolumeClaim | undefined {
  const isNamed = claim.spec?.volumeName === metadata.name;
  if (isNamed && hasAnnotation(claim, bindCompletedKey)) return undefined;
  const added = { [bindCompletedKey]: 'yes', ...(isNamed ? {} : { [boundByControllerKey]: 'yes' }) };
  return {
    ...claim,
    metadata: withAnnotations(claim.metadata, added),
    spec: { ...claim.spec, volumeName: metadata.name },
  };
}

const sizeBeforeKey = 'volume.alpha.kubernetes.io/pre-resize-capacity';

/** 4: the claim's phase, with what it has got. */
export function boundClaimStatus(
  claim: PersistentVolumeClaim,
  volume: PersistentVolume,
): PersistentVolumeClaim | undefined {
  const { status } = claim;
  const storage = volume.spec?.capacity?.['storage'];
  if (storage === undefined)
    throw new Error(`PersistentVolume "${volume.metadata.name}" is without a storage capacity`);
  const attributes = volume.spec?.volumeAttributesClassName;
  const wanted = {
    ...status,
    phase: 'Bound',
    accessModes: volume.spec?.accessModes,
    capacity: isGrowing(claim) ? status?.capacity : { storage: sizeBefore(volume) ?? storage },
    ...(attributes === undefined || status?.phase === 'Bound' ? {} : { currentVolumeAttributesClassName: attributes }),
  };
  return sameJson(wanted, status) ? undefined : { ...claim, status: wanted };
}

/**
 * While a volume grows, who makes it grow tells the claim how large it has become. The volume's own size may change
 * before anybody has said so: a claim that asks for more than it has is growing.
 */
function isGrowing(claim: PersistentVolumeClaim): boolean {
  const { status } = claim;
  if (status?.capacity === undefined) return false;
  return wantsToGrow(claim) || (status.allocatedResourceStatuses?.['storage'] ?? '') !== '';
}

function sizeBefore({ metadata }: PersistentVolume): string | undefined {
  return metadata.annotations?.[sizeBeforeKey];
}

/** A claim without a volume has nothing. */
export function freeClaimStatus(
  claim: PersistentVolumeClaim,
  phase: 'Pending' | 'Lost',
): PersistentVolumeClaim | undefined {
  const { accessModes, capacity, ...rest } = claim.status ?? {};
  if (rest.phase === phase && accessModes === undefined && capacity === undefined) return undefined;
  return { ...claim, status: { ...rest, phase } };
}
