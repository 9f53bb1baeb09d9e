/**
 * kube-scheduler: gives every pod that asks for us a node, or tells the user why not.
 *
 * Owns: the queue of pods without a node and the picture of nodes with the pods on them.
 * Promises: one pod is decided at a time, on a picture that includes every earlier decision; bindings go out side by side.
 * Needs: informers of pods, nodes, namespaces and of volumes, a client to bind and to write status, an event sink.
 */
import { type Clock, rfc3339Seconds } from '../base/clock.ts';
import { describeError, isNotFound } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { ApiClient } from '../client/api-client.ts';
import { type EventSink, eventTarget } from '../client/event-recorder.ts';
import type { Informer } from '../client/informer.ts';
import { pods as podType } from '../client/resource-types.ts';
import { claimKeysOf } from '../objects/claims.ts';
import { findCondition, setCondition } from '../objects/conditions.ts';
import type { Binding, Namespace, Node, Pod, PodCondition } from '../objects/generated/core-v1.ts';
import { objectKey } from '../objects/object-key.ts';
import { NodeCache } from './cache/node-cache.ts';
import { podInfoOf } from './cache/node-info.ts';
import { type VolumeInformers, VolumeCache } from './cache/volume-cache.ts';
import { type Reservation, VolumeBinder } from './bind/volume-binder.ts';
import { placePod } from './place-pod.ts';
import { type QueuedPod, SchedulingQueue } from './queue/scheduling-queue.ts';

export interface SchedulerNeeds {
  pods: Informer<Pod>;
  nodes: Informer<Node>;
  namespaces: Informer<Namespace>;
  storage: VolumeInformers;
  client: Pick<ApiClient, 'createSubresource' | 'patch' | 'update'>;
  events: EventSink;
  clock: Clock;
  log: Logger;
  /** Pods with this `spec.schedulerName` are ours. */
  schedulerName: string;
  /** How long a pod waits for its volumes; default 10 min. */
  volumeTimeoutMs?: number;
  /** Chooses among equal nodes: 0 ≤ pick() < 1. */
  pick?: () => number;
}

/** Bindings on their way at once. */
const bindingsMax = 16;
const eventMessageMax = 1024;
const volumeTimeoutMs = 600_000;

export class Scheduler {
  readonly #needs: SchedulerNeeds;
  readonly #cache = new NodeCache();
  readonly #queue: SchedulingQueue;
  readonly #bindings = new Semaphore(bindingsMax);
  readonly #volumes: VolumeCache;
  readonly #volumeBinder: VolumeBinder;

  constructor(needs: SchedulerNeeds) {
    this.#needs = needs;
    this.#queue = new SchedulingQueue(needs.clock);
    this.#volumes = new VolumeCache(needs.storage);
    this.#volumes.onChange(() => this.#queue.notice('storage-changed'));
    const { client, clock } = needs;
    const cache = this.#volumes;
    this.#volumeBinder = new VolumeBinder({
      cache,
      client,
      clock,
      timeoutMs: needs.volumeTimeoutMs ?? volumeTimeoutMs,
    });
    needs.nodes.addHandlers({
      onAdd: (node) => this.#onNode(undefined, node),
      onUpdate: (before, node) => this.#onNode(before, node),
      onDelete: ({ metadata }) => this.#cache.removeNode(metadata.name),
    });
    needs.pods.addHandlers({
      onAdd: (pod) => this.#onPod(undefined, pod),
      onUpdate: (before, pod) => this.#onPod(before, pod),
      onDelete: (pod) => this.#onPodGone(pod),
    });
    needs.namespaces.addHandlers({
      onAdd: () => this.#queue.notice('namespace-changed'),
      onUpdate: (before, after) => {
        if (!isSame(before.metadata.labels, after.metadata.labels)) this.#queue.notice('namespace-changed');
      },
    });
  }

  /** Schedules until `signal` aborts, then waits for the bindings on their way. */
  async run(signal: AbortSignal): Promise<void> {
    const { pods, nodes, namespaces } = this.#needs;
    await Promise.all([pods, nodes, namespaces, this.#volumes].map((informer) => informer.whenSynced(signal)));
    const bindings = new Set<Promise<void>>();
    for (;;) {
      const queued = await this.#queue.pop(signal);
      if (queued === undefined) break;
      const binding = this.#schedule(queued, signal).finally(() => bindings.delete(binding));
      bindings.add(binding);
      await new Promise<void>((resolve) => setImmediate(resolve)); // a long queue must not starve the rest of the process
    }
    await Promise.allSettled(bindings);
  }

  /** Decides at once; the returned promise is for what is written to the API. Does not reject. */
  async #schedule(queued: QueuedPod, signal: AbortSignal): Promise<void> {
    const { events, log, namespaces, pick = Math.random } = this.#needs;
    const { pod } = queued;
    const key = objectKey(pod);
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#queue.done(queued);
      this.#event(pod, 'Warning', 'FailedScheduling', `skip schedule deleting pod: ${key}`);
      return;
    }
    if (this.#cache.isAssumed(pod)) {
      this.#queue.done(queued);
      return;
    }
    let reservation: Reservation | undefined;
    try {
      const labels = (name: string): Record<string, string> | undefined => namespaces.get({ name })?.metadata.labels;
      const placement = placePod(podInfoOf(pod), this.#cache.snapshot(), labels, pick, this.#volumes);
      if (placement.kind === 'none') {
        this.#queue.park(queued, placement.rejectedBy);
        log.debug({ pod: key, reason: placement.message }, 'no node fits the pod');
        this.#event(pod, 'Warning', 'FailedScheduling', placement.message);
        await this.#reportUnscheduled(pod, 'Unschedulable', placement.message, signal);
        return;
      }
      const nodeName = placement.node.metadata.name;
      this.#cache.assume(pod, nodeName);
      if (placement.volumes !== undefined) {
        reservation = this.#volumeBinder.reserve(placement.volumes, placement.node);
        const isPodThere = (): boolean => this.#needs.pods.get(pod.metadata)?.metadata.uid === pod.metadata.uid;
        if (!(await this.#volumeBinder.bind(reservation, isPodThere, signal))) {
          this.#cache.forget(pod);
          this.#volumeBinder.release(reservation);
          this.#queue.done(queued); // the pod was deleted meanwhile
          return;
        }
      }
      await this.#bindings.with(signal, () => this.#bind(pod, nodeName, signal));
      this.#queue.done(queued);
      log.info({ pod: key, node: nodeName }, 'bound pod to node');
      events.record(eventTarget(podType, pod), 'Normal', 'Scheduled', `Successfully assigned ${key} to ${nodeName}`);
    } catch (err) {
      this.#cache.forget(pod);
      if (reservation !== undefined) this.#volumeBinder.release(reservation);
      if (signal.aborted) return;
      if (isNotFound(err)) {
        this.#queue.done(queued); // the pod was deleted meanwhile
        return;
      }
      const message = describeError(err);
      log.warn({ pod: key, reason: message }, 'scheduling failed, will retry');
      this.#queue.retryLater(queued);
      this.#queue.notice('pod-deleted'); // what the pod had taken is free again
      this.#event(pod, 'Warning', 'FailedScheduling', message);
      await this.#reportUnscheduled(pod, 'SchedulerError', message, signal);
    }
  }

  #bind({ metadata }: Pod, nodeName: string, signal: AbortSignal): Promise<unknown> {
    const { namespace, name, uid } = metadata;
    const binding: Binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { kind: 'Node', name: nodeName },
    };
    return this.#needs.client.createSubresource(podType, { namespace, name }, 'binding', binding, signal);
  }

  /** Writes the condition that `kubectl describe` shows, when it is another than before. Does not reject. */
  async #reportUnscheduled(pod: Pod, reason: string, message: string, signal: AbortSignal): Promise<void> {
    const { client, clock, log, pods } = this.#needs;
    const current = pods.get(pod.metadata) ?? pod;
    const known = findCondition(current.status?.conditions, 'PodScheduled');
    if (known?.status === 'False' && known.reason === reason && known.message === message) return;
    const wanted: PodCondition = { type: 'PodScheduled', status: 'False', reason, message };
    const now = rfc3339Seconds(clock.nowMs());
    const condition = findCondition(setCondition(current.status?.conditions, wanted, now), 'PodScheduled');
    try {
      await client.patch(
        podType,
        { namespace: pod.metadata.namespace, name: pod.metadata.name, subresource: 'status' },
        'strategic',
        { metadata: { uid: pod.metadata.uid }, status: { conditions: [condition] } },
        signal,
      );
    } catch (err) {
      if (signal.aborted || isNotFound(err)) return;
      log.warn({ pod: objectKey(pod), reason: describeError(err) }, 'cannot write PodScheduled condition');
    }
  }

  #event(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const text = message.length > eventMessageMax ? `${message.slice(0, eventMessageMax - 4)} ...` : message;
    this.#needs.events.record(eventTarget(podType, pod), type, reason, text);
  }

  #onNode(before: Node | undefined, node: Node): void {
    this.#cache.setNode(node);
    if (before === undefined) this.#queue.notice('node-added');
    else if (!isSame(schedulingSide(before), schedulingSide(node))) this.#queue.notice('node-changed');
  }

  #onPod(before: Pod | undefined, pod: Pod): void {
    if (isTerminal(pod)) {
      if (before === undefined || !isTerminal(before)) this.#onPodGone(pod);
      return;
    }
    if ((pod.spec.nodeName ?? '') !== '') {
      this.#queue.remove(pod);
      this.#cache.setPod(pod);
      const wasPlaced = (before?.spec.nodeName ?? '') !== '';
      if (!wasPlaced) this.#queue.notice('pod-added');
      else if (!isSame(before?.metadata.labels, pod.metadata.labels) || !isSame(before?.spec, pod.spec)) {
        this.#queue.notice('pod-changed');
      }
      return;
    }
    if ((pod.spec.schedulerName ?? 'default-scheduler') !== this.#needs.schedulerName) return;
    if (this.#cache.isAssumed(pod)) return; // our own binding is on its way
    const isNew = before === undefined || !this.#queue.has(pod);
    const wants = ({ metadata, spec }: Pod): unknown => [spec, metadata.labels, metadata.deletionTimestamp];
    if (isNew || !isSame(wants(before), wants(pod))) this.#queue.add(pod);
    else this.#queue.refresh(pod);
  }

  #onPodGone(pod: Pod): void {
    this.#queue.remove(pod);
    this.#cache.removePod(pod);
    if (claimKeysOf(pod).length > 0) this.#volumes.wake();
    if ((pod.spec.nodeName ?? '') !== '') this.#queue.notice('pod-deleted');
  }
}

function isTerminal({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

/** What of a node can make a pod fit: heartbeats cannot. */
function schedulingSide({ metadata, spec, status }: Node): unknown {
  return [metadata.labels, spec?.taints, spec?.unschedulable, status?.allocatable];
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
