/** Lets a volume that is deleted go when it is bound to no claim any more. Needs: an informer of volumes. */
import { isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import type { Informer } from '../../client/informer.ts';
import { persistentVolumes as volumeType } from '../../client/resource-types.ts';
import { volumeFinalizer } from '../../objects/claims.ts';
import type { PersistentVolume } from '../../objects/generated/core-v1.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';

export class VolumeProtectionController implements Controller {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #volumes: Informer<PersistentVolume>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#queue = reconcileQueue(context, 'volume-protection');
    this.#volumes = context.informers.of(volumeType);
    const add = ({ metadata }: PersistentVolume): void => this.#queue.add(metadata.name);
    this.#volumes.addHandlers({ onAdd: add, onUpdate: (_, volume) => add(volume) });
  }

  async run(signal: AbortSignal): Promise<void> {
    await runQueue(this.#queue, [this.#volumes], (key, inner) => this.#sync(key, inner), signal);
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const volume = this.#volumes.get({ name });
    if (volume === undefined) return;
    const finalizers = finalizersFor(volume);
    if (finalizers === undefined) return;
    try {
      await this.#context.client.update(
        volumeType,
        { ...volume, metadata: { ...volume.metadata, finalizers } },
        signal,
      );
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }
}

/** Undefined when they are right. */
export function finalizersFor({ metadata, status }: PersistentVolume): string[] | undefined {
  const { finalizers = [], deletionTimestamp } = metadata;
  const isProtected = finalizers.includes(volumeFinalizer);
  if (deletionTimestamp === undefined) return isProtected ? undefined : [...finalizers, volumeFinalizer];
  const mayGo = isProtected && status?.phase !== 'Bound';
  return mayGo ? finalizers.filter((finalizer) => finalizer !== volumeFinalizer) : undefined;
}
