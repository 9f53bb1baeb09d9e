/** What the volumes of the node need of others. */
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import type { Node, PersistentVolumeClaim, Pod } from '../../../objects/generated/core-v1.ts';
import type { ObjectMeta } from '../../../objects/generated/meta-v1.ts';
import type { PodPhases } from '../../pod-model.ts';
import type { CsiVolumes } from '../../volume-model.ts';
import type { VolumeOperation } from './operation-labels.ts';
import type { PersistentMounts } from './persistent-kinds.ts';
import type { ClaimSources } from './resolve-volume.ts';

export interface StorageObject {
  kind: 'PersistentVolume' | 'PersistentVolumeClaim';
  metadata: ObjectMeta;
}

export interface NodeVolumesNeed extends ClaimSources {
  rootDir: string;
  nodeName: string;
  syncFrequencyMs: number;
  mounts: PersistentMounts;
  /** Undefined: this node has no CSI drivers. */
  csi: CsiVolumes | undefined;
  event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** About a claim or a PersistentVolume. */
  storageEvent(object: StorageObject, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** A merge patch of the claim's status. */
  patchClaimStatus(claim: PersistentVolumeClaim, status: unknown, signal: AbortSignal): Promise<void>;
  phases: Pick<PodPhases, 'span'>;
  /** This node as a watch saw it last. */
  ownNode(): Node | undefined;
  /** This node as the API has it now. */
  readNode(signal: AbortSignal): Promise<Node | undefined>;
  /** Every source of pods has spoken. */
  isComplete(): boolean;
  /** Pods that run here, are to run, or are being ended. */
  activePods(): readonly Pod[];
  /** The names of volumes that are in use have changed: the node's status is to tell. */
  onInUse(): void;
  /** An operation on a volume has ended. */
  onOperation(ended: VolumeOperation): void;
  clock: Clock;
  log: Logger;
}
