/**
 * Where a pod's files lie below the kubelet's root. Names come from pods and from directory listings: each is checked
 * before it becomes a part of a path.
 */
import { join } from 'node:path';
import type { PersistentKind } from './persistent-model.ts';
import type { VolumeKind } from './volume-kinds.ts';

const pluginPrefix = 'kubernetes.io~';

export class VolumePaths {
  readonly pods: string;

  constructor(rootDir: string) {
    this.pods = join(rootDir, 'pods');
  }

  podDir(uid: string): string {
    if (!isPodUid(uid)) throw new TypeError(`Cannot use ${JSON.stringify(uid)} as a pod's uid in a path`);
    return join(this.pods, uid);
  }

  volumes(uid: string): string {
    return join(this.podDir(uid), 'volumes');
  }

  volume(uid: string, kind: VolumeKind, name: string): string {
    return join(this.volumes(uid), `${pluginPrefix}${kind}`, checkedVolumeName(name));
  }

  /** Of a volume that is mounted from elsewhere: its name is often that of a PersistentVolume. */
  persistent(uid: string, kind: PersistentKind, specName: string): string {
    return join(this.volumes(uid), `${pluginPrefix}${kind}`, checkedObjectName(specName));
  }

  devices(uid: string): string {
    return join(this.podDir(uid), 'volumeDevices');
  }

  /** The link to a block device. */
  device(uid: string, kind: PersistentKind, specName: string): string {
    return join(this.devices(uid), `${pluginPrefix}${kind}`, checkedObjectName(specName));
  }

  subPaths(uid: string): string {
    return join(this.podDir(uid), 'volume-subpaths');
  }

  /**
   * The directory whose file `ready` says that an emptyDir, or the directory below a projected volume, was set up.
   * Once it was, it is never prepared a second time while the pod lives: its content belongs to the containers.
   */
  marker(uid: string, kind: VolumeKind, name: string): string {
    const wrapped = kind === 'empty-dir' ? '' : 'wrapped_';
    return join(this.podDir(uid), 'plugins', `${pluginPrefix}empty-dir`, `${wrapped}${checkedVolumeName(name)}`);
  }
}

/** The kind of a directory below `volumes/`; undefined for one that is not ours. */
export function kindOfDirectory(directory: string): VolumeKind | undefined {
  const kinds: readonly VolumeKind[] = ['empty-dir', 'configmap', 'secret', 'downward-api', 'projected'];
  return kinds.find((kind) => directory === `${pluginPrefix}${kind}`);
}

/** The kind of a directory below `volumes/` or `volumeDevices/` of volumes that are mounted from elsewhere. */
export function persistentKindOf(directory: string): PersistentKind | undefined {
  const kinds: readonly PersistentKind[] = ['local-volume', 'nfs', 'csi'];
  return kinds.find((kind) => directory === `${pluginPrefix}${kind}`);
}

export const isPodUid = (uid: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(uid);

/** A DNS label: upstream's rule for volume names. */
export const isVolumeName = (name: string): boolean => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name);

function checkedVolumeName(name: string): string {
  if (!isVolumeName(name)) throw new TypeError(`Cannot use ${JSON.stringify(name)} as a volume's name`);
  return name;
}

/** A DNS subdomain: what a PersistentVolume may be called, and what a volume in a pod may, too. */
export const isObjectName = (name: string): boolean =>
  name.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name);

function checkedObjectName(name: string): string {
  if (!isObjectName(name)) throw new TypeError(`Cannot use ${JSON.stringify(name)} as a volume's name`);
  return name;
}
