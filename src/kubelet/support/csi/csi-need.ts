/** What the drivers' room needs of others. Types only. */
import type { Csi } from '../../../adapters/csi/csi.ts';
import type { Mounts } from '../../../adapters/mounts/mounts.ts';
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import type { ApiClient } from '../../../client/api-client.ts';
import type { Node, Pod, Secret } from '../../../objects/generated/core-v1.ts';
import type { CSIDriver, VolumeAttachment } from '../../../objects/generated/storage-v1.ts';

export interface TokenOfPod {
  token: string;
  /** RFC 3339. */
  expirationTimestamp: string;
}

export interface TokenQuestion {
  namespace: string;
  serviceAccount: string;
  /** The API server's own when undefined. */
  audience: string | undefined;
  expirationSeconds: number;
  podName: string;
  podUid: string;
}

/** What the room asks of the API. */
export interface CsiApi {
  /** As the cache has it; undefined when there is none, or nobody knows yet. */
  cachedDriver(name: string): CSIDriver | undefined;
  /** Waits until the cache is filled, for a while. @throws when it stays empty */
  driver(name: string, signal: AbortSignal): Promise<CSIDriver | undefined>;
  /** As the server has it now. */
  secret(namespace: string, name: string, signal: AbortSignal): Promise<Secret>;
  attachment(name: string, signal: AbortSignal): Promise<VolumeAttachment>;
  readNode(signal: AbortSignal): Promise<Node>;
  /** For the node's own two objects. */
  objects: Pick<ApiClient, 'get' | 'create' | 'update' | 'patch' | 'delete'>;
}

export interface CsiNeed {
  rootDir: string;
  nodeName: string;
  /** Undefined: standalone. */
  api: CsiApi | undefined;
  csi: Pick<Csi, 'nodeInfo' | 'nodeCapabilities' | 'stage' | 'unstage' | 'publish' | 'unpublish' | 'expand' | 'stats'>;
  mounts: Pick<Mounts, 'isMountPoint' | 'changeGroup' | 'ownerOf'>;
  /** A token of a pod's service account that is good for a while. */
  token(question: TokenQuestion, signal: AbortSignal): Promise<TokenOfPod>;
  /** Tokens that were given for a pod are not asked for any more. */
  forgetTokens(podUid: string): void;
  /** The kernel labels files, so volumes can be mounted with a label. */
  hasLabels: boolean;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** A driver has come, or has come back. */
  onDriver(name: string): void;
  /** The node has become ready, or is no longer, as far as this room is concerned. */
  onProblems(): void;
  clock: Clock;
  log: Logger;
}
