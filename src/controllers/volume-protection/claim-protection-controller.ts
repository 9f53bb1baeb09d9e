/**
 * Lets a claim that is deleted go when no pod uses it any more, and not before.
 *
 * Needs: informers of claims and pods; the server is asked for pods once more before a claim goes.
 */
import { isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import type { Informer } from '../../client/informer.ts';
import { persistentVolumeClaims as claimType, pods as podType } from '../../client/resource-types.ts';
import { claimFinalizer, claimKeysOf } from '../../objects/claims.ts';
import type { PersistentVolumeClaim, Pod } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { isClaimUsed } from './is-claim-used.ts';

export class ClaimProtectionController implements Controller {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #pods: Informer<Pod>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#queue = reconcileQueue(context, 'claim-protection');
    this.#claims = context.informers.of(claimType);
    this.#pods = context.informers.of(podType);
    this.#pods.addIndex('claim', claimKeysOf);
    const add = (claim: PersistentVolumeClaim): void => this.#queue.add(objectKey(claim));
    this.#claims.addHandlers({ onAdd: add, onUpdate: (_, claim) => add(claim) });
    const addOf = (pod: Pod): void => {
      for (const key of claimKeysOf(pod)) {
        if (this.#claims.getByKey(key)?.metadata.deletionTimestamp !== undefined) this.#queue.add(key);
      }
    };
    this.#pods.addHandlers({ onUpdate: (_, pod) => addOf(pod), onDelete: addOf });
  }

  async run(signal: AbortSignal): Promise<void> {
    await runQueue(this.#queue, [this.#claims, this.#pods], (key, inner) => this.#sync(key, inner), signal);
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const claim = this.#claims.getByKey(key);
    if (claim === undefined) return;
    const { finalizers = [], deletionTimestamp, namespace } = claim.metadata;
    const isProtected = finalizers.includes(claimFinalizer);
    if (deletionTimestamp === undefined) {
      if (!isProtected) await this.#write(claim, [...finalizers, claimFinalizer], signal);
      return;
    }
    if (!isProtected || isClaimUsed(claim, this.#pods.byIndex('claim', key))) return;
    const { items } = await this.#context.client.list(podType, { namespace }, signal);
    if (isClaimUsed(claim, items)) return;
    const others = finalizers.filter((finalizer) => finalizer !== claimFinalizer);
    await this.#write(claim, others, signal);
  }

  async #write(claim: PersistentVolumeClaim, finalizers: string[], signal: AbortSignal): Promise<void> {
    try {
      const metadata = { ...claim.metadata, finalizers };
      await this.#context.client.update(claimType, { ...claim, metadata }, signal);
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }
}
