/** What the volume filters ask. */
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
} from '../../objects/generated/storage-v1.ts';

export interface VolumeView {
  /** By `namespace/name`. */
  claim(key: string): PersistentVolumeClaim | undefined;
  volume(name: string): PersistentVolume | undefined;
  volumes(): PersistentVolume[];
  storageClass(name: string): StorageClass | undefined;
  csiNode(name: string): CSINode | undefined;
  csiDriver(name: string): CSIDriver | undefined;
  capacities(): CSIStorageCapacity[];
  attachments(nodeName: string): VolumeAttachment[];
}
