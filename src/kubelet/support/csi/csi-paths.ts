/** Where drivers' volumes lie below the kubelet's root, and what they are called. Each name is checked before it is a path. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

const pluginPath = 'plugins/kubernetes.io/csi';
const podPlugin = 'kubernetes.io~csi';
export const volumeDataFile = 'vol_data.json';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The VolumeAttachment of a volume on a node. */
export const attachmentName = (handle: string, driver: string, nodeName: string): string =>
  `csi-${sha256(`${handle}${driver}${nodeName}`)}`;

/** The handle of a volume that a pod describes itself. */
export const inlineHandle = (podUid: string, volumeName: string): string => `csi-${sha256(`${podUid}${volumeName}`)}`;

export const isDriverName = (name: string): boolean => /^[a-zA-Z0-9]([-a-zA-Z0-9.]{0,61}[a-zA-Z0-9])?$/.test(name);

function part(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name) || Buffer.byteLength(name) > 255) {
    throw new TypeError(`Cannot use ${JSON.stringify(name)} as a part of a path`);
  }
  return name;
}

export class CsiPaths {
  readonly pods: string;
  /** Of drivers, and of `volumeDevices`. */
  readonly plugin: string;
  readonly blockVolumes: string;

  constructor(rootDir: string) {
    this.pods = join(rootDir, 'pods');
    this.plugin = join(rootDir, pluginPath);
    this.blockVolumes = join(this.plugin, 'volumeDevices');
  }

  /** The directory beside whose `vol_data.json` a volume is staged for all pods: `…/globalmount`. */
  staging(driver: string, handle: string): string {
    return join(this.plugin, part(driver), sha256(handle), 'globalmount');
  }

  /** All volumes of drivers of a pod. */
  podVolumes(podUid: string): string {
    return join(this.pods, part(podUid), 'volumes', podPlugin);
  }

  /** What the driver makes for a pod. Its parent is ours. */
  target(podUid: string, specName: string): string {
    return join(this.podVolumes(podUid), part(specName), 'mount');
  }

  blockStaging(pvName: string): string {
    return join(this.blockVolumes, 'staging', part(pvName));
  }

  /** The device of a pod, as the driver makes it. */
  blockTarget(pvName: string, podUid: string): string {
    return join(this.blockTargets(pvName), part(podUid));
  }

  blockTargets(pvName: string): string {
    return join(this.blockVolumes, 'publish', part(pvName));
  }

  blockData(pvName: string): string {
    return join(this.blockVolumes, part(pvName), 'data');
  }
}
