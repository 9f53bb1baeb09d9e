import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { runTogether } from '../../base/run-together.ts';
import type { ApiClient } from '../../client/api-client.ts';
import { Informer } from '../../client/informer.ts';
import { endpointSlices, services } from '../../client/resource-types.ts';
import type { Service } from '../../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { objectKey } from '../../objects/object-key.ts';

/** Who takes the changes: one per IP family. */
export interface ServiceSink {
  onService(key: string, service: Service | undefined): void;
  /** @param changedAtMs when the change happened that the slice tells of; undefined: not said */
  onSlice(
    serviceKey: string,
    sliceName: string,
    slice: EndpointSlice | undefined,
    changedAtMs: number | undefined,
  ): void;
  /** Both lists are there: from now on the picture is whole. */
  onSynced(): void;
}

export interface ServiceCollectorNeed {
  client: Pick<ApiClient, 'list' | 'watch'>;
  clock: Clock;
  log: Logger;
}

const serviceNameLabel = 'kubernetes.io/service-name';
const changedAtAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time';

/** Owns the informers of Services and EndpointSlices, and passes their changes on by Service. */
export class ServiceCollector {
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #sinks: ServiceSink[] = [];

  constructor({ client, clock, log }: ServiceCollectorNeed) {
    this.#services = new Informer<Service>({
      client,
      type: services,
      // only the presence of the label counts: such Services belong to another proxy
      labelSelector: '!service.kubernetes.io/service-proxy-name',
      fieldSelector: 'spec.clusterIP!=None',
      trim: trimService,
      clock,
      log,
    });
    this.#slices = new Informer<EndpointSlice>({
      client,
      type: endpointSlices,
      labelSelector: '!service.kubernetes.io/headless',
      trim: trimEndpointSlice,
      clock,
      log,
    });
  }

  /** To be called before `run`. */
  addSink(sink: ServiceSink): void {
    this.#sinks.push(sink);
  }

  async run(signal: AbortSignal): Promise<void> {
    const put = (service: Service): void => {
      for (const sink of this.#sinks) sink.onService(objectKey(service), service);
    };
    this.#services.addHandlers({
      onAdd: put,
      onUpdate: (_, after) => put(after),
      onDelete: (service) => {
        for (const sink of this.#sinks) sink.onService(objectKey(service), undefined);
      },
    });
    this.#slices.addHandlers({
      onAdd: (slice) => this.#putSlice(slice),
      onUpdate: (before, after) => {
        // a slice may be given to another Service
        if (serviceOf(before) !== serviceOf(after)) this.#removeSlice(before);
        this.#putSlice(after);
      },
      onDelete: (slice) => this.#removeSlice(slice),
    });
    const announce = async (inner: AbortSignal): Promise<void> => {
      await Promise.all([this.#services.whenSynced(inner), this.#slices.whenSynced(inner)]);
      if (!inner.aborted) for (const sink of this.#sinks) sink.onSynced();
    };
    await runTogether(signal, [
      (inner) => this.#services.run(inner),
      async (inner) => {
        await Promise.all([this.#slices.run(inner), announce(inner)]);
      },
    ]);
  }

  #putSlice(slice: EndpointSlice): void {
    const key = serviceOf(slice);
    if (key === undefined) return;
    const text = slice.metadata.annotations?.[changedAtAnnotation];
    const changedAtMs = text === undefined ? Number.NaN : Date.parse(text);
    for (const sink of this.#sinks) {
      sink.onSlice(key, slice.metadata.name, slice, Number.isNaN(changedAtMs) ? undefined : changedAtMs);
    }
  }

  #removeSlice(slice: EndpointSlice): void {
    const key = serviceOf(slice);
    if (key === undefined) return;
    for (const sink of this.#sinks) sink.onSlice(key, slice.metadata.name, undefined, undefined);
  }
}

function serviceOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.[serviceNameLabel];
  return name === undefined || name === '' ? undefined : `${metadata.namespace ?? ''}/${name}`;
}

/** What `servicePorts` reads. */
function trimService({ metadata, spec, status }: Service): Service {
  const { namespace, name, uid, resourceVersion } = metadata;
  return {
    metadata: { namespace, name, uid, resourceVersion },
    spec: {
      type: spec.type,
      clusterIP: spec.clusterIP,
      clusterIPs: spec.clusterIPs,
      ipFamilies: spec.ipFamilies,
      externalIPs: spec.externalIPs,
      externalTrafficPolicy: spec.externalTrafficPolicy,
      internalTrafficPolicy: spec.internalTrafficPolicy,
      healthCheckNodePort: spec.healthCheckNodePort,
      loadBalancerSourceRanges: spec.loadBalancerSourceRanges,
      sessionAffinity: spec.sessionAffinity,
      sessionAffinityConfig: spec.sessionAffinityConfig,
      ports: spec.ports?.map(({ name: portName, port, protocol, nodePort }) => ({
        name: portName,
        port,
        protocol,
        nodePort,
      })),
    },
    status: { loadBalancer: status?.loadBalancer },
  };
}

/** What `trimSlice` reads. */
function trimEndpointSlice({ metadata, addressType, endpoints, ports }: EndpointSlice): EndpointSlice {
  const { namespace, name, uid, resourceVersion } = metadata;
  const service = metadata.labels?.[serviceNameLabel];
  const changedAt = metadata.annotations?.[changedAtAnnotation];
  return {
    metadata: {
      namespace,
      name,
      uid,
      resourceVersion,
      labels: service === undefined ? undefined : { [serviceNameLabel]: service },
      annotations: changedAt === undefined ? undefined : { [changedAtAnnotation]: changedAt },
    },
    addressType,
    endpoints: endpoints?.map(({ addresses, conditions, hints, nodeName }) => ({
      addresses: addresses.slice(0, 1),
      conditions,
      hints,
      nodeName,
    })),
    ports: ports?.map(({ name: portName, port, protocol }) => ({ name: portName, port, protocol })),
  };
}
