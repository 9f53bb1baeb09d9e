/** Volumes that are more than a directory of their pod: what they are called, and what can go wrong with them. */
import type { PersistentVolume, PersistentVolumeClaim, Volume } from '../../../objects/generated/core-v1.ts';
import type { VolumeFailure, VolumeOutcome } from '../../volume-model.ts';

/** By the name of their directory (upstream's plugin names). */
export type PersistentKind = 'host-path' | 'local-volume' | 'nfs' | 'csi';

/** One volume of one pod, after its claim was followed. */
export interface PodVolume {
  kind: PersistentKind;
  /** In the pod. */
  name: string;
  /** Of its directory, and in messages: the PersistentVolume's name where there is one. */
  specName: string;
  /** Undefined for a volume that the pod describes itself. */
  pv: PersistentVolume | undefined;
  claim: PersistentVolumeClaim | undefined;
  /** The pod's own words. */
  volume: Volume;
  isBlock: boolean;
  isReadOnly: boolean;
  /** The key of all state, and how the node's status names it. The same for all pods when the volume is the node's. */
  uniqueName: string;
}

/** A step that failed, in the words of its event. */
export class VolumeStepError extends Error {
  override name = 'VolumeStepError';
  /** E.g. `MountVolume.SetUp failed`. */
  readonly step: string;
  readonly reason: 'FailedMount' | 'FailedMapVolume';
  readonly outcome: VolumeOutcome;
  constructor(step: string, specName: string, cause: unknown, reason: VolumeStepError['reason'] = 'FailedMount') {
    super(`${step} for volume "${specName}" `, { cause });
    this.step = step;
    this.reason = reason;
    this.outcome = outcomeOf(cause);
  }
}

/** A failure after which more is known than "it did not happen". */
export class VolumeError extends Error implements VolumeFailure {
  override name = 'VolumeError';
  readonly outcome: VolumeOutcome;
  constructor(message: string, outcome: VolumeOutcome, options?: ErrorOptions) {
    super(message, options);
    this.outcome = outcome;
  }
}

/** What a failed call means for what we know; anything that does not say so did not happen. */
export function outcomeOf(err: unknown): VolumeOutcome {
  for (let e = err; e instanceof Error; e = e.cause) {
    if ('outcome' in e && (e.outcome === 'uncertain' || e.outcome === 'transient')) return e.outcome;
    if ('outcome' in e && e.outcome === 'final') return 'final';
  }
  return 'final';
}

/** What is said when a device holds another file system than asked for; undefined of any other failure. */
export function mismatchOf(err: unknown): string | undefined {
  for (let e = err; e instanceof Error; e = e.cause) if (e.name === 'FileSystemMismatchError') return e.message;
  return undefined;
}

/** Options to mount with: of the old annotation, or else of the spec; CSI drivers are told those of the spec alone. */
export function userMountOptions({ kind, pv }: Pick<PodVolume, 'kind' | 'pv'>): string[] {
  const annotation = pv?.metadata.annotations?.['volume.beta.kubernetes.io/mount-options'];
  if (annotation !== undefined && kind !== 'csi') return annotation.split(',').filter((option) => option !== '');
  return [...(pv?.spec?.mountOptions ?? [])];
}

/** Those of the user with our own, each once, sorted. */
export function mountOptions(volume: Pick<PodVolume, 'kind' | 'pv' | 'isReadOnly'>): string[] {
  return [...new Set([...userMountOptions(volume), ...(volume.isReadOnly ? ['ro'] : [])])].toSorted();
}
