/** Lets a class of volume attributes that is deleted go when no volume and no claim has it. Needs: informers of the three. */
import { isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import type { Informer } from '../../client/informer.ts';
import {
  persistentVolumeClaims as claimType,
  persistentVolumes as volumeType,
  volumeAttributesClasses as classType,
} from '../../client/resource-types.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type { VolumeAttributesClass } from '../../objects/generated/storage-v1.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';

const classFinalizer = 'kubernetes.io/vac-protection';

export class AttributesClassProtectionController implements Controller {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #classes: Informer<VolumeAttributesClass>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#queue = reconcileQueue(context, 'attributes-class-protection');
    this.#classes = context.informers.of(classType);
    this.#claims = context.informers.of(claimType);
    this.#volumes = context.informers.of(volumeType);
    const add = ({ metadata }: VolumeAttributesClass): void => this.#queue.add(metadata.name);
    this.#classes.addHandlers({ onAdd: add, onUpdate: (_, one) => add(one) });
    const addNames = (names: ReadonlySet<string>): void => {
      for (const name of names) this.#queue.add(name);
    };
    this.#claims.addHandlers({
      onUpdate: (before) => addNames(classesOfClaim(before)),
      onDelete: (claim) => addNames(classesOfClaim(claim)),
    });
    this.#volumes.addHandlers({
      onUpdate: (before) => addNames(classesOfVolume(before)),
      onDelete: (volume) => addNames(classesOfVolume(volume)),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = [this.#classes, this.#claims, this.#volumes];
    await runQueue(this.#queue, informers, (name, inner) => this.#sync(name, inner), signal);
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const found = this.#classes.get({ name });
    if (found === undefined) return;
    const { finalizers = [], deletionTimestamp } = found.metadata;
    const isProtected = finalizers.includes(classFinalizer);
    if (deletionTimestamp === undefined) {
      if (!isProtected) await this.#write(found, [...finalizers, classFinalizer], signal);
      return;
    }
    if (!isProtected) return;
    const isUsed =
      this.#claims.list().some((claim) => classesOfClaim(claim).has(name)) ||
      this.#volumes.list().some((volume) => classesOfVolume(volume).has(name));
    if (isUsed) return;
    const others = finalizers.filter((finalizer) => finalizer !== classFinalizer);
    await this.#write(found, others, signal);
  }

  async #write(found: VolumeAttributesClass, finalizers: string[], signal: AbortSignal): Promise<void> {
    try {
      await this.#context.client.update(classType, { ...found, metadata: { ...found.metadata, finalizers } }, signal);
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }
}

/** Those that a claim asks for, has, or is on its way to. */
function classesOfClaim({ spec, status }: PersistentVolumeClaim): Set<string> {
  return namesOf(
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  );
}

function classesOfVolume({ spec }: PersistentVolume): Set<string> {
  return namesOf(spec?.volumeAttributesClassName);
}

function namesOf(...names: Array<string | undefined>): Set<string> {
  return new Set(names.filter((name): name is string => name !== undefined && name !== ''));
}
