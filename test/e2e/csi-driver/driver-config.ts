export interface DriverConfig {
  name: string;
  nodeId: string;
  /** Volumes are kept here. */
  stateDir: string;
  /** Where Identity, Node and Controller are served. */
  socket: string;
  /** Where the node finds the driver; undefined: it does not. */
  registrationSocket?: string;
  versions: string[];
  /** Another type than `CSIPlugin`. */
  pluginType?: string;
  /** Node capabilities by their names; `capabilities` of the control file goes before. */
  capabilities: string[];
  maxVolumes?: number;
  topology?: Record<string, string>;
  noMounts?: boolean;
  callLog: string;
  controlFile: string;
  kubeconfig?: string;
  roles?: Array<'provisioner' | 'attacher' | 'resizer'>;
}

export interface Capability {
  block?: object | null;
  mount?: { fs_type: string; mount_flags: string[]; volume_mount_group: string } | null;
  access_mode?: { mode: string } | null;
}
