/**
 * Deletes pods from nodes whose NoExecute taints they don't tolerate, when their time is over.
 *
 * Owns: when each pod has to go; a restart starts these times anew. Needs: informers of pods and nodes.
 */
import { rfc3339Seconds } from '../../base/clock.ts';
import { isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import { nodes as nodeType, pods as podType } from '../../client/resource-types.ts';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { isPodTerminal } from '../pod-state.ts';
import { sameJson } from '../same-json.ts';
import { evictionDelayMs } from './eviction-delay.ts';

export class TaintEvictionController implements Controller {
  readonly #context: ControllerContext;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #dueMs = new Map<string, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.eventsOf('taint-eviction-controller');
    this.#queue = reconcileQueue(context, 'taint-eviction');
    this.#pods = context.informers.of(podType);
    this.#nodes = context.informers.of(nodeType);
    this.#pods.addIndex('node', ({ spec }) => (spec.nodeName === undefined ? [] : [spec.nodeName]));
    const add = (pod: Pod): void => this.#queue.add(objectKey(pod));
    this.#pods.addHandlers({
      onAdd: add,
      onUpdate: (before, pod) => {
        const side = ({ spec }: Pod): unknown => [spec.nodeName, spec.tolerations];
        if (!sameJson(side(before), side(pod))) add(pod);
      },
      onDelete: (pod) => {
        this.#dueMs.delete(objectKey(pod));
      },
    });
    const onNode = (before: Node | undefined, node: Node): void => {
      if (sameJson(evictingTaints(before), evictingTaints(node))) return;
      for (const pod of this.#pods.byIndex('node', node.metadata.name)) add(pod);
    };
    this.#nodes.addHandlers({ onAdd: (node) => onNode(undefined, node), onUpdate: onNode });
  }

  async run(signal: AbortSignal): Promise<void> {
    await runQueue(this.#queue, [this.#pods, this.#nodes], (key, inner) => this.#sync(key, inner), signal);
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.#context;
    const pod = this.#pods.getByKey(key);
    const isGoing = pod === undefined || pod.metadata.deletionTimestamp !== undefined || isPodTerminal(pod);
    const node = isGoing ? undefined : this.#nodes.get({ name: pod.spec.nodeName ?? '' });
    const taints = evictingTaints(node);
    const delayMs = isGoing || taints.length === 0 ? undefined : evictionDelayMs(pod.spec.tolerations ?? [], taints);
    if (delayMs === undefined) {
      const wasDue = this.#dueMs.delete(key);
      if (wasDue && !isGoing) this.#event(pod, `Cancelling deletion of Pod ${key}`);
      return;
    }
    if (isGoing) return;
    const nowMs = clock.monotonicMs();
    const dueMs = delayMs === 0 ? nowMs : (this.#dueMs.get(key) ?? nowMs + delayMs);
    this.#dueMs.set(key, dueMs);
    if (dueMs > nowMs) {
      this.#queue.addAfter(key, dueMs - nowMs, signal);
      return;
    }
    await this.#evict(pod, key, signal);
    this.#dueMs.delete(key);
  }

  async #evict(pod: Pod, key: string, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#context;
    this.#event(pod, `Marking for deletion Pod ${key}`);
    const { namespace, name, uid } = pod.metadata;
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'DeletionByTaintManager',
      message: 'Taint manager: deleting due to NoExecute taint',
      lastTransitionTime: rfc3339Seconds(clock.nowMs()),
    };
    try {
      await client.patch(
        podType,
        { namespace, name, subresource: 'status' },
        'strategic',
        { metadata: { uid }, status: { conditions: [condition] } },
        signal,
      );
      await client.delete(podType, { namespace, name }, { preconditions: { uid } }, signal);
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  #event(pod: Pod, message: string): void {
    this.#events.record(eventTarget(podType, pod), 'Normal', 'TaintManagerEviction', message);
  }
}

function evictingTaints(node: Node | undefined): NonNullable<Node['spec']['taints']> {
  return (node?.spec?.taints ?? []).filter(({ effect }) => effect === 'NoExecute');
}
