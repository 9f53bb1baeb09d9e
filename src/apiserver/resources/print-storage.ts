/** Columns of volumes, claims and the kinds around them. */
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import { classOfClaim, classOfVolume, isDefaultClass } from '../../objects/claims.ts';
import type { CSIDriver, CSINode, StorageClass, VolumeAttachment } from '../../objects/generated/storage-v1.ts';
import { textAt } from './api-object.ts';
import { type TableColumns, age, columns } from './print-table.ts';
import { typed } from './resource.ts';

const unset = '<unset>';
const shortModes = [
  ['ReadWriteOnce', 'RWO'],
  ['ReadOnlyMany', 'ROX'],
  ['ReadWriteMany', 'RWX'],
  ['ReadWriteOncePod', 'RWOP'],
] as const;

function modesText(modes: readonly string[] | undefined): string {
  return shortModes
    .filter(([mode]) => modes?.includes(mode) === true)
    .map(([, short]) => short)
    .join(',');
}

export const persistentVolumeColumns: TableColumns = {
  columns: columns(
    'Name',
    'Capacity',
    'Access Modes',
    'Reclaim Policy',
    'Status',
    'Claim',
    'StorageClass',
    'VolumeAttributesClass',
    'Reason',
    'Age',
    'VolumeMode*',
  ),
  cells(object, nowMs) {
    const volume = typed<PersistentVolume>(object);
    const { metadata, spec, status } = volume;
    const claim = spec?.claimRef;
    return [
      metadata.name,
      spec?.capacity?.['storage'] ?? '0',
      modesText(spec?.accessModes),
      spec?.persistentVolumeReclaimPolicy ?? '',
      metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating',
      claim === undefined ? '' : `${claim.namespace ?? ''}/${claim.name ?? ''}`,
      classOfVolume(volume),
      spec?.volumeAttributesClassName ?? unset,
      status?.reason ?? '',
      age(metadata.creationTimestamp, nowMs),
      spec?.volumeMode ?? unset,
    ];
  },
};

export const persistentVolumeClaimColumns: TableColumns = {
  columns: columns(
    'Name',
    'Status',
    'Volume',
    'Capacity',
    'Access Modes',
    'StorageClass',
    'VolumeAttributesClass',
    'Age',
    'VolumeMode*',
  ),
  cells(object, nowMs) {
    const claim = typed<PersistentVolumeClaim>(object);
    const { metadata, spec, status } = claim;
    const hasVolume = Boolean(spec?.volumeName);
    return [
      metadata.name,
      metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating',
      spec?.volumeName ?? '',
      hasVolume ? (status?.capacity?.['storage'] ?? '0') : '',
      hasVolume ? modesText(status?.accessModes) : '',
      classOfClaim(claim),
      spec?.volumeAttributesClassName ?? unset,
      age(metadata.creationTimestamp, nowMs),
      spec?.volumeMode ?? unset,
    ];
  },
};

export const storageClassColumns: TableColumns = {
  columns: columns('Name', 'Provisioner', 'ReclaimPolicy', 'VolumeBindingMode', '(boolean)AllowVolumeExpansion', 'Age'),
  cells(object, nowMs) {
    const storageClass = typed<StorageClass>(object);
    const { metadata } = storageClass;
    return [
      isDefaultClass(storageClass) ? `${metadata.name} (default)` : metadata.name,
      storageClass.provisioner,
      storageClass.reclaimPolicy ?? 'Delete',
      storageClass.volumeBindingMode ?? 'Immediate',
      storageClass.allowVolumeExpansion ?? false,
      age(metadata.creationTimestamp, nowMs),
    ];
  },
};

export const csiDriverColumns: TableColumns = {
  columns: columns(
    'Name',
    '(boolean)AttachRequired',
    '(boolean)PodInfoOnMount',
    '(boolean)StorageCapacity',
    'TokenRequests',
    '(boolean)RequiresRepublish',
    'Modes',
    'Age',
  ),
  cells(object, nowMs) {
    const { metadata, spec } = typed<CSIDriver>(object);
    return [
      metadata.name,
      spec.attachRequired ?? true,
      spec.podInfoOnMount ?? false,
      spec.storageCapacity ?? false,
      spec.tokenRequests === undefined ? unset : spec.tokenRequests.map(({ audience }) => audience).join(','),
      spec.requiresRepublish ?? false,
      (spec.volumeLifecycleModes ?? []).join(',') || '<none>',
      age(metadata.creationTimestamp, nowMs),
    ];
  },
};

export const csiNodeColumns: TableColumns = {
  columns: columns('Name', '(integer)Drivers', 'Age'),
  cells(object, nowMs) {
    const { metadata, spec } = typed<CSINode>(object);
    return [metadata.name, spec?.drivers?.length ?? 0, age(metadata.creationTimestamp, nowMs)];
  },
};

export const volumeAttachmentColumns: TableColumns = {
  columns: columns('Name', 'Attacher', 'PV', 'Node', '(boolean)Attached', 'Age'),
  cells(object, nowMs) {
    const { metadata, spec, status } = typed<VolumeAttachment>(object);
    return [
      metadata.name,
      spec.attacher,
      spec.source?.persistentVolumeName ?? '',
      spec.nodeName,
      status?.attached ?? false,
      age(metadata.creationTimestamp, nowMs),
    ];
  },
};

export const attributesClassColumns: TableColumns = {
  columns: columns('Name', 'DriverName', 'Age'),
  cells: (object, nowMs) => [
    object.metadata.name,
    textAt(object, 'driverName'),
    age(object.metadata.creationTimestamp, nowMs),
  ],
};
