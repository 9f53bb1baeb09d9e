/**
 * Binds a pod's volumes before the pod itself: what is there is given to its claims, what is not is asked for on the
 * chosen node. Then it waits for the others who have a part in it.
 *
 * Promises: what is promised to one pod is promised to no other; promises that cannot be kept are taken back.
 */
import type { Clock } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import { DeadlineError, describeError } from '../../base/errors.ts';
import type { ApiClient } from '../../client/api-client.ts';
import { persistentVolumeClaims as claimType, persistentVolumes as volumeType } from '../../client/resource-types.ts';
import { volumeForClaim, withAnnotations } from '../../objects/bind-volume.ts';
import { selectedNodeKey } from '../../objects/claims.ts';
import type { Node, PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type { VolumeCache } from '../cache/volume-cache.ts';
import type { VolumePlan } from '../filter/plan-volumes.ts';
import { type Promised, checkBinding } from './check-binding.ts';

export interface VolumeBinderNeeds {
  cache: VolumeCache;
  client: Pick<ApiClient, 'update'>;
  clock: Clock;
  /** How long a pod waits for its volumes. */
  timeoutMs: number;
}

/** What a pod has been promised and nobody has written yet. */
export interface Reservation {
  node: Node;
  bindings: Array<{ claim: PersistentVolumeClaim; volume: PersistentVolume; isWritten: boolean }>;
  provisions: PersistentVolumeClaim[];
}

export class VolumeBinder {
  readonly #needs: VolumeBinderNeeds;

  constructor(needs: VolumeBinderNeeds) {
    this.#needs = needs;
  }

  /** From now on the plan's volumes are taken. */
  reserve({ bindings, provisions }: VolumePlan, node: Node): Reservation {
    const { cache } = this.#needs;
    const selected = { [selectedNodeKey]: node.metadata.name };
    const reservation: Reservation = {
      node,
      bindings: bindings.map(({ claim, volume }) => {
        const claimed = volumeForClaim(volume, claim);
        return { claim, volume: claimed ?? volume, isWritten: claimed === undefined };
      }),
      provisions: provisions.map((claim) => ({ ...claim, metadata: withAnnotations(claim.metadata, selected) })),
    };
    cache.assume(
      reservation.provisions,
      reservation.bindings.map(({ volume }) => volume),
    );
    return reservation;
  }

  release({ bindings, provisions }: Reservation): void {
    this.#needs.cache.restore(
      provisions,
      bindings.map(({ volume }) => volume),
    );
  }

  /**
   * Writes the reservation and waits until everything in it is bound, or the pod is gone.
   * @returns whether the pod still wants it
   * @throws {Error} in the words of an event
   */
  async bind(reservation: Reservation, isPodThere: () => boolean, signal: AbortSignal): Promise<boolean> {
    const { clock, timeoutMs } = this.#needs;
    try {
      const promised = await this.#write(reservation, signal);
      return await withDeadline('binding volumes', timeoutMs, clock, signal, (inner) =>
        this.#wait(promised, reservation.node, isPodThere, inner),
      );
    } catch (err) {
      if (signal.aborted) throw err;
      const why = err instanceof DeadlineError ? 'context deadline exceeded' : describeError(err);
      // no cause: that a volume is gone does not mean that the pod is
      throw new Error(`running PreBind plugin "VolumeBinding": binding volumes: ${why}`);
    }
  }

  async #write({ bindings, provisions }: Reservation, signal: AbortSignal): Promise<Promised> {
    const { client } = this.#needs;
    const written = [];
    for (const { claim, volume, isWritten } of bindings) {
      written.push({ claim, volume: isWritten ? volume : await client.update(volumeType, volume, signal) });
    }
    const asked = [];
    for (const claim of provisions) asked.push(await client.update(claimType, claim, signal));
    return { bindings: written, provisions: asked };
  }

  async #wait(promised: Promised, node: Node, isPodThere: () => boolean, signal: AbortSignal): Promise<boolean> {
    const { cache } = this.#needs;
    for (;;) {
      signal.throwIfAborted();
      if (!isPodThere()) return false;
      const changed = cache.nextChange(signal); // before the look: nothing may come in between
      if (checkBinding(promised, node, cache) === 'bound') return true;
      await changed;
    }
  }
}
