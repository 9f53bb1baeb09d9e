/** What each kind of persistent volume is asked to do, and what it needs for that. */
import type { Mounts } from '../../../adapters/mounts/mounts.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import type { PodVolume } from './persistent-model.ts';

export type PersistentMounts = Pick<
  Mounts,
  | 'bind'
  | 'bindWithOptions'
  | 'changeGroup'
  | 'formatAndMount'
  | 'isMountPoint'
  | 'listMounts'
  | 'modeOf'
  | 'mountFileSystem'
  | 'ownerOf'
  | 'unmountFileSystem'
>;

/** A volume in a pod, as its directory tells: also of pods that are gone and of volumes that the API has lost. */
export interface PodPlace {
  uid: string;
  /** It lies below the pod's `volumeDevices`, not below its `volumes`. */
  isBlock: boolean;
  specName: string;
}

/** What is made once for all pods of the node. */
export interface NodeDevice {
  uniqueName: string;
  specName: string;
  isBlock: boolean;
}

/** Each call may be repeated. Errors say by `outcome` what they mean; without one nothing has happened. */
export interface PersistentHands {
  readonly hasMountOptions: boolean;
  /** What must be so before anything is done. @throws in the words of `MountVolume.NewMounter initialization failed` */
  check(volume: PodVolume, signal: AbortSignal): Promise<void>;
  /** Once for all pods. */
  stage(volume: PodVolume, pod: Pod, signal: AbortSignal): Promise<void>;
  unstage(device: NodeDevice, signal: AbortSignal): Promise<void>;
  /** Where it is mounted for all pods; undefined when it is not. */
  devicePath(device: NodeDevice): string | undefined;
  /** The directory by which pods share a block volume. */
  mapPath?(specName: string): string;
  /** Makes the device of a block volume the pod's. @param device what `publish` returned. @returns the link to it */
  map?(volume: PodVolume, pod: Pod, device: string, signal: AbortSignal): Promise<string>;
  /** @returns what containers mount, or the device of a block volume */
  publish(volume: PodVolume, pod: Pod, context: { otherPods: readonly string[] }, signal: AbortSignal): Promise<string>;
  unpublish(place: PodPlace, signal: AbortSignal): Promise<void>;
  /** What earlier kubelets have staged. Asks nobody but the disk. */
  findStaged(signal: AbortSignal): Promise<NodeDevice[]>;
  /** Which volumes those in the directories of pods are; those that it cannot tell are left out. */
  findPublished(places: readonly PodPlace[], signal: AbortSignal): Promise<Array<PodPlace & { uniqueName: string }>>;
}
