/** Makes file systems as large as their volumes have become, and tells the claim and the pod. */
import { rfc3339Seconds } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { PersistentVolumeClaim, Pod } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';
import { csiVolume } from './csi-hands.ts';
import { type ExpansionEnd, claimStatusPatch, expansionOf } from './expand-volume.ts';
import type { NodeVolumesNeed } from './node-volumes-need.ts';
import { type PodVolume, VolumeError } from './persistent-model.ts';

type ExpanderNeed = Pick<
  NodeVolumesNeed,
  'csi' | 'event' | 'storageEvent' | 'patchClaimStatus' | 'nodeName' | 'clock' | 'log'
>;

export class VolumeExpander {
  readonly #need: ExpanderNeed;
  /** To which size this process has brought a volume, by its unique name. */
  readonly #sizes = new Map<string, number>();

  constructor(need: ExpanderNeed) {
    this.#need = need;
  }

  /** @throws {VolumeError} uncertain: the volume is mounted, and not as large as it is to be */
  async expandIfNeeded(pod: Pod, volume: PodVolume, signal: AbortSignal): Promise<void> {
    const { csi, event, log } = this.#need;
    const { claim, specName, uniqueName } = volume;
    const expansion = expansionOf(volume, this.#sizes.get(uniqueName));
    if (expansion.kind === 'none' || csi === undefined || claim === undefined) return;
    if (expansion.kind === 'read-only') {
      const message = `MountVolume.NodeExpandVolume failed for volume "${specName}" requested read-only file system`;
      event(pod, 'Warning', 'FileSystemResizeFailed', message);
      return;
    }
    const { size, sizeBytes } = expansion;
    if (size !== undefined) await this.#tell(claim, 'in progress', signal);
    try {
      await csi.expand(csiVolume(volume, uidOf(pod)), pod, sizeBytes, signal);
    } catch (err) {
      signal.throwIfAborted();
      const code = driverCodeOf(err);
      if (code === 'FailedPrecondition') {
        log.info(
          { volume: uniqueName, reason: describeError(err) },
          'the volume is in use: its driver does not expand it',
        );
        this.#sizes.set(uniqueName, sizeBytes);
        return;
      }
      const message = describeError(err);
      event(
        pod,
        'Warning',
        'VolumeResizeFailed',
        `NodeExpandVolume.NodeExpandVolume failed for volume "${specName}" : ${message}`,
      );
      if (code !== undefined && !uncertainCodes.has(code))
        await this.#tell(claim, { kind: 'failed', message, isInfeasible: infeasibleCodes.has(code) }, signal);
      throw new VolumeError(message, 'uncertain');
    }
    this.#sizes.set(uniqueName, sizeBytes);
    const message = `MountVolume.NodeExpandVolume succeeded for volume "${specName}" ${this.#need.nodeName}`;
    event(pod, 'Normal', 'FileSystemResizeSuccessful', message);
    this.#need.storageEvent(
      { kind: 'PersistentVolumeClaim', metadata: claim.metadata },
      'Normal',
      'FileSystemResizeSuccessful',
      message,
    );
    if (size !== undefined) await this.#tell(claim, { kind: 'done', size }, signal);
  }

  /** The size of the newest status that was seen stands for what is not known here. */
  forget(uniqueName: string): void {
    this.#sizes.delete(uniqueName);
  }

  async #tell(claim: PersistentVolumeClaim, end: ExpansionEnd | 'in progress', signal: AbortSignal): Promise<void> {
    const now = rfc3339Seconds(this.#need.clock.nowMs());
    await this.#need.patchClaimStatus(claim, claimStatusPatch(claim, end, now), signal);
  }
}

/** Trying again will not help. */
const infeasibleCodes = new Set(['InvalidArgument', 'NotFound', 'OutOfRange']);
/** After these the driver may still be at it. */
const uncertainCodes = new Set(['Canceled', 'DeadlineExceeded', 'Unavailable', 'ResourceExhausted', 'Aborted']);

/** The name of the code that a driver's answer had, wherever in the chain. */
function driverCodeOf(err: unknown): string | undefined {
  for (let e = err; e instanceof Error; e = e.cause) {
    if ('outcome' in e && 'code' in e && typeof e.code === 'string') return e.code;
  }
  return undefined;
}
