/** What the runtime tells us, in our own shapes. Times are nanoseconds since the epoch; 0 means "not yet". */
import type { LinuxContainerResources__Output } from './generated/runtime/v1/LinuxContainerResources.ts';

export type CriState = 'created' | 'running' | 'exited' | 'unknown';

export interface CriSandbox {
  id: string;
  name: string;
  namespace: string;
  podUid: string;
  /** Counts re-creations of the pod's sandbox, from 0. */
  attempt: number;
  isReady: boolean;
  createdAtNs: bigint;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  runtimeHandler: string;
}

export interface CriSandboxStatus extends CriSandbox {
  /** Primary pod IP; empty for host network, and when the network is gone. */
  ip: string;
  additionalIps: string[];
  hasNetworkStatus: boolean;
  isHostNetwork: boolean;
}

export interface CriContainer {
  id: string;
  sandboxId: string;
  name: string;
  attempt: number;
  /** From the label `io.kubernetes.pod.uid`. */
  podUid: string;
  state: CriState;
  createdAtNs: bigint;
  image: string;
  imageRef: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface CriContainerStatus {
  id: string;
  name: string;
  attempt: number;
  state: CriState;
  createdAtNs: bigint;
  startedAtNs: bigint;
  finishedAtNs: bigint;
  exitCode: number;
  /** The name the pod asked for, where the runtime keeps it. */
  image: string;
  /** Digest form, what the API calls `imageID`. */
  imageRef: string;
  imageId: string;
  reason: string;
  message: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** `image`: the runtime's id of an image that is mounted; undefined for a path of the host. */
  mounts: Array<{ containerPath: string; hostPath: string; readonly: boolean; image?: string | undefined }>;
  logPath: string;
  resources: LinuxContainerResources__Output | undefined;
  user: { uid: number; gid: number; supplementalGroups: number[] } | undefined;
  /** As the API writes it; undefined for a runtime that does not say. */
  stopSignal: string | undefined;
}

export interface CriContainerEvent {
  containerId: string;
  type: 'CREATED' | 'STARTED' | 'STOPPED' | 'DELETED';
  createdAtNs: bigint;
  podUid: string | undefined;
}

export interface CriImage {
  /** Local id: `sha256:…`. */
  id: string;
  repoTags: string[];
  repoDigests: string[];
  sizeBytes: number;
  /** The image's user when it is a number. */
  uid: number | undefined;
  /** The image's user when it is a name. */
  username: string;
  pinned: boolean;
}

export interface CriRuntimeStatus {
  /** RuntimeReady and NetworkReady at least. */
  conditions: Array<{ type: string; status: boolean; reason: string; message: string }>;
  handlers: Array<{ name: string; recursiveReadOnlyMounts: boolean; userNamespaces: boolean }>;
  supplementalGroupsPolicy: boolean;
}
