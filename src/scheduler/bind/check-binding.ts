/** Whether what was promised to a pod has come true. Pure. */
import { isFullyBound, selectedNodeKey } from '../../objects/claims.ts';
import { isUsableOn } from '../../objects/match-volume.ts';
import type { Node, PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';

/** What the API server answered to our writes. */
export interface Promised {
  bindings: ReadonlyArray<{ claim: PersistentVolumeClaim; volume: PersistentVolume }>;
  provisions: readonly PersistentVolumeClaim[];
}

export interface ShownVolumes {
  shownClaim(key: string): PersistentVolumeClaim | undefined;
  shownVolume(name: string): PersistentVolume | undefined;
}

/** @throws {Error} when it will not come true any more, in upstream's words */
export function checkBinding({ bindings, provisions }: Promised, node: Node, view: ShownVolumes): 'bound' | 'waiting' {
  let isWaiting = false;
  for (const { claim, volume } of bindings) {
    const { name } = volume.metadata;
    const shown = view.shownVolume(name);
    if (shown === undefined) throw new Error(`failed to check binding: persistentvolume "${name}" not found`);
    if (isOlder(shown, volume)) {
      isWaiting = true;
      continue;
    }
    checkNode(shown, node);
    if ((shown.spec?.claimRef?.uid ?? '') === '') throw new Error(`ClaimRef got reset for pv "${name}"`);
    if (!isFullyBound(claimShown(claim, view))) isWaiting = true;
  }
  for (const promised of provisions) {
    const claim = claimShown(promised, view);
    if (isOlder(claim, promised)) {
      isWaiting = true;
      continue;
    }
    const { name, annotations } = claim.metadata;
    if (annotations === undefined) throw new Error(`selectedNode annotation reset for PVC "${name}"`);
    // who cannot make the volume there takes the annotation away
    if (annotations[selectedNodeKey] !== node.metadata.name) throw new Error(`provisioning failed for PVC "${name}"`);
    const volume = view.shownVolume(claim.spec?.volumeName ?? '');
    if (volume !== undefined) checkNode(volume, node);
    if (volume === undefined || !isFullyBound(claim)) isWaiting = true;
  }
  return isWaiting ? 'waiting' : 'bound';
}

function claimShown(claim: PersistentVolumeClaim, view: ShownVolumes): PersistentVolumeClaim {
  const shown = view.shownClaim(objectKey(claim));
  if (shown?.metadata.uid === claim.metadata.uid && shown !== undefined) return shown;
  throw new Error(`failed to check pvc binding: persistentvolumeclaim "${claim.metadata.name}" not found`);
}

function checkNode(volume: PersistentVolume, { metadata, ...node }: Node): void {
  if (isUsableOn(volume, { metadata, ...node })) return;
  throw new Error(
    `pv "${volume.metadata.name}" node affinity doesn't match node "${metadata.name}": no matching NodeSelectorTerms`,
  );
}

function isOlder(shown: PersistentVolume | PersistentVolumeClaim, written: typeof shown): boolean {
  return BigInt(shown.metadata.resourceVersion ?? '0') < BigInt(written.metadata.resourceVersion ?? '0');
}
