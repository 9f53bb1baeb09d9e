/** Tells the users of claims that shall grow that somebody outside must make them. Needs: informers of claims and volumes. */
import type { WorkQueue } from '../../base/work-queue.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import { persistentVolumeClaims as claimType, persistentVolumes as volumeType } from '../../client/resource-types.ts';
import { requestedStorage, wantsToGrow } from '../../objects/claims.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import { compareQuantity } from '../../objects/quantity.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';

export class VolumeExpander implements Controller {
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;

  constructor(context: ControllerContext) {
    this.#events = context.eventsOf('volume_expand');
    this.#queue = reconcileQueue(context, 'volume-expansion');
    this.#claims = context.informers.of(claimType);
    this.#volumes = context.informers.of(volumeType);
    this.#claims.addHandlers({
      onUpdate: (before, claim) => {
        if (compareQuantity(requestedStorage(claim), requestedStorage(before)) > 0) this.#queue.add(objectKey(claim));
      },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    await runQueue(
      this.#queue,
      [this.#claims, this.#volumes],
      (key) => {
        this.#tell(key);
        return Promise.resolve();
      },
      signal,
    );
  }

  #tell(key: string): void {
    const claim = this.#claims.getByKey(key);
    if (claim?.status?.phase !== 'Bound' || !wantsToGrow(claim)) return;
    const volume = this.#volumes.get({ name: claim.spec?.volumeName ?? '' });
    if (volume === undefined || volume.spec?.claimRef?.uid !== claim.metadata.uid) return;
    const isExternal = volume.spec?.csi !== undefined || volume.spec?.flexVolume !== undefined;
    const message = 'waiting for an external controller to expand this PVC';
    this.#events.record(eventTarget(claimType, claim), isExternal ? 'Normal' : 'Warning', 'ExternalExpanding', message);
  }
}
