/** Whether a claim must stay. Pure. */
import { claimNameOf, foreignClaimReason } from '../../objects/claims.ts';
import type { PersistentVolumeClaim, Pod } from '../../objects/generated/core-v1.ts';
import { isPodTerminal } from '../pod-state.ts';

/** A pod without a node does not count: no kubelet starts one whose claim is being deleted. */
export function isClaimUsed(claim: PersistentVolumeClaim, pods: readonly Pod[]): boolean {
  return pods.some(
    (pod) =>
      (pod.spec.nodeName ?? '') !== '' &&
      pod.metadata.namespace === claim.metadata.namespace &&
      (pod.spec.volumes ?? []).some((volume) => {
        if (claimNameOf(pod, volume) !== claim.metadata.name) return false;
        if (volume.ephemeral === undefined) return true;
        // made for the pod, it may go with it as soon as the kubelet is done
        return !isShutDown(pod) && !isPodTerminal(pod) && foreignClaimReason(pod, claim) === undefined;
      }),
  );
}

function isShutDown({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.deletionGracePeriodSeconds === 0;
}
