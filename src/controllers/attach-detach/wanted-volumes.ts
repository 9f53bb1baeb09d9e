/** Which volumes pods want attached to their node. Pure. */
import { claimNameOf, foreignClaimReason } from '../../objects/claims.ts';
import { csiAttachmentName, csiUniqueName } from '../../objects/csi-names.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '../../objects/generated/core-v1.ts';
import { namespacedKey } from '../../objects/object-key.ts';
import { isPodTerminal } from '../pod-state.ts';

export interface WantedVolume {
  /** Of the VolumeAttachment. */
  attachmentName: string;
  /** As the node's status has it. */
  uniqueName: string;
  volumeName: string;
  driver: string;
  handle: string;
  /** Several nodes may have it at once. */
  isShared: boolean;
  pods: Pod[];
}

export interface Lookup {
  claim(key: string): PersistentVolumeClaim | undefined;
  volume(name: string): PersistentVolume | undefined;
  /** Whether volumes of this driver have to be attached at all. */
  needsAttach(driver: string): boolean;
}

/** @param pods of the node */
export function wantedVolumes(nodeName: string, pods: readonly Pod[], lookup: Lookup): Map<string, WantedVolume> {
  const wanted = new Map<string, WantedVolume>();
  for (const pod of pods.filter(isUsingVolumes)) {
    for (const volume of volumesOf(pod, lookup)) {
      const source = volume.spec?.csi;
      if (source === undefined || !lookup.needsAttach(source.driver)) continue;
      const { driver, volumeHandle: handle } = source;
      const attachmentName = csiAttachmentName(handle, driver, nodeName);
      const known = wanted.get(attachmentName);
      if (known !== undefined) {
        known.pods.push(pod);
        continue;
      }
      wanted.set(attachmentName, {
        attachmentName,
        uniqueName: csiUniqueName(driver, handle),
        volumeName: volume.metadata.name,
        driver,
        handle,
        isShared: isShareable(volume),
        pods: [pod],
      });
    }
  }
  return wanted;
}

/** Volumes of bound claims. */
export function volumesOf(pod: Pod, lookup: Pick<Lookup, 'claim' | 'volume'>): PersistentVolume[] {
  return (pod.spec.volumes ?? []).flatMap((volume) => {
    const name = claimNameOf(pod, volume);
    const claim = name === undefined ? undefined : lookup.claim(namespacedKey(pod.metadata.namespace, name));
    if (claim?.status?.phase !== 'Bound') return [];
    if (volume.ephemeral !== undefined && foreignClaimReason(pod, claim) !== undefined) return [];
    const found = lookup.volume(claim.spec?.volumeName ?? '');
    return found?.spec?.claimRef?.uid === claim.metadata.uid ? (found ?? []) : [];
  });
}

/** Not any more once it has ended, or is going and nothing of it runs. */
function isUsingVolumes(pod: Pod): boolean {
  if (isPodTerminal(pod)) return false;
  if (pod.metadata.deletionTimestamp === undefined) return true;
  return (pod.status?.containerStatuses ?? []).some(
    ({ state }) => state?.terminated === undefined && state?.waiting === undefined,
  );
}

function isShareable({ spec }: PersistentVolume): boolean {
  const modes = spec?.accessModes ?? [];
  return modes.length === 0 || modes.includes('ReadWriteMany') || modes.includes('ReadOnlyMany');
}
