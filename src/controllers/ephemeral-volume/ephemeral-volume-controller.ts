/** Makes the claims of pods' ephemeral volumes; they go with their pods. Needs: informers of pods and claims. */
import { describeError, isConflict, isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import { persistentVolumeClaims as claimType, pods as podType } from '../../client/resource-types.ts';
import { claimNameOf, foreignClaimReason } from '../../objects/claims.ts';
import type { PersistentVolumeClaim, Pod, Volume } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { isNamespaceTerminating } from '../namespace/is-namespace-terminating.ts';
import { controllerOf, controllerReference } from '../owner-references.ts';
import { isPodTerminal } from '../pod-state.ts';

export class EphemeralVolumeController implements Controller {
  readonly #context: ControllerContext;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.eventsOf('ephemeral_volume');
    this.#queue = reconcileQueue(context, 'ephemeral-volume');
    this.#pods = context.informers.of(podType);
    this.#claims = context.informers.of(claimType);
    this.#pods.addHandlers({
      onAdd: (pod) => {
        if ((pod.spec.volumes ?? []).some(({ ephemeral }) => ephemeral !== undefined)) this.#queue.add(objectKey(pod));
      },
    });
    this.#claims.addHandlers({
      onDelete: (claim) => {
        const owner = controllerOf(claim);
        if (owner?.kind === 'Pod') this.#queue.add(`${claim.metadata.namespace}/${owner.name}`);
      },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    await runQueue(this.#queue, [this.#pods, this.#claims], (key, inner) => this.#sync(key, inner), signal);
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const pod = this.#pods.getByKey(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined || isPodTerminal(pod)) return;
    for (const volume of pod.spec.volumes ?? []) {
      if (volume.ephemeral === undefined) continue;
      try {
        await this.#ensureClaim(pod, volume, signal);
      } catch (err) {
        if (signal.aborted || isNotFound(err) || isNamespaceTerminating(err)) return;
        const message = `ephemeral volume ${volume.name}: ${describeError(err)}`;
        this.#events.record(eventTarget(podType, pod), 'Warning', 'FailedBinding', message);
        throw err;
      }
    }
  }

  async #ensureClaim(pod: Pod, volume: Volume, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const { namespace } = pod.metadata;
    const name = claimNameOf(pod, volume) ?? '';
    const known = this.#claims.get({ namespace, name });
    if (known !== undefined) return checkOwner(pod, known);
    const template = volume.ephemeral?.volumeClaimTemplate;
    const { labels, annotations } = template?.metadata ?? {};
    const metadata = { name, namespace, labels, annotations, ownerReferences: [controllerReference(podType, pod)] };
    try {
      await client.create(claimType, { metadata, spec: template?.spec }, signal);
    } catch (err) {
      if (!isConflict(err)) throw new Error(`create PVC ${name}`, { cause: err });
      checkOwner(pod, await client.get(claimType, { namespace, name }, signal)); // there, and not shown yet
    }
  }
}

function checkOwner(pod: Pod, claim: PersistentVolumeClaim): void {
  const why = foreignClaimReason(pod, claim);
  if (why !== undefined) throw new Error(why);
}
