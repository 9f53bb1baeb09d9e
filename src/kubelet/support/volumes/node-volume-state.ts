/** What is known of the volumes of the node, and what each outcome makes of it. Pure. */
import type { Node } from '../../../objects/generated/core-v1.ts';
import { matchesNodeSelector } from '../../../objects/node-selector.ts';
import type { VolumeOutcome } from '../../volume-model.ts';
import type { PersistentKind, PodVolume } from './persistent-model.ts';

/** `uncertain`: it may be mounted. It is tried again when it is wanted, and taken down when it is not. */
export type MountState = 'none' | 'uncertain' | 'mounted';

export interface PodMount {
  state: MountState;
  specName: string;
  isBlock: boolean;
  /** It was found on disk: an earlier kubelet mounted it, and a pod may be using it. */
  isFound: boolean;
}

export interface NodeVolume {
  uniqueName: string;
  kind: PersistentKind;
  specName: string;
  isBlock: boolean;
  /** What is made once for all pods. */
  device: MountState;
  isDeviceFound: boolean;
  /** By uid. */
  pods: Map<string, PodMount>;
  /** Uids of pods that are to have it. */
  wanted: Set<string>;
  /** Somebody else attaches it to the node first; undefined until that is known. */
  isAttachable: boolean | undefined;
}

/** What a failed mount leaves. One that was found stays uncertain: its pod may run, whatever a later try says. */
export function afterFailure(before: MountState, outcome: VolumeOutcome, isFound: boolean): MountState {
  if (outcome === 'uncertain') return 'uncertain';
  if (outcome === 'transient' || before !== 'uncertain') return before;
  return isFound ? 'uncertain' : 'none';
}

/** Why a pod may not have a volume that only one pod may have; undefined when it may. */
export function readWriteOncePodProblem(
  { pv }: Pick<PodVolume, 'pv'>,
  { pods }: Pick<NodeVolume, 'pods'>,
  uid: string,
): string | undefined {
  const modes = pv?.spec?.accessModes ?? [];
  if (modes.length !== 1 || modes[0] !== 'ReadWriteOncePod') return undefined;
  const isTaken = [...pods].some(([other, { state }]) => other !== uid && state !== 'none');
  return isTaken ? 'volume uses the ReadWriteOncePod access mode and is already in use by another pod' : undefined;
}

/** Why a PersistentVolume cannot be had on this node; undefined when it can. */
export function affinityProblem({ pv }: Pick<PodVolume, 'pv'>, node: Node | undefined): string | undefined {
  const required = pv?.spec?.nodeAffinity?.required;
  if (required === undefined) return undefined;
  if (node === undefined) return 'this node is not known yet';
  return matchesNodeSelector(required, node) ? undefined : 'no matching NodeSelectorTerms';
}

/**
 * Names of the volumes that must not be detached from the node, sorted; undefined while nobody can tell: to leave one out
 * lets it be detached under its mount.
 */
export function volumesInUse(
  volumes: ReadonlyArray<Pick<NodeVolume, 'uniqueName' | 'isAttachable'>>,
  node: Node | undefined,
): string[] | undefined {
  // a node without a uid is one that no API server has told of: it cannot say what was attached
  const isTold = node?.metadata.uid !== undefined;
  if (!isTold && volumes.some(({ isAttachable }) => isAttachable === undefined)) return undefined;
  const told = new Set([
    ...(node?.status?.volumesInUse ?? []),
    ...(node?.status?.volumesAttached ?? []).map(({ name }) => name),
  ]);
  const names: string[] = [];
  for (const { uniqueName, isAttachable } of volumes) {
    // of one that was found, the node tells whether it was attached
    if (isAttachable ?? told.has(uniqueName)) names.push(uniqueName);
  }
  return names.toSorted();
}

export type AttachState = 'attached' | 'waits' | 'not reported';

/** Nobody attaches a volume before the node has said that it will use it. */
export function attachState(uniqueName: string, node: Node | undefined): AttachState {
  if (node?.status?.volumesInUse?.includes(uniqueName) !== true) return 'not reported';
  return node.status.volumesAttached?.some(({ name }) => name === uniqueName) === true ? 'attached' : 'waits';
}

/** Nobody has it and nobody is to have it: what was made for all pods may go. */
export const isUnused = ({ pods, wanted }: Pick<NodeVolume, 'pods' | 'wanted'>): boolean =>
  wanted.size === 0 && [...pods.values()].every(({ state }) => state === 'none');
