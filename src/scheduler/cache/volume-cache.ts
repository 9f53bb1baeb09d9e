/**
 * The scheduler's picture of claims and volumes: as the API shows them, but for what a pod that is being bound has been
 * promised ("assumed") and the API does not show yet.
 */
import type { Informer } from '../../client/informer.ts';
import type { KubeObject } from '../../client/api-client.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
} from '../../objects/generated/storage-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import type { VolumeView } from '../filter/volume-view.ts';

export interface VolumeInformers {
  claims: Informer<PersistentVolumeClaim>;
  volumes: Informer<PersistentVolume>;
  classes: Informer<StorageClass>;
  csiNodes: Informer<CSINode>;
  csiDrivers: Informer<CSIDriver>;
  capacities: Informer<CSIStorageCapacity>;
  attachments: Informer<VolumeAttachment>;
}

export class VolumeCache implements VolumeView {
  readonly #informers: VolumeInformers;
  readonly #claims: Assumed<PersistentVolumeClaim>;
  readonly #volumes: Assumed<PersistentVolume>;
  readonly #waiting = new Set<() => void>();

  constructor(informers: VolumeInformers) {
    this.#informers = informers;
    this.#claims = new Assumed(informers.claims);
    this.#volumes = new Assumed(informers.volumes);
    informers.attachments.addIndex('node', ({ spec }) => [spec.nodeName]);
    this.onChange(() => this.wake());
  }

  whenSynced(signal: AbortSignal): Promise<unknown> {
    return Promise.all(Object.values(this.#informers).map((informer) => informer.whenSynced(signal)));
  }

  /** Calls `changed` whenever a volume filter might decide otherwise than before. */
  onChange(changed: () => void): void {
    for (const informer of Object.values(this.#informers)) {
      informer.addHandlers({ onAdd: changed, onUpdate: changed, onDelete: changed });
    }
  }

  claim(key: string): PersistentVolumeClaim | undefined {
    return this.#claims.get(key);
  }

  volume(name: string): PersistentVolume | undefined {
    return this.#volumes.get(name);
  }

  volumes(): PersistentVolume[] {
    return this.#volumes.list();
  }

  storageClass(name: string): StorageClass | undefined {
    return this.#informers.classes.get({ name });
  }

  csiNode(name: string): CSINode | undefined {
    return this.#informers.csiNodes.get({ name });
  }

  csiDriver(name: string): CSIDriver | undefined {
    return this.#informers.csiDrivers.get({ name });
  }

  capacities(): CSIStorageCapacity[] {
    return this.#informers.capacities.list();
  }

  attachments(nodeName: string): VolumeAttachment[] {
    return this.#informers.attachments.byIndex('node', nodeName);
  }

  /** As the API shows it, whatever has been promised. */
  shownClaim(key: string): PersistentVolumeClaim | undefined {
    return this.#informers.claims.getByKey(key);
  }

  shownVolume(name: string): PersistentVolume | undefined {
    return this.#informers.volumes.get({ name });
  }

  assume(claims: readonly PersistentVolumeClaim[], volumes: readonly PersistentVolume[]): void {
    for (const claim of claims) this.#claims.assume(claim);
    for (const volume of volumes) this.#volumes.assume(volume);
  }

  /** Takes promises back. */
  restore(claims: readonly PersistentVolumeClaim[], volumes: readonly PersistentVolume[]): void {
    for (const claim of claims) this.#claims.restore(claim);
    for (const volume of volumes) this.#volumes.restore(volume);
  }

  /** Resolves with the next change, with `wake`, or when `signal` aborts. */
  nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      if (signal.aborted) return resolve();
      signal.addEventListener('abort', done, { once: true });
      this.#waiting.add(done);
    });
  }

  /** Who waits for a change looks again. */
  wake(): void {
    for (const done of this.#waiting) done();
  }
}

/** An assumed object counts until the API shows a newer state than the one that it was made from. */
class Assumed<T extends KubeObject> {
  readonly #informer: Informer<T>;
  readonly #assumed = new Map<string, T>();

  constructor(informer: Informer<T>) {
    this.#informer = informer;
    informer.addHandlers({
      onUpdate: (_, object) => {
        const key = objectKey(object);
        const assumed = this.#assumed.get(key);
        if (assumed !== undefined && revisionOf(object) > revisionOf(assumed)) this.#assumed.delete(key);
      },
      onDelete: (object) => this.#assumed.delete(objectKey(object)),
    });
  }

  get(key: string): T | undefined {
    return this.#assumed.get(key) ?? this.#informer.getByKey(key);
  }

  list(): T[] {
    const shown = this.#informer.list();
    return this.#assumed.size === 0 ? shown : shown.map((object) => this.#assumed.get(objectKey(object)) ?? object);
  }

  assume(object: T): void {
    this.#assumed.set(objectKey(object), object);
  }

  restore(object: T): void {
    this.#assumed.delete(objectKey(object));
  }
}

function revisionOf({ metadata }: KubeObject): bigint {
  return BigInt(metadata.resourceVersion ?? '0');
}
