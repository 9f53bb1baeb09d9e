/** The claims of a pod, before any node is looked at. Pure. */
import { claimNameOf, classOfClaim, foreignClaimReason, isFullyBound } from '../../objects/claims.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '../../objects/generated/core-v1.ts';
import { namespacedKey } from '../../objects/object-key.ts';
import type { NodeInfo } from '../cache/node-info.ts';
import type { FilterName } from '../queue/scheduling-queue.ts';
import type { VolumeView } from './volume-view.ts';

export interface PodVolumes {
  /** `volume` is undefined when the claim's volume is gone. */
  bound: Array<{ claim: PersistentVolumeClaim; volume: PersistentVolume | undefined }>;
  /** Claims whose class waits for a pod: this one. */
  delayed: PersistentVolumeClaim[];
  /** Another pod has a claim that only one pod may have. */
  isTaken: boolean;
}

export type FoundVolumes =
  | { kind: 'volumes'; volumes: PodVolumes }
  | { kind: 'rejected'; filter: FilterName; message: string };

/** No node will do for a pod whose claims are not there, not bound, or not its own. */
export function findPodVolumes(pod: Pod, nodes: readonly NodeInfo[], view: VolumeView): FoundVolumes {
  const rejected = (message: string): FoundVolumes => ({ kind: 'rejected', filter: 'VolumeBinding', message });
  const found: PodVolumes = { bound: [], delayed: [], isTaken: false };
  let isUnbound = false;
  for (const volume of pod.spec.volumes ?? []) {
    const name = claimNameOf(pod, volume);
    if (name === undefined) continue;
    const key = namespacedKey(pod.metadata.namespace, name);
    const claim = view.claim(key);
    if (claim === undefined) {
      const missing = `persistentvolumeclaim "${name}" not found`;
      const isComing = volume.ephemeral !== undefined;
      return rejected(
        isComing ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"` : missing,
      );
    }
    const volumeName = claim.spec?.volumeName ?? '';
    if (claim.status?.phase === 'Lost') {
      return rejected(`persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${volumeName}"`);
    }
    if (claim.metadata.deletionTimestamp !== undefined) {
      return rejected(`persistentvolumeclaim "${name}" is being deleted`);
    }
    const why = volume.ephemeral === undefined ? undefined : foreignClaimReason(pod, claim);
    if (why !== undefined) return rejected(why);
    if (claim.spec?.accessModes?.includes('ReadWriteOncePod') === true) found.isTaken ||= isUsedBy(nodes, key);
    if (isFullyBound(claim)) found.bound.push({ claim, volume: view.volume(volumeName) });
    else if (volumeName === '' && isDelayed(claim, view)) found.delayed.push(claim);
    else isUnbound = true;
  }
  return isUnbound ? rejected('pod has unbound immediate PersistentVolumeClaims') : { kind: 'volumes', volumes: found };
}

function isDelayed(claim: PersistentVolumeClaim, view: VolumeView): boolean {
  return view.storageClass(classOfClaim(claim))?.volumeBindingMode === 'WaitForFirstConsumer';
}

function isUsedBy(nodes: readonly NodeInfo[], key: string): boolean {
  return nodes.some(({ pods }) => pods.some(({ claimKeys }) => claimKeys.includes(key)));
}
