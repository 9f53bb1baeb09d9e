import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { runTogether } from '../../base/run-together.ts';
import type { ApiClient } from '../../client/api-client.ts';
import { Informer } from '../../client/informer.ts';
import { endpointSlices, services } from '../../client/resource-types.ts';
import type { Service } from '../../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { objectKey } from '../../objects/object-key.ts';
import { type KnownService, type KnownSlice, knownService, knownSlice } from './known-objects.ts';

/** Who takes the changes: one per IP family. */
export interface ServiceSink {
  /** @param service undefined: it is gone */
  onService(key: string, service: KnownService | undefined): void;
  onSlice(serviceKey: string, sliceName: string, slice: KnownSlice | undefined): void;
  /** Both lists are there: from now on the picture is whole. */
  onSynced(): void;
}

export interface ServiceCollectorNeed {
  client: Pick<ApiClient, 'list' | 'watch'>;
  /** Whose endpoints are local. */
  nodeName: string;
  clock: Clock;
  log: Logger;
}

/** Owns the informers of Services and EndpointSlices, and passes their changes on by Service. */
export class ServiceCollector {
  readonly #services: Informer<KnownService, Service>;
  readonly #slices: Informer<KnownSlice, EndpointSlice>;
  readonly #sinks: ServiceSink[] = [];

  constructor({ client, nodeName, clock, log }: ServiceCollectorNeed) {
    this.#services = new Informer<KnownService, Service>({
      client,
      type: services,
      // only the presence of the label counts: such Services belong to another proxy
      labelSelector: '!service.kubernetes.io/service-proxy-name',
      fieldSelector: 'spec.clusterIP!=None',
      trim: knownService,
      clock,
      log,
    });
    this.#slices = new Informer<KnownSlice, EndpointSlice>({
      client,
      type: endpointSlices,
      labelSelector: '!service.kubernetes.io/headless',
      trim: (slice) => knownSlice(slice, nodeName),
      clock,
      log,
    });
  }

  /** To be called before `run`. */
  addSink(sink: ServiceSink): void {
    this.#sinks.push(sink);
  }

  async run(signal: AbortSignal): Promise<void> {
    const put = (service: KnownService): void => {
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
        if (before.serviceKey !== after.serviceKey) this.#removeSlice(before);
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

  #putSlice(slice: KnownSlice): void {
    const { serviceKey, metadata } = slice;
    if (serviceKey === undefined) return;
    for (const sink of this.#sinks) sink.onSlice(serviceKey, metadata.name, slice);
  }

  #removeSlice({ serviceKey, metadata }: KnownSlice): void {
    if (serviceKey === undefined) return;
    for (const sink of this.#sinks) sink.onSlice(serviceKey, metadata.name, undefined);
  }
}
