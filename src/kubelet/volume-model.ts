/**
 * What the volumes of pods and the CSI drivers of the node tell each other, and what both say in the same words. No
 * state, no I/O.
 */
import type { CSIVolumeSource, PersistentVolume, Pod } from '../objects/generated/core-v1.ts';

/** What a failed call means for what the kubelet knows of a volume. */
export type VolumeOutcome =
  /** It may have happened: an unmount must follow before anything else may be believed. */
  | 'uncertain'
  /** Nothing changed; the same will be tried again. */
  | 'transient'
  /** It did not happen, and nothing is left of it. */
  | 'final';

/** Thrown by whoever works on a volume; any other error counts as `final`. */
export interface VolumeFailure extends Error {
  outcome: VolumeOutcome;
  /** How a driver answered, by the gRPC code's name as Go writes it: `FailedPrecondition`. */
  code?: string | undefined;
}

/** A volume that a CSI driver serves, in a pod or for all pods of the node. */
export interface CsiVolume {
  driver: string;
  /** The driver's own id. Of an inline volume one that is made of the pod's uid and the volume's name. */
  handle: string;
  /** The directory below a pod's volumes: the PersistentVolume's name, or of an inline volume its name in the pod. */
  specName: string;
  source: { pv: PersistentVolume } | { inline: CSIVolumeSource };
  /** The pod may only read: by its claim, or by the volume itself. */
  isReadOnly: boolean;
  isBlock: boolean;
}

export interface VolumeFigures {
  capacityBytes: number | undefined;
  availableBytes: number | undefined;
  usedBytes: number | undefined;
  inodes: number | undefined;
  inodesFree: number | undefined;
  inodesUsed: number | undefined;
}

/**
 * Who can tell the space of a volume: the file system that it is mounted at, or whoever keeps it. Nobody can of what is
 * the node's own, as the directory of a hostPath.
 */
export type VolumeSpace = 'file system' | ((signal: AbortSignal) => Promise<VolumeFigures | undefined>) | undefined;

/**
 * The CSI drivers of this node. All calls may be repeated; each makes what it needs on disk below the kubelet's root
 * and leaves no more than the driver does. Errors are `VolumeFailure`s in upstream's words.
 */
export interface CsiVolumes {
  /** Whether somebody must attach the volume to the node first (`CSIDriver.spec.attachRequired`). */
  needsAttach(volume: CsiVolume, signal: AbortSignal): Promise<boolean>;
  /** Whether the driver is told of a volume again at every turn of its pods (`requiresRepublish`). */
  isRepublished(driver: string): boolean;
  /** Throws until the VolumeAttachment says that it is attached. */
  checkAttached(volume: CsiVolume, signal: AbortSignal): Promise<void>;
  /**
   * Whether nobody can attach the volume because the node has as many of the driver's as it can take. If so, the API has
   * been told before how many these are now.
   */
  isOverLimit(volume: CsiVolume, signal: AbortSignal): Promise<boolean>;
  /** Once for all pods of the node. Nothing to do for inline volumes and for drivers that do not stage. */
  stage(volume: CsiVolume, pod: Pod, signal: AbortSignal): Promise<void>;
  unstage(volume: StagedVolume, signal: AbortSignal): Promise<void>;
  /** For one pod; gives the files to its `fsGroup` as far as the driver's policy says. @returns what containers mount */
  publish(volume: CsiVolume, pod: Pod, signal: AbortSignal): Promise<string>;
  unpublish(volume: PublishedVolume, signal: AbortSignal): Promise<void>;
  /** Makes the file system as large as the volume has become; `false` when the driver has nothing to do for it. */
  expand(volume: CsiVolume, pod: Pod, sizeBytes: number, signal: AbortSignal): Promise<boolean>;
  figures(volume: CsiVolume, podUid: string, signal: AbortSignal): Promise<VolumeFigures | undefined>;
  /** What earlier kubelets published and staged, from what they left on disk. Asks neither the API nor a driver. */
  findPublished(signal: AbortSignal): Promise<PublishedVolume[]>;
  findStaged(signal: AbortSignal): Promise<StagedVolume[]>;
}

export interface StagedVolume {
  driver: string;
  handle: string;
  isBlock: boolean;
  /** The PersistentVolume's name; a block volume's directories have it. */
  pvName: string | undefined;
}

export interface PublishedVolume {
  podUid: string;
  specName: string;
  driver: string;
  handle: string;
  isBlock: boolean;
  isInline: boolean;
}

/** When it is said that the files of a volume are still being given to a group, and then how often, ms. */
export const ownershipTimes = { firstMs: 30_000, everyMs: 60_000 } as const;

/** @param where below the directory of all pods. @param files so many are done; undefined when it is said first */
export function ownershipWords(where: string, files: number | undefined): string {
  const giving = `Setting volume ownership for ${where}`;
  if (files !== undefined) return `${giving}, processed ${files} files.`;
  return `${giving} is taking longer than expected, consider using OnRootMismatch - https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#configure-volume-permission-and-ownership-change-policy-for-pods`;
}
