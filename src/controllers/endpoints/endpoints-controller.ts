/**
 * Keeps the Endpoints object of every Service that has a selector, for those who still read it.
 *
 * Needs: informers of Services, pods and Endpoints.
 */
import { describeError, isNotFound } from '../../base/errors.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import { endpoints as endpointsType, pods as podType, services } from '../../client/resource-types.ts';
import type { Endpoints, Pod, Service } from '../../objects/generated/core-v1.ts';
import { objectKey, splitKey } from '../../objects/object-key.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { sameJson } from '../same-json.ts';
import { affectedServices, byNamespace, hasSelector, inheritedLabels, selectedPods } from '../service-pods.ts';
import { capacityAnnotation, computeEndpointSubsets, truncateSubsets } from './compute-endpoints.ts';

const managedByLabel = 'endpoints.kubernetes.io/managed-by';

export class EndpointsController implements Controller {
  readonly #context: ControllerContext;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #services: Informer<Service>;
  readonly #pods: Informer<Pod>;
  readonly #endpoints: Informer<Endpoints>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.eventsOf('endpoint-controller');
    this.#queue = reconcileQueue(context, 'endpoints');
    this.#services = context.informers.of(services);
    this.#pods = context.informers.of(podType);
    this.#endpoints = context.informers.of(endpointsType);
    this.#services.addIndex('namespace', byNamespace);
    this.#pods.addIndex('namespace', byNamespace);
    const addKey = (object: Service | Endpoints): void => this.#queue.add(objectKey(object));
    this.#services.addHandlers({ onAdd: addKey, onUpdate: (_, service) => addKey(service), onDelete: addKey });
    this.#endpoints.addHandlers({ onDelete: addKey });
    const addPods = (before: Pod | undefined, after: Pod | undefined): void => {
      for (const key of affectedServices(this.#services, before, after)) this.#queue.add(key);
    };
    this.#pods.addHandlers({
      onAdd: (pod) => addPods(undefined, pod),
      onUpdate: addPods,
      onDelete: (pod) => addPods(pod, undefined),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = [this.#services, this.#pods, this.#endpoints];
    await runQueue(this.#queue, informers, (key, inner) => this.#sync(key, inner), signal);
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const service = this.#services.getByKey(key);
    const existing = this.#endpoints.getByKey(key);
    if (service === undefined) {
      if (existing?.metadata.labels?.[managedByLabel] !== 'endpoint-controller') return;
      await client.delete(endpointsType, existing.metadata, {}, signal).catch((err: unknown) => {
        if (!isNotFound(err)) throw err;
      });
      return;
    }
    if (!hasSelector(service)) return;
    const { subsets, isTruncated } = truncateSubsets(
      computeEndpointSubsets(service, selectedPods(service, this.#pods)),
    );
    const labels = inheritedLabels(service, { [managedByLabel]: 'endpoint-controller' });
    const { [capacityAnnotation]: _, ...others } = existing?.metadata.annotations ?? {};
    const annotations = { ...others, ...(isTruncated ? { [capacityAnnotation]: 'truncated' } : {}) };
    if (
      existing !== undefined &&
      sameJson(existing.subsets ?? [], subsets) &&
      sameJson(existing.metadata.labels ?? {}, labels) &&
      sameJson(existing.metadata.annotations ?? {}, annotations)
    ) {
      return;
    }
    const { namespace, name } = splitKey(key);
    try {
      if (existing === undefined) {
        await client.create(endpointsType, { metadata: { name, namespace, labels, annotations }, subsets }, signal);
      } else {
        const metadata = { ...existing.metadata, labels, annotations };
        await client.update(endpointsType, { ...existing, metadata, subsets }, signal);
      }
    } catch (err) {
      if (!signal.aborted) {
        const [reason, verb] =
          existing === undefined ? ['FailedToCreateEndpoint', 'create'] : ['FailedToUpdateEndpoint', 'update'];
        const message = `Failed to ${verb} endpoint for service ${key}: ${describeError(err)}`;
        this.#events.record(eventTarget(services, service), 'Warning', reason ?? '', message);
      }
      throw err;
    }
  }
}
