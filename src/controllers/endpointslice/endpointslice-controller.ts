/**
 * Keeps the EndpointSlices of every Service that has a selector.
 *
 * Needs: informers of Services, pods, nodes and EndpointSlices.
 */
import { describeError, isNotFound } from '../../base/errors.ts';
import { rfc3339Nanos } from '../../base/clock.ts';
import type { WorkQueue } from '../../base/work-queue.ts';
import { type EventSink, eventTarget } from '../../client/event-recorder.ts';
import type { Informer } from '../../client/informer.ts';
import { endpointSlices, nodes, pods as podType, services } from '../../client/resource-types.ts';
import type { Node, Pod, Service } from '../../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { namespacedKey, objectKey } from '../../objects/object-key.ts';
import { type Controller, type ControllerContext, reconcileQueue, runQueue } from '../controller.ts';
import { controllerReference } from '../owner-references.ts';
import { readySinceMs } from '../pod-state.ts';
import { sameJson } from '../same-json.ts';
import { affectedServices, byNamespace, hasSelector, inheritedLabels, selectedPods } from '../service-pods.ts';
import { type SliceGroup, computeSliceGroups } from './compute-slice-groups.ts';
import { packEndpointSlices } from './pack-endpoint-slices.ts';

const serviceLabel = 'kubernetes.io/service-name';
const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
const managedBy = 'endpointslice-controller.k8s.io';
const triggerAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time';

export class EndpointSliceController implements Controller {
  readonly #context: ControllerContext;
  readonly #events: EventSink;
  readonly #queue: WorkQueue;
  readonly #services: Informer<Service>;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #slices: Informer<EndpointSlice>;
  /** Newest pod change that each Service's slices tell of, in ms since the epoch. */
  readonly #toldMs = new Map<string, number>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.eventsOf('endpoint-slice-controller');
    this.#queue = reconcileQueue(context, 'endpointslice');
    this.#services = context.informers.of(services);
    this.#pods = context.informers.of(podType);
    this.#nodes = context.informers.of(nodes);
    this.#slices = context.informers.of(endpointSlices);
    this.#services.addIndex('namespace', byNamespace);
    this.#pods.addIndex('namespace', byNamespace);
    this.#slices.addIndex('service', (slice) => [serviceKeyOf(slice)]);
    const addService = (service: Service): void => this.#queue.add(objectKey(service));
    this.#services.addHandlers({
      onAdd: addService,
      onUpdate: (_, service) => addService(service),
      onDelete: addService,
    });
    const addPods = (before: Pod | undefined, after: Pod | undefined): void => {
      for (const key of affectedServices(this.#services, before, after)) this.#queue.add(key);
    };
    this.#pods.addHandlers({
      onAdd: (pod) => addPods(undefined, pod),
      onUpdate: addPods,
      onDelete: (pod) => addPods(pod, undefined),
    });
    const addSlice = (slice: EndpointSlice): void => {
      if (slice.metadata.labels?.[managedByLabel] === managedBy) this.#queue.add(serviceKeyOf(slice));
    };
    this.#slices.addHandlers({
      onAdd: addSlice,
      onUpdate: (before, slice) => {
        addSlice(before);
        addSlice(slice);
      },
      onDelete: addSlice,
    });
    this.#nodes.addHandlers({
      onAdd: ({ metadata }) => this.#onNode(metadata.name),
      onUpdate: (before, { metadata }) => {
        const zone = 'topology.kubernetes.io/zone';
        if (before.metadata.labels?.[zone] !== metadata.labels?.[zone]) this.#onNode(metadata.name);
      },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const informers = [this.#services, this.#pods, this.#nodes, this.#slices];
    await runQueue(this.#queue, informers, (key, inner) => this.#sync(key, inner), signal);
  }

  #onNode(name: string): void {
    for (const pod of this.#pods.list()) {
      if (pod.spec.nodeName !== name) continue;
      for (const key of affectedServices(this.#services, undefined, pod)) this.#queue.add(key);
    }
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const { client } = this.#context;
    const service = this.#services.getByKey(key);
    if (service === undefined) {
      this.#toldMs.delete(key); // the slices go with their owner
      return;
    }
    if (!hasSelector(service)) return;
    const pods = selectedPods(service, this.#pods);
    const existing = this.#slices
      .byIndex('service', key)
      .filter(
        ({ metadata }) => metadata.labels?.[managedByLabel] === managedBy && metadata.deletionTimestamp === undefined,
      );
    const groups = computeSliceGroups(service, pods, (name) => this.#nodes.get({ name }));
    const changes = packEndpointSlices(groups, existing);
    const updates = new Set(changes.update.map(({ metadata }) => metadata.name));
    const deletes = new Set(changes.delete.map(({ metadata }) => metadata.name));
    const labels = inheritedLabels(service, { [serviceLabel]: service.metadata.name, [managedByLabel]: managedBy });
    for (const slice of existing) {
      const isTouched = updates.has(slice.metadata.name) || deletes.has(slice.metadata.name);
      if (!isTouched && !sameJson(slice.metadata.labels, labels)) changes.update.push(slice);
    }
    const trigger = this.#trigger(key, service, pods);
    try {
      if (service.metadata.deletionTimestamp === undefined) {
        for (const group of changes.create) {
          await client.create(endpointSlices, newSlice(service, group, labels, trigger), signal);
        }
      }
      for (const slice of changes.update) {
        const { [triggerAnnotation]: _, ...annotations } = slice.metadata.annotations ?? {};
        const metadata = { ...slice.metadata, labels, annotations: { ...annotations, ...trigger } };
        await client.update(endpointSlices, { ...slice, metadata }, signal);
      }
      for (const { metadata } of changes.delete) {
        await client.delete(endpointSlices, metadata, {}, signal).catch((err: unknown) => {
          if (!isNotFound(err)) throw err;
        });
      }
    } catch (err) {
      if (!signal.aborted) {
        const message = `Error updating Endpoint Slices for Service ${key}: ${describeError(err)}`;
        this.#events.record(eventTarget(services, service), 'Warning', 'FailedToUpdateEndpointSlices', message);
      }
      throw err;
    }
  }

  /** The annotation from which consumers measure how long a change took: the earliest change not told of yet. */
  #trigger(key: string, service: Service, pods: readonly Pod[]): Record<string, string> {
    const toldMs = this.#toldMs.get(key) ?? 0;
    const created = service.metadata.creationTimestamp;
    const times = pods
      .map((pod) => readySinceMs(pod) ?? 0)
      .concat(created === undefined ? [] : [Date.parse(created)])
      .filter((ms) => ms > toldMs);
    if (times.length === 0) return {};
    this.#toldMs.set(key, Math.max(...times));
    return { [triggerAnnotation]: rfc3339Nanos(Math.min(...times)) };
  }
}

function newSlice(
  service: Service,
  { addressType, ports, endpoints }: SliceGroup,
  labels: Record<string, string>,
  annotations: Record<string, string>,
): EndpointSlice {
  return {
    metadata: {
      name: '',
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace,
      labels,
      annotations,
      ownerReferences: [controllerReference(services, service)],
    },
    addressType,
    ports,
    endpoints,
  };
}

function serviceKeyOf({ metadata }: EndpointSlice): string {
  return namespacedKey(metadata.namespace, metadata.labels?.[serviceLabel] ?? '');
}
