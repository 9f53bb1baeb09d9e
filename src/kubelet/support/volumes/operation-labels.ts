/** How operations on volumes are named where they are counted: upstream's words. Pure. */

export interface VolumeOperation {
  /** e.g. `kubernetes.io/configmap`; with its driver for CSI, `kubernetes.io/csi:hostpath.example` */
  plugin: string;
  /** e.g. `volume_mount` */
  operation: string;
  durationMs: number;
  hasFailed: boolean;
}

const words: Readonly<Record<string, string>> = {
  mount: 'volume_mount',
  unmount: 'volume_unmount',
  'unmount device': 'unmount_device',
  verify: 'verify_controller_attached_volume',
  expand: 'volume_fs_resize',
};

export const operationLabel = (operation: string): string => words[operation] ?? operation;

/** Of a key that begins with a volume's unique name: `kubernetes.io/csi/DRIVER^HANDLE`, `kubernetes.io/nfs/…`. */
export function pluginOfKey(key: string): string {
  const [group = '', kind = '', rest = ''] = key.split('/');
  const plugin = `${group}/${kind}`;
  return kind === 'csi' ? `${plugin}:${rest.split('^')[0]}` : plugin;
}
