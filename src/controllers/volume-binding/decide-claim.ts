/** What a claim needs next: a volume, somebody who makes one, or patience. Pure. */
import {
  bindCompletedKey,
  boundByControllerKey,
  classOfClaim,
  hasAnnotation,
  hasNoClass,
  isVolumeOfClaim,
  selectedNodeKey,
} from '../../objects/claims.ts';
import { matchVolume, mismatchReason } from '../../objects/match-volume.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type { StorageClass } from '../../objects/generated/storage-v1.ts';

export interface Note {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
}

export type ClaimStep =
  | { kind: 'bind'; volume: PersistentVolume }
  | { kind: 'wait'; note: Note | undefined }
  | { kind: 'set-class'; name: string }
  | { kind: 'ask-provisioner'; provisioner: string; note: Note }
  | { kind: 'lost'; note: Note };

export interface ClaimState {
  claim: PersistentVolumeClaim;
  volumes: readonly PersistentVolume[];
  /** Of the claim's class, when there is one. */
  storageClass: StorageClass | undefined;
  defaultClass: StorageClass | undefined;
  /** Names of pods without a node that use the claim. */
  waitingPods: readonly string[];
}

/** @throws {Error} when the claim's selector is none, or a claim is bound to what is another's */
export function decideClaim(state: ClaimState): ClaimStep {
  const { claim, volumes } = state;
  const name = claim.spec?.volumeName ?? '';
  const volume = volumes.find(({ metadata }) => metadata.name === name);
  if (hasAnnotation(claim, bindCompletedKey)) return decideBoundClaim(claim, volume);
  if (name === '') return decideFreeClaim(state);
  if (volume === undefined) return { kind: 'wait', note: undefined };
  if (volume.spec?.claimRef === undefined) {
    const why = mismatchReason(volume, claim);
    if (why === undefined) return { kind: 'bind', volume };
    return waitWith('Warning', 'VolumeMismatch', `Cannot bind to requested volume "${name}": ${why}`);
  }
  if (isVolumeOfClaim(volume, claim)) return { kind: 'bind', volume };
  if (hasAnnotation(claim, boundByControllerKey)) {
    const { namespace, name: other } = volume.spec.claimRef;
    throw new Error(
      `Cannot bind claim "${claim.metadata.namespace}/${claim.metadata.name}" to volume "${name}": it is claimed by "${namespace}/${other}"`,
    );
  }
  return waitWith('Warning', 'FailedBinding', `volume "${name}" already bound to a different claim.`);
}

function decideBoundClaim(claim: PersistentVolumeClaim, volume: PersistentVolume | undefined): ClaimStep {
  if ((claim.spec?.volumeName ?? '') === '') {
    return lost('ClaimLost', 'Bound claim has lost reference to PersistentVolume. Data on the volume is lost!');
  }
  if (volume === undefined) {
    return lost('ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!');
  }
  const ref = volume.spec?.claimRef;
  if (ref === undefined || ref.uid === claim.metadata.uid) {
    return { kind: 'bind', volume };
  }
  return lost('ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly');
}

function decideFreeClaim({ claim, volumes, storageClass, defaultClass, waitingPods }: ClaimState): ClaimStep {
  const isDelayed = storageClass?.volumeBindingMode === 'WaitForFirstConsumer';
  const volume = matchVolume(claim, volumes, { isDelayed });
  if (volume !== undefined) return { kind: 'bind', volume };
  if (hasNoClass(claim) && defaultClass !== undefined) return { kind: 'set-class', name: defaultClass.metadata.name };
  if (isDelayed && !hasAnnotation(claim, selectedNodeKey)) return waitForPods(waitingPods);
  const className = classOfClaim(claim);
  if (className === '') {
    const message = 'no persistent volumes available for this claim and no storage class is set';
    return waitWith('Normal', 'FailedBinding', message);
  }
  if (storageClass === undefined) {
    return waitWith('Warning', 'ProvisioningFailed', `storageclass.storage.k8s.io "${className}" not found`);
  }
  const { provisioner } = storageClass;
  const why = ownProvisionerProblem(provisioner);
  if (why !== undefined) return waitWith('Warning', 'ProvisioningFailed', why);
  const message = `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`;
  return {
    kind: 'ask-provisioner',
    provisioner,
    note: { type: 'Normal', reason: 'ExternalProvisioning', message },
  };
}

/** Provisioners of this prefix would be part of the controller manager itself, and none makes volumes. */
function ownProvisionerProblem(provisioner: string): string | undefined {
  if (!provisioner.startsWith('kubernetes.io/')) return undefined;
  switch (provisioner) {
    case 'kubernetes.io/host-path':
      return `Failed to create provisioner: provisioning in volume plugin "${provisioner}" is disabled`;
    case 'kubernetes.io/local-volume':
    case 'kubernetes.io/nfs':
      return 'no provisionable volume plugin matched';
    default:
      return `no volume plugin matched name: ${provisioner}`;
  }
}

function waitForPods(pods: readonly string[]): ClaimStep {
  if (pods.length === 0) {
    return waitWith('Normal', 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding');
  }
  const which = pods.length === 1 ? `pod ${pods[0]}` : `pods ${pods.join(',')}`;
  return waitWith('Normal', 'WaitForPodScheduled', `waiting for ${which} to be scheduled`);
}

function waitWith(type: Note['type'], reason: string, message: string): ClaimStep {
  return { kind: 'wait', note: { type, reason, message } };
}

function lost(reason: string, message: string): ClaimStep {
  return { kind: 'lost', note: { type: 'Warning', reason, message } };
}
