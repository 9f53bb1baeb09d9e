/** What the server adds to volumes and claims, and which claims may grow. Each step is a function. */
import {
  claimFinalizer,
  classOfClaim,
  hasNoClass,
  pickDefaultClass,
  requestedStorage,
  volumeFinalizer,
} from '../../objects/claims.ts';
import type { PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type { StorageClass } from '../../objects/generated/storage-v1.ts';
import { compareQuantity } from '../../objects/quantity.ts';
import type { Admission } from '../resources/registry.ts';
import { typed } from '../resources/resource.ts';
import { forbidden } from '../resources/status-error.ts';
import { type AdmissionNeed, isCreateOf } from './admission-step.ts';

export async function setDefaultStorageClass(admission: Admission, need: AdmissionNeed): Promise<void> {
  if (!isCreateOf(admission, 'persistentvolumeclaims')) return;
  const claim = typed<PersistentVolumeClaim>(admission.object);
  if (claim.spec === undefined || !hasNoClass(claim)) return;
  const chosen = pickDefaultClass(await storageClasses(admission, need));
  if (chosen !== undefined) claim.spec.storageClassName = chosen.metadata.name;
}

async function storageClasses({ context }: Admission, { registry, table }: AdmissionNeed): Promise<StorageClass[]> {
  const cache = registry().cache(table.must('storage.k8s.io/v1', 'storageclasses'));
  await cache.ready(context.signal);
  return [...cache.values()].map(({ object }) => typed<StorageClass>(object));
}

const finalizers = [
  ['persistentvolumeclaims', '', claimFinalizer],
  ['persistentvolumes', '', volumeFinalizer],
  ['volumeattributesclasses', 'storage.k8s.io', 'kubernetes.io/vac-protection'],
] as const;

/** What is in use goes no sooner than a controller says that it is not. */
export function protectStorage(admission: Admission): void {
  for (const [resource, group, finalizer] of finalizers) {
    if (!isCreateOf(admission, resource, group)) continue;
    const { metadata } = admission.object;
    if (metadata.finalizers?.includes(finalizer) === true) continue;
    metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
  }
}

export async function checkClaimGrowth(admission: Admission, need: AdmissionNeed): Promise<void> {
  const { operation, resource, subresource, object, old } = admission;
  if (operation !== 'update' || subresource !== '' || old === undefined) return;
  if (resource.resource !== 'persistentvolumeclaims' || resource.group !== '') return;
  const [claim, before] = [typed<PersistentVolumeClaim>(object), typed<PersistentVolumeClaim>(old)];
  if (compareQuantity(requestedStorage(claim), requestedStorage(before)) <= 0) return;
  if (before.status?.phase !== 'Bound') {
    throw forbidden(resource, claim.metadata.name, 'Only bound persistent volume claims can be expanded');
  }
  const name = classOfClaim(claim);
  const classes = name === classOfClaim(before) ? await storageClasses(admission, need) : [];
  if (classes.find(({ metadata }) => metadata.name === name)?.allowVolumeExpansion === true) return;
  const why =
    'only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize';
  throw forbidden(resource, claim.metadata.name, why);
}
