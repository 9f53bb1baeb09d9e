/**
 * Keeps as many pods as a ReplicaSet wants.
 *
 * Owns: the expectations about pods it has ordered. Needs: informers of ReplicaSets and pods.
 */
import { rfc3339Seconds } from '../../base/clock.ts';
import { describeError, isConflict, isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import { pods as podType, replicaSets } from '../../client/resource-types.ts';
import type { ReplicaSet, ReplicaSetStatus } from '../../objects/generated/apps-v1.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { labelSelectorRequirements, matchesLabelSelector } from '../../objects/label-selector.ts';
import { namespacedKey, objectKey } from '../../objects/object-key.ts';
import { claimObjects } from '../claim-objects.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { Expectations } from '../expectations.ts';
import { byController, controllerOf, controllerReference, orphansOf } from '../owner-references.ts';
import { isNamespaceTerminating } from '../namespace/is-namespace-terminating.ts';
import { isPodActive } from '../pod-state.ts';
import { sameStatus } from '../same-json.ts';
import { slowStart } from '../slow-start.ts';
import { type ManageFailure, computeReplicaSetStatus, nextAvailableMs } from './compute-replicaset-status.ts';
import { rankPodsForDeletion } from './rank-pods-for-deletion.ts';

/** Pods created or deleted in one turn at most. */
const burstMax = 500;

export class ReplicaSetController implements Controller {
  readonly #context: ControllerContext;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #expectations: Expectations;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.eventsOf('replicaset-controller');
    this.#queue = reconcileQueue(context, 'replicaset');
    this.#expectations = new Expectations(context.clock);
    this.#replicaSets = context.informers.of(replicaSets);
    this.#pods = context.informers.of(podType);
    this.#pods.addIndex('controller', byController);
    this.#replicaSets.addIndex('controller', byController);
    this.#replicaSets.addHandlers({
      onAdd: (rs) => this.#queue.add(objectKey(rs)),
      onUpdate: (_, rs) => this.#queue.add(objectKey(rs)),
      onDelete: (rs) => {
        this.#expectations.forget(objectKey(rs));
        this.#queue.add(objectKey(rs));
      },
    });
    this.#pods.addHandlers({
      onAdd: (pod) => this.#onPod(pod, undefined),
      onUpdate: (before, pod) => this.#onPod(pod, before),
      onDelete: (pod) => this.#onPodGoing(pod),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    await runQueue(this.#queue, [this.#replicaSets, this.#pods], (key, inner) => this.#sync(key, inner), signal);
  }

  #onPod(pod: Pod, before: Pod | undefined): void {
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#onPodGoing(pod);
      return;
    }
    const owner = this.#ownerKey(pod);
    const oldOwner = before === undefined ? undefined : this.#ownerKey(before);
    if (oldOwner !== undefined && oldOwner !== owner) this.#queue.add(oldOwner);
    if (owner !== undefined) {
      if (before === undefined) this.#expectations.lowerAdds(owner);
      this.#queue.add(owner);
    } else if (controllerOf(pod) === undefined) {
      for (const rs of this.#replicaSets.list()) {
        const isSameNamespace = rs.metadata.namespace === pod.metadata.namespace;
        if (isSameNamespace && matchesLabelSelector(rs.spec.selector, pod.metadata.labels)) {
          this.#queue.add(objectKey(rs));
        }
      }
    }
  }

  #onPodGoing(pod: Pod): void {
    const owner = this.#ownerKey(pod);
    if (owner === undefined) return;
    this.#expectations.lowerDeletes(owner, objectKey(pod));
    this.#queue.add(owner);
  }

  /** The key of the ReplicaSet that controls the pod, if it is the one that we know under that name. */
  #ownerKey(pod: Pod): string | undefined {
    const controller = controllerOf(pod);
    if (controller?.kind !== 'ReplicaSet') return undefined;
    const key = namespacedKey(pod.metadata.namespace, controller.name);
    return this.#replicaSets.getByKey(key)?.metadata.uid === controller.uid ? key : undefined;
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#context;
    const rs = this.#replicaSets.getByKey(key);
    if (rs === undefined) {
      this.#expectations.forget(key);
      return;
    }
    if ((labelSelectorRequirements(rs.spec.selector) ?? []).length === 0) return; // would own every pod
    const isSettled = this.#expectations.areMet(key);
    const candidates = [
      ...this.#pods.byIndex('controller', rs.metadata.uid ?? ''),
      ...this.#pods.byIndex('controller', orphansOf(rs.metadata.namespace)),
    ];
    const pods = await claimObjects(client, replicaSets, rs, rs.spec.selector, podType, candidates, signal);
    let failure: ManageFailure | undefined;
    let error: unknown;
    if (isSettled && rs.metadata.deletionTimestamp === undefined) {
      ({ failure, error } = await this.#manage(key, rs, pods.filter(isPodActive), signal));
    }
    const nowMs = clock.nowMs();
    const latest = this.#replicaSets.getByKey(key) ?? rs;
    if (latest.metadata.uid !== rs.metadata.uid) return;
    const status = computeReplicaSetStatus(rs, pods, failure, nowMs, rfc3339Seconds(nowMs));
    await this.#writeStatus(rs, status, signal);
    if (error !== undefined) throw error;
    const nextMs = nextAvailableMs(rs, pods, nowMs);
    if (nextMs !== undefined) this.#queue.addAfter(key, nextMs - nowMs, signal);
  }

  async #manage(
    key: string,
    rs: ReplicaSet,
    active: readonly Pod[],
    signal: AbortSignal,
  ): Promise<{ failure?: ManageFailure; error?: unknown }> {
    const missing = (rs.spec.replicas ?? 1) - active.length;
    const count = Math.min(Math.abs(missing), burstMax);
    if (missing > 0) {
      this.#expectations.expectAdds(key, count);
      const { succeeded, failure } = await slowStart(count, () => this.#createPod(rs, signal));
      if (failure === undefined) return {};
      this.#expectations.lowerAdds(key, count - succeeded);
      if (isNamespaceTerminating(failure)) return {};
      return { failure: { reason: 'FailedCreate', message: describeError(failure) }, error: failure };
    }
    if (missing < 0) {
      const ranked = rankPodsForDeletion(active, this.#relatedPerNode(rs), this.#context.clock.nowMs());
      const victims = ranked.slice(0, count);
      this.#expectations.expectDeletes(key, victims.map(objectKey));
      const results = await Promise.allSettled(victims.map((pod) => this.#deletePod(key, rs, pod, signal)));
      const failed = results.find((result) => result.status === 'rejected');
      if (failed === undefined) return {};
      const message = describeError(failed.reason);
      return { failure: { reason: 'FailedDelete', message }, error: failed.reason };
    }
    return {};
  }

  async #createPod(rs: ReplicaSet, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const template = rs.spec.template;
    if (template === undefined || Object.keys(template.metadata?.labels ?? {}).length === 0) {
      throw new Error('unable to create pods, no labels');
    }
    const { labels, annotations, finalizers } = template.metadata ?? {};
    const pod: Pod = {
      metadata: {
        name: '',
        generateName: `${rs.metadata.name}-`,
        namespace: rs.metadata.namespace,
        labels,
        annotations,
        finalizers,
        ownerReferences: [controllerReference(replicaSets, rs)],
      },
      spec: template.spec,
    };
    try {
      const created = await client.create(podType, pod, signal);
      this.#event(rs, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata.name}`);
    } catch (err) {
      if (!isNamespaceTerminating(err)) {
        this.#event(rs, 'Warning', 'FailedCreate', `Error creating: ${describeError(err)}`);
      }
      throw err;
    }
  }

  async #deletePod(key: string, rs: ReplicaSet, pod: Pod, signal: AbortSignal): Promise<void> {
    const { name, uid } = pod.metadata;
    try {
      await this.#context.client.delete(podType, pod.metadata, { preconditions: { uid } }, signal);
      this.#event(rs, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
    } catch (err) {
      this.#expectations.lowerDeletes(key, objectKey(pod));
      if (isNotFound(err)) return;
      this.#event(rs, 'Warning', 'FailedDelete', `Error deleting: ${describeError(err)}`);
      throw err;
    }
  }

  /** Active pods per node of all ReplicaSets with the same controller: crowded nodes give first. */
  #relatedPerNode(rs: ReplicaSet): Map<string, number> {
    const owner = controllerOf(rs);
    const family = owner === undefined ? [rs] : this.#replicaSets.byIndex('controller', owner.uid);
    const counts = new Map<string, number>();
    for (const member of family) {
      for (const pod of this.#pods.byIndex('controller', member.metadata.uid ?? '')) {
        if (!isPodActive(pod)) continue;
        const node = pod.spec.nodeName ?? '';
        counts.set(node, (counts.get(node) ?? 0) + 1);
      }
    }
    return counts;
  }

  async #writeStatus(rs: ReplicaSet, status: ReplicaSetStatus, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    if (sameStatus(rs.status, status)) return;
    try {
      await client.updateStatus(replicaSets, { ...rs, status }, signal);
    } catch (err) {
      if (isNotFound(err)) return;
      if (!isConflict(err)) throw err;
      const live = await client.get(replicaSets, rs.metadata, signal);
      if (live.metadata.uid !== rs.metadata.uid) return;
      await client.updateStatus(replicaSets, { ...live, status }, signal);
    }
  }

  #event(rs: ReplicaSet, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#events.record(eventTarget(replicaSets, rs), type, reason, message);
  }
}
