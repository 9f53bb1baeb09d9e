/**
 * Brings claims and volumes together, asks for volumes that are to be made, and gives back those that nobody needs.
 *
 * Promises: one decision at a time, on a state that includes all earlier ones; each of the four writes of a binding can
 * be the last one before a crash. Needs: informers of claims, volumes, classes and pods.
 */
import { isNotFound } from '../../base/errors.ts';
import { runLoop } from '../../base/run-loop.ts';
import { runTogether } from '../../base/run-together.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import type { KubeObject, ResourceType } from '../../client/api-client.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import {
  persistentVolumeClaims as claimType,
  persistentVolumes as volumeType,
  pods as podType,
  storageClasses as classType,
} from '../../client/resource-types.ts';
import {
  claimKeysOf,
  classOfClaim,
  isFullyBound,
  pickDefaultClass,
  storageProvisionerKeys,
} from '../../objects/claims.ts';
import { volumeForClaim, withAnnotations } from '../../objects/bind-volume.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '../../objects/generated/core-v1.ts';
import type { StorageClass } from '../../objects/generated/storage-v1.ts';
import { namespacedKey, objectKey } from '../../objects/object-key.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { NewestWrites } from '../newest-writes.ts';
import { isPodTerminal } from '../pod-state.ts';
import { boundClaimStatus, claimForVolume, freeClaimStatus, volumeInPhase } from './bind-writes.ts';
import { type Note, decideClaim } from './decide-claim.ts';
import { decideVolume } from './decide-volume.ts';
import { type ReclaimNeeds, reclaimVolume } from './reclaim-volume.ts';

export interface VolumeBinderOptions {
  /** How often what is not settled is looked at again. */
  periodMs: number;
  removeDirectory: ReclaimNeeds['removeDirectory'];
}

const claimPrefix = 'claim ';
const volumePrefix = 'volume ';

export class VolumeBinder implements Controller {
  readonly #context: ControllerContext;
  readonly #options: VolumeBinderOptions;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #claimInformer: Informer<PersistentVolumeClaim>;
  readonly #volumeInformer: Informer<PersistentVolume>;
  readonly #classes: Informer<StorageClass>;
  readonly #pods: Informer<Pod>;
  readonly #claims: NewestWrites<PersistentVolumeClaim>;
  readonly #volumes: NewestWrites<PersistentVolume>;

  constructor(context: ControllerContext, options: VolumeBinderOptions) {
    this.#context = context;
    this.#options = options;
    this.#events = context.eventsOf('persistentvolume-controller');
    this.#queue = reconcileQueue(context, 'volume-binding', 1);
    this.#claimInformer = context.informers.of(claimType);
    this.#volumeInformer = context.informers.of(volumeType);
    this.#classes = context.informers.of(classType);
    this.#pods = context.informers.of(podType);
    this.#claims = new NewestWrites(this.#claimInformer, context.clock);
    this.#volumes = new NewestWrites(this.#volumeInformer, context.clock);
    this.#claimInformer.addIndex('unbound', (claim) => (isFullyBound(claim) ? [] : ['']));
    this.#pods.addIndex('claim', claimKeysOf);
    this.#listen();
  }

  /** Our own writes come back as events: they tell nothing new. */
  #listen(): void {
    this.#claimInformer.addHandlers({
      onAdd: (claim) => this.#addClaim(claim),
      onUpdate: (_, claim) => {
        if (!this.#claims.isKnown(claim)) this.#addClaim(claim);
      },
      onDelete: ({ spec }) => {
        if ((spec?.volumeName ?? '') !== '') this.#queue.add(`${volumePrefix}${spec?.volumeName}`);
      },
    });
    const addVolume = (volume: PersistentVolume): void => {
      this.#queue.add(`${volumePrefix}${volume.metadata.name}`);
      if (volume.spec?.claimRef === undefined) this.#addWaitingClaims();
      else this.#addClaimOf(volume);
    };
    this.#volumeInformer.addHandlers({
      onAdd: addVolume,
      onUpdate: (_, volume) => {
        if (!this.#volumes.isKnown(volume)) addVolume(volume);
      },
      onDelete: (volume) => this.#addClaimOf(volume),
    });
    this.#classes.addHandlers({ onAdd: () => this.#addWaitingClaims(), onUpdate: () => this.#addWaitingClaims() });
  }

  #addClaim(claim: PersistentVolumeClaim): void {
    this.#queue.add(`${claimPrefix}${objectKey(claim)}`);
  }

  #addClaimOf({ spec }: PersistentVolume): void {
    const ref = spec?.claimRef;
    if (ref?.name !== undefined) this.#queue.add(`${claimPrefix}${namespacedKey(ref.namespace, ref.name)}`);
  }

  #addWaitingClaims(): void {
    for (const claim of this.#claimInformer.byIndex('unbound', '')) this.#addClaim(claim);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    const informers = [this.#claimInformer, this.#volumeInformer, this.#classes, this.#pods];
    const { periodMs } = this.#options;
    await runTogether(signal, [
      (inner) => runQueue(this.#queue, informers, (key, turn) => this.#sync(key, turn), inner),
      (inner) =>
        runLoop(
          async () => {
            this.#addWaitingClaims();
            for (const { metadata, status } of this.#volumes.list()) {
              if (status?.phase !== 'Bound') this.#queue.add(`${volumePrefix}${metadata.name}`);
            }
          },
          { periodMs, clock, log },
          inner,
        ),
    ]);
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    try {
      if (key.startsWith(claimPrefix)) await this.#syncClaim(key.slice(claimPrefix.length), signal);
      else await this.#syncVolume(key.slice(volumePrefix.length), signal);
    } catch (err) {
      if (!isNotFound(err)) throw err; // deleted meanwhile: its event comes
    }
  }

  async #syncClaim(key: string, signal: AbortSignal): Promise<void> {
    const claim = this.#claims.getByKey(key);
    if (claim === undefined) return;
    const step = decideClaim({
      claim,
      volumes: this.#volumes.list(),
      storageClass: this.#classes.getByKey(classOfClaim(claim)),
      defaultClass: pickDefaultClass(this.#classes.list()),
      waitingPods: this.#pods
        .byIndex('claim', key)
        .filter((pod) => (pod.spec.nodeName ?? '') === '' && !isPodTerminal(pod))
        .map(({ metadata }) => metadata.name),
    });
    switch (step.kind) {
      case 'bind':
        await this.#bind(step.volume, claim, signal);
        return;
      case 'set-class':
        // what is written comes back as an event, and then the claim has a class
        await this.#context.client.update(
          claimType,
          { ...claim, spec: { ...claim.spec, storageClassName: step.name } },
          signal,
        );
        return;
      case 'ask-provisioner':
        await this.#askProvisioner(claim, step.provisioner, signal);
        this.#tell(claimType, claim, step.note);
        return;
      case 'wait':
        await this.#writeClaimStatus(freeClaimStatus(claim, 'Pending'), signal);
        if (step.note !== undefined) this.#tell(claimType, claim, step.note);
        return;
      case 'lost':
        await this.#giveUp(claim, step.note, signal);
    }
  }

  async #bind(volume: PersistentVolume, claim: PersistentVolumeClaim, signal: AbortSignal): Promise<void> {
    const { client, log } = this.#context;
    const before = claim.status?.phase;
    const claimed = volumeForClaim(volume, claim);
    let newVolume = volume;
    if (claimed !== undefined) newVolume = this.#volumes.remember(await client.update(volumeType, claimed, signal));
    newVolume = (await this.#writeVolumeStatus(volumeInPhase(newVolume, 'Bound'), signal)) ?? newVolume;
    const named = claimForVolume(claim, newVolume);
    let newClaim = claim;
    if (named !== undefined) newClaim = this.#claims.remember(await client.update(claimType, named, signal));
    await this.#writeClaimStatus(boundClaimStatus(newClaim, newVolume), signal);
    if (before !== 'Bound')
      log.info({ claim: objectKey(claim), volume: volume.metadata.name }, 'bound claim to volume');
  }

  async #askProvisioner(claim: PersistentVolumeClaim, provisioner: string, signal: AbortSignal): Promise<void> {
    const { annotations } = claim.metadata;
    if (storageProvisionerKeys.every((key) => annotations?.[key] === provisioner)) return;
    const asked = Object.fromEntries(storageProvisionerKeys.map((key) => [key, provisioner]));
    const changed = { ...claim, metadata: withAnnotations(claim.metadata, asked) };
    this.#claims.remember(await this.#context.client.update(claimType, changed, signal));
  }

  /** Final, so the server is asked whether the volume is really gone. */
  async #giveUp(claim: PersistentVolumeClaim, note: Note, signal: AbortSignal): Promise<void> {
    const name = claim.spec?.volumeName ?? '';
    if (name !== '' && this.#volumes.getByKey(name) === undefined) {
      const isThere = await this.#context.client.get(volumeType, { name }, signal).then(
        () => true,
        (err: unknown) => {
          if (isNotFound(err)) return false;
          throw err;
        },
      );
      if (isThere) return; // its event comes
    }
    if (claim.status?.phase === 'Lost') return;
    await this.#writeClaimStatus(freeClaimStatus(claim, 'Lost'), signal);
    this.#tell(claimType, claim, note);
  }

  async #syncVolume(name: string, signal: AbortSignal): Promise<void> {
    const volume = this.#volumes.getByKey(name);
    if (volume === undefined) return;
    const step = decideVolume(volume, await this.#claimOf(volume, signal));
    switch (step.kind) {
      case 'set-phase':
        if ((await this.#writeVolumeStatus(volumeInPhase(volume, step.phase), signal)) === undefined) return;
        if (step.phase === 'Available') this.#addWaitingClaims();
        return;
      case 'ask-claim':
        this.#addClaim(step.claim);
        return;
      case 'tell-mismatch': {
        const claimName = step.claim.metadata.name;
        const tell = <T extends KubeObject>(type: ResourceType<T>, object: T, message: string): void =>
          this.#tell(type, object, { type: 'Warning', reason: 'VolumeMismatch', message });
        const forVolume = `Cannot bind PersistentVolume to requested PersistentVolumeClaim "${claimName}" due to incompatible volumeMode.`;
        tell(volumeType, volume, forVolume);
        const forClaim = `Cannot bind PersistentVolume "${name}" to requested PersistentVolumeClaim due to incompatible volumeMode.`;
        tell(claimType, step.claim, forClaim);
        return;
      }
      case 'unbind': {
        const freed = this.#volumes.remember(await this.#context.client.update(volumeType, step.volume, signal));
        await this.#writeVolumeStatus(volumeInPhase(freed, 'Available'), signal);
        this.#addWaitingClaims();
        return;
      }
      case 'reclaim':
        await this.#reclaim(volume, signal);
    }
  }

  /** The claim that the volume is kept for. A volume is not let go of before the server says that its claim is gone. */
  async #claimOf({ spec, status }: PersistentVolume, signal: AbortSignal): Promise<PersistentVolumeClaim | undefined> {
    const { name, namespace, uid } = spec?.claimRef ?? {};
    if (name === undefined || (uid ?? '') === '') return undefined;
    const known = this.#claims.getByKey(namespacedKey(namespace, name));
    if (known?.metadata.uid === uid) return known;
    if (known === undefined && (status?.phase === 'Released' || status?.phase === 'Failed')) return undefined;
    try {
      const claim = await this.#context.client.get(claimType, { namespace, name }, signal);
      return claim.metadata.uid === uid ? claim : undefined;
    } catch (err) {
      if (isNotFound(err)) return undefined;
      throw err;
    }
  }

  async #reclaim(volume: PersistentVolume, signal: AbortSignal): Promise<void> {
    const { client, log } = this.#context;
    const { phase } = volume.status ?? {};
    const isKnown = phase === 'Released' || phase === 'Failed';
    const released = isKnown ? volume : await this.#writeVolumeStatus(volumeInPhase(volume, 'Released'), signal);
    const current = released ?? volume;
    const { removeDirectory } = this.#options;
    const outcome = await reclaimVolume(current, { client, removeDirectory }, signal);
    if (outcome.kind === 'gone') log.info({ volume: current.metadata.name }, 'deleted volume with its directory');
    if (outcome.kind !== 'failed' || phase === 'Failed') return;
    const { reason, message } = outcome;
    const failed = await this.#writeVolumeStatus(volumeInPhase(current, 'Failed', message), signal);
    if (failed !== undefined) this.#tell(volumeType, current, { type: 'Warning', reason, message });
  }

  async #writeClaimStatus(claim: PersistentVolumeClaim | undefined, signal: AbortSignal): Promise<void> {
    if (claim === undefined) return;
    this.#claims.remember(await this.#context.client.updateStatus(claimType, claim, signal));
  }

  async #writeVolumeStatus(
    volume: PersistentVolume | undefined,
    signal: AbortSignal,
  ): Promise<PersistentVolume | undefined> {
    if (volume === undefined) return undefined;
    return this.#volumes.remember(await this.#context.client.updateStatus(volumeType, volume, signal));
  }

  #tell<T extends KubeObject>(type: ResourceType<T>, object: T, { type: kind, reason, message }: Note): void {
    this.#events.record(eventTarget(type, object), kind, reason, message);
  }
}
