/** Follows the API's Services, EndpointSlices, Namespaces and, where pods have names, pods into the store of records. */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { runTogether } from '../../base/run-together.ts';
import type { ApiClient, KubeObject } from '../../client/api-client.ts';
import { Informer } from '../../client/informer.ts';
import { endpointSlices, namespaces, pods, services } from '../../client/resource-types.ts';
import type { Namespace, Pod, Service } from '../../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import type { RecordStore } from './record-store.ts';

export interface ClusterCollectorNeed {
  client: Pick<ApiClient, 'list' | 'watch'>;
  store: RecordStore;
  /** Whether pods are looked at. */
  needsPods: boolean;
  clock: Clock;
  log: Logger;
}

interface Follower {
  readonly hasSynced: boolean;
  run(signal: AbortSignal): Promise<void>;
}

export class ClusterCollector {
  readonly #followers: Map<string, Follower>;

  constructor({ client, store, needsPods, clock, log }: ClusterCollectorNeed) {
    const options = { client, clock, log };
    const serviceInformer = new Informer<Service>({ ...options, type: services, trim: trimService });
    const sliceInformer = new Informer<EndpointSlice>({ ...options, type: endpointSlices, trim: trimSlice });
    const namespaceInformer = new Informer<Namespace>({ ...options, type: namespaces, trim: trimNamespace });
    follow(serviceInformer, (key, service) => store.setService(key, service));
    follow(sliceInformer, (key, slice) => store.setSlice(key, slice));
    follow(namespaceInformer, (key, namespace) => store.setNamespace(key, namespace !== undefined));
    this.#followers = new Map<string, Follower>([
      ['services', serviceInformer],
      ['endpointslices', sliceInformer],
      ['namespaces', namespaceInformer],
    ]);
    if (!needsPods) return;
    const podInformer = new Informer<Pod>({ ...options, type: pods, trim: trimPod });
    podInformer.addHandlers({
      onAdd: (pod) => store.setPod(pod, true),
      onUpdate: (_, pod) => store.setPod(pod, true),
      onDelete: (pod) => store.setPod(pod, false),
    });
    this.#followers.set('pods', podInformer);
  }

  /** What has not been listed yet: until then names would be missing. */
  get lacking(): string[] {
    return [...this.#followers].filter(([, { hasSynced }]) => !hasSynced).map(([name]) => name);
  }

  async run(signal: AbortSignal): Promise<void> {
    await runTogether(
      signal,
      [...this.#followers.values()].map((follower) => (inner: AbortSignal) => follower.run(inner)),
    );
  }
}

function follow<T extends KubeObject>(informer: Informer<T>, set: (key: string, object: T | undefined) => void): void {
  informer.addHandlers({
    onAdd: (object) => set(objectKey(object), object),
    onUpdate: (_, object) => set(objectKey(object), object),
    onDelete: (object) => set(objectKey(object), undefined),
  });
}

/** The store has its own form of an object: the informer's copy is for comparing alone. */
function trimMetadata({ name, namespace, uid, resourceVersion }: KubeObject['metadata']): KubeObject['metadata'] {
  return { name, namespace, uid, resourceVersion };
}

function trimService({ metadata, spec }: Service): Service {
  const { type, clusterIP, clusterIPs, externalName, ports } = spec;
  return {
    metadata: trimMetadata(metadata),
    spec: {
      type,
      clusterIP,
      clusterIPs,
      externalName,
      ports: ports?.map(({ name, port, protocol }) => ({ name, port, protocol })),
    },
  };
}

const serviceNameLabel = 'kubernetes.io/service-name';

function trimSlice({ metadata, addressType, endpoints, ports }: EndpointSlice): EndpointSlice {
  const service = metadata.labels?.[serviceNameLabel];
  return {
    metadata: {
      ...trimMetadata(metadata),
      ...(service === undefined ? {} : { labels: { [serviceNameLabel]: service } }),
    },
    addressType,
    endpoints: endpoints?.map(({ addresses, conditions, hostname }) => ({
      addresses,
      conditions: conditions?.ready === false ? { ready: false } : undefined,
      hostname,
    })),
    ports: ports?.map(({ name, port, protocol }) => ({ name, port, protocol })),
  };
}

function trimNamespace({ metadata }: Namespace): Namespace {
  return { metadata: trimMetadata(metadata) };
}

function trimPod({ metadata, status }: Pod): Pod {
  const { phase, podIP, podIPs } = status ?? {};
  return { metadata: trimMetadata(metadata), spec: { containers: [] }, status: { phase, podIP, podIPs } };
}
