/** What a volume needs next: a phase, to be let go of, or to be given back. Pure. */
import { boundByControllerKey, hasAnnotation, provisionedByKey, volumeModeOf } from '../../objects/claims.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';

export type VolumeStep =
  | { kind: 'set-phase'; phase: 'Available' | 'Bound' }
  /** Its claim is there and does not know of it yet. */
  | { kind: 'ask-claim'; claim: PersistentVolumeClaim }
  | { kind: 'tell-mismatch'; claim: PersistentVolumeClaim }
  /** Its claim has taken another volume. */
  | { kind: 'unbind'; volume: PersistentVolume }
  /** Nobody needs it: released, then as its reclaim policy says. */
  | { kind: 'reclaim' };

/** @param claim the one of the name that the volume is kept for, if there is one with the uid that is meant */
export function decideVolume(volume: PersistentVolume, claim: PersistentVolumeClaim | undefined): VolumeStep {
  const ref = volume.spec?.claimRef;
  if (ref === undefined || (ref.uid ?? '') === '') return { kind: 'set-phase', phase: 'Available' };
  if (claim === undefined) return { kind: 'reclaim' };
  const chosen = claim.spec?.volumeName ?? '';
  if (chosen === '') {
    const isSameMode = volumeModeOf(volume.spec) === volumeModeOf(claim.spec);
    return isSameMode ? { kind: 'ask-claim', claim } : { kind: 'tell-mismatch', claim };
  }
  if (chosen === volume.metadata.name) return { kind: 'set-phase', phase: 'Bound' };
  const isMadeForClaim =
    hasAnnotation(volume, provisionedByKey) && volume.spec?.persistentVolumeReclaimPolicy === 'Delete';
  return isMadeForClaim ? { kind: 'reclaim' } : { kind: 'unbind', volume: unboundVolume(volume) };
}

/** Free again; one that a user has kept for a claim stays kept, by name. */
function unboundVolume(volume: PersistentVolume): PersistentVolume {
  const { metadata, spec } = volume;
  if (!hasAnnotation(volume, boundByControllerKey)) {
    const { uid: _uid, ...claimRef } = spec?.claimRef ?? {};
    return { ...volume, spec: { ...spec, claimRef } };
  }
  const { [boundByControllerKey]: _, ...annotations } = metadata.annotations ?? {};
  const { claimRef: _ref, ...rest } = spec ?? {};
  return { ...volume, metadata: { ...metadata, annotations }, spec: rest };
}

export type ReclaimStep =
  | { kind: 'leave' }
  /** A directory of the machine that the controllers run on goes, and then the volume. */
  | { kind: 'remove-directory'; path: string }
  | { kind: 'fail'; reason: string; message: string };

const migratedToKey = 'pv.kubernetes.io/migrated-to';

/** How a released volume is given back. Who has made it outside of this process takes it back, too. */
export function decideReclaim({ metadata, spec }: PersistentVolume): ReclaimStep {
  if ((metadata.annotations?.[migratedToKey] ?? '') !== '') return { kind: 'leave' };
  switch (spec?.persistentVolumeReclaimPolicy) {
    case undefined:
    case 'Retain':
      return { kind: 'leave' };
    case 'Recycle':
      return { kind: 'fail', reason: 'VolumeFailedRecycle', message: 'No recycler plugin found for the volume!' };
    case 'Delete':
      break;
    default:
      return {
        kind: 'fail',
        reason: 'VolumeUnknownReclaimPolicy',
        message: 'Volume has unrecognized PersistentVolumeReclaimPolicy',
      };
  }
  const provisioner = metadata.annotations?.[provisionedByKey] ?? '';
  if (provisioner !== '' && !provisioner.startsWith('kubernetes.io/')) return { kind: 'leave' };
  if (spec.hostPath !== undefined) {
    const { path } = spec.hostPath;
    if (/^\/tmp\/./.test(path) && !path.split('/').includes('..')) return { kind: 'remove-directory', path };
    return failedDelete(`host_path deleter only supports /tmp/.+ but received provided ${path}`);
  }
  const what = `error getting deleter volume plugin for volume "${metadata.name}"`;
  const isKnown = spec.local !== undefined || spec.nfs !== undefined;
  return failedDelete(`${what}: ${isKnown ? 'no deletable volume plugin matched' : 'no volume plugin matched'}`);
}

function failedDelete(message: string): ReclaimStep {
  return { kind: 'fail', reason: 'VolumeFailedDelete', message };
}
