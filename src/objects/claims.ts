/** What claims and volumes say about each other: annotations, classes, whose is whose. Pure. */
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from './generated/core-v1.ts';
import type { StorageClass } from './generated/storage-v1.ts';
import { namespacedKey } from './object-key.ts';
import { type Quantity, compareQuantity, parseQuantity, zeroQuantity } from './quantity.ts';

export const bindCompletedKey = 'pv.kubernetes.io/bind-completed';
export const boundByControllerKey = 'pv.kubernetes.io/bound-by-controller';
export const provisionedByKey = 'pv.kubernetes.io/provisioned-by';
export const selectedNodeKey = 'volume.kubernetes.io/selected-node';
export const storageProvisionerKeys = [
  'volume.beta.kubernetes.io/storage-provisioner',
  'volume.kubernetes.io/storage-provisioner',
] as const;
export const claimFinalizer = 'kubernetes.io/pvc-protection';
export const volumeFinalizer = 'kubernetes.io/pv-protection';
/** As a provisioner: volumes of the class are made by hand. */
export const noProvisioner = 'kubernetes.io/no-provisioner';

const oldClassKey = 'volume.beta.kubernetes.io/storage-class';
const defaultClassKeys = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];

/** The class's name; '' for none. */
export function classOfClaim({ metadata, spec }: PersistentVolumeClaim): string {
  return metadata.annotations?.[oldClassKey] ?? spec?.storageClassName ?? '';
}

/** Whether the claim says nothing of a class, not even that it wants none. */
export function hasNoClass({ metadata, spec }: PersistentVolumeClaim): boolean {
  return metadata.annotations?.[oldClassKey] === undefined && spec?.storageClassName === undefined;
}

export function classOfVolume({ metadata, spec }: PersistentVolume): string {
  return metadata.annotations?.[oldClassKey] ?? spec?.storageClassName ?? '';
}

export function isDefaultClass({ metadata }: StorageClass): boolean {
  return defaultClassKeys.some((key) => metadata.annotations?.[key] === 'true');
}

/** Of several default classes the newest, then the first by name. */
export function pickDefaultClass(classes: Iterable<StorageClass>): StorageClass | undefined {
  return [...classes].filter(isDefaultClass).toSorted((a, b) => {
    const [at, bt] = [a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? ''];
    return at === bt ? (a.metadata.name < b.metadata.name ? -1 : 1) : at > bt ? -1 : 1;
  })[0];
}

export function hasAnnotation({ metadata }: PersistentVolume | PersistentVolumeClaim, key: string): boolean {
  return metadata.annotations?.[key] !== undefined;
}

/** Whether a volume is kept for this claim, by name or, once it is bound, by uid. */
export function isVolumeOfClaim({ spec }: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  const ref = spec?.claimRef;
  if (ref === undefined || ref.name !== metadata.name || ref.namespace !== metadata.namespace) return false;
  return (ref.uid ?? '') === '' || ref.uid === metadata.uid;
}

/** Whether nothing is left to do for the claim and its volume to be each other's. */
export function isFullyBound(claim: PersistentVolumeClaim): boolean {
  return (claim.spec?.volumeName ?? '') !== '' && hasAnnotation(claim, bindCompletedKey);
}

/** The name of the claim behind a pod's volume; undefined for volumes without one. */
export function claimNameOf(pod: Pod, volume: Volume): string | undefined {
  if (volume.persistentVolumeClaim !== undefined) return volume.persistentVolumeClaim.claimName;
  return volume.ephemeral === undefined ? undefined : `${pod.metadata.name}-${volume.name}`;
}

/** The keys of all claims that a pod names. */
export function claimKeysOf(pod: Pod): string[] {
  const keys = new Set<string>();
  for (const volume of pod.spec.volumes ?? []) {
    const name = claimNameOf(pod, volume);
    if (name !== undefined) keys.add(namespacedKey(pod.metadata.namespace, name));
  }
  return [...keys];
}

/** Why a claim of the right name is not the one that was made for the pod's ephemeral volume. */
export function foreignClaimReason(pod: Pod, { metadata }: PersistentVolumeClaim): string | undefined {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  return owner?.uid !== undefined && owner.uid === pod.metadata.uid
    ? undefined
    : `PVC ${metadata.namespace}/${metadata.name} was not created for pod ${pod.metadata.namespace}/${pod.metadata.name} (pod is not owner)`;
}

export function requestedStorage({ spec }: PersistentVolumeClaim): Quantity {
  return quantityOr0(spec?.resources?.requests?.['storage']);
}

export function capacityOf({ spec }: PersistentVolume): Quantity {
  return quantityOr0(spec?.capacity?.['storage']);
}

function quantityOr0(text: string | undefined): Quantity {
  return text === undefined ? zeroQuantity : parseQuantity(text);
}

/** Whether the claim asks for more than it has. */
export function wantsToGrow(claim: PersistentVolumeClaim): boolean {
  return compareQuantity(requestedStorage(claim), quantityOr0(claim.status?.capacity?.['storage'])) > 0;
}

export function volumeModeOf(spec: { volumeMode?: string | undefined } | undefined): string {
  return spec?.volumeMode ?? 'Filesystem';
}
