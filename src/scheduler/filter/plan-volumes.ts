/** Whether a pod's volumes can be used on a node, and what has to be bound or made for it there. Pure. */
import { classOfClaim, noProvisioner, requestedStorage, selectedNodeKey } from '../../objects/claims.ts';
import { matchesLabelSelector } from '../../objects/label-selector.ts';
import { isUsableOn, matchVolume } from '../../objects/match-volume.ts';
import { compareQuantity, parseQuantity } from '../../objects/quantity.ts';
import type { Node, PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type { StorageClass } from '../../objects/generated/storage-v1.ts';
import type { PodVolumes } from './pod-volumes.ts';
import type { VolumeView } from './volume-view.ts';

export interface VolumePlan {
  /** Volumes that are there, for claims that wait. */
  bindings: Array<{ claim: PersistentVolumeClaim; volume: PersistentVolume }>;
  /** Claims whose volumes somebody makes, on this node. */
  provisions: PersistentVolumeClaim[];
}

export type PlannedVolumes = { kind: 'plan'; plan: VolumePlan } | { kind: 'rejected'; reasons: string[] };

const otherNode = "node(s) didn't match PersistentVolume's node affinity";
const nothingToBind = "node(s) didn't find available persistent volumes to bind";
const noSpace = 'node(s) did not have enough free storage';
const volumeGone = 'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)';

export function planVolumes({ bound, delayed }: PodVolumes, node: Node, view: VolumeView): PlannedVolumes {
  const reasons: string[] = [];
  for (const { volume } of bound) {
    if (volume !== undefined && isUsableOn(volume, node)) continue;
    reasons.push(volume === undefined ? volumeGone : otherNode);
    break;
  }
  const chosen = delayed.filter((claim) => claim.metadata.annotations?.[selectedNodeKey] !== undefined);
  if (chosen.some(({ metadata }) => metadata.annotations?.[selectedNodeKey] !== node.metadata.name)) {
    return { kind: 'rejected', reasons: [...reasons, nothingToBind] };
  }
  const plan: VolumePlan = { bindings: [], provisions: chosen };
  const taken = new Set<string>();
  const bySize = delayed
    .filter((claim) => !chosen.includes(claim))
    .toSorted((a, b) => compareQuantity(requestedStorage(a), requestedStorage(b)));
  for (const claim of bySize) {
    const volume = matchVolume(claim, view.volumes(), { node, isDelayed: true, taken });
    if (volume === undefined) {
      plan.provisions.push(claim);
    } else {
      taken.add(volume.metadata.name);
      plan.bindings.push({ claim, volume });
    }
  }
  const why = plan.provisions.map((claim) => provisionProblem(claim, node, view)).find((one) => one !== undefined);
  if (why !== undefined) reasons.push(why);
  return reasons.length > 0 ? { kind: 'rejected', reasons } : { kind: 'plan', plan };
}

function provisionProblem(claim: PersistentVolumeClaim, node: Node, view: VolumeView): string | undefined {
  const storageClass = view.storageClass(classOfClaim(claim));
  if (storageClass === undefined) return nothingToBind; // cannot be: it is the class that makes the claim wait
  const { provisioner } = storageClass;
  if (provisioner === '' || provisioner === noProvisioner || !isAllowedOn(storageClass, node)) return nothingToBind;
  return hasSpace(claim, storageClass, node, view) ? undefined : noSpace;
}

/** Terms are alternatives; all expressions of a term must hold, and an empty term matches nothing. */
function isAllowedOn({ allowedTopologies }: StorageClass, { metadata }: Node): boolean {
  if ((allowedTopologies ?? []).length === 0) return true;
  return (allowedTopologies ?? []).some(({ matchLabelExpressions = [] }) => {
    const holds = matchLabelExpressions.every(({ key, values }) => values.includes(metadata.labels?.[key] ?? ''));
    return matchLabelExpressions.length > 0 && holds;
  });
}

/** Asked only of drivers that tell how much they have where. */
function hasSpace(claim: PersistentVolumeClaim, { metadata, provisioner }: StorageClass, node: Node, view: VolumeView) {
  if (view.csiDriver(provisioner)?.spec.storageCapacity !== true) return true;
  const wanted = requestedStorage(claim);
  return view.capacities().some(({ storageClassName, capacity, maximumVolumeSize, nodeTopology }) => {
    const limit = maximumVolumeSize ?? capacity;
    return (
      storageClassName === metadata.name &&
      limit !== undefined &&
      compareQuantity(parseQuantity(limit), wanted) >= 0 &&
      matchesLabelSelector(nodeTopology, node.metadata.labels)
    );
  });
}
