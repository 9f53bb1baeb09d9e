/** What is known of the space that pods use on disks. Types, and the figures of a pod of which nothing is known. */
import type { DirectoryUsage } from '../../../adapters/disk-usage/disk-usage.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import type { VolumeFigures } from '../../volume-model.ts';
import type { VolumeMeasure } from './volume-measures.ts';

/** A pod that has something on this node's disks. */
export interface PodOnDisk {
  pod: Pod;
  /** What is mounted, by the volume's name. */
  volumes: ReadonlyMap<string, { hostPath: string }>;
  logDirectory: string;
  hostsFile: string;
}

export interface VolumeStorage extends Pick<VolumeMeasure, 'name' | 'claim' | 'isLocalEphemeral'> {
  atMs: number;
  figures: VolumeFigures;
}

export interface PodStorageFigures {
  atMs: number;
  volumes: readonly VolumeStorage[];
  /** All logs of the pod. Undefined, here and below: not known. */
  podLogs: DirectoryUsage | undefined;
  containerLogs: ReadonlyMap<string, DirectoryUsage>;
  hostsFile: DirectoryUsage | undefined;
}

export const nothingKnown = (atMs: number): PodStorageFigures => ({
  atMs,
  volumes: [],
  podLogs: undefined,
  containerLogs: new Map(),
  hostsFile: undefined,
});
