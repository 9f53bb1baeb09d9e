/**
 * What is kept of Services and EndpointSlices: what the rules are made of, in its final form, and what tells one version
 * of an object from the next. There are tens of thousands: nothing is kept twice. Pure.
 */
import type { KubeObject } from '../../client/api-client.ts';
import type { Service } from '../../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import type { ObjectMeta } from '../../objects/generated/meta-v1.ts';
import type { Endpoint, IpFamily, ServicePort } from '../proxy-model.ts';
import { sliceEndpoints } from './merge-endpoint-slices.ts';
import { servicePorts } from './service-ports.ts';

export interface KnownService extends KubeObject {
  /** Empty where the Service has no address of the family. */
  readonly ports: Readonly<Record<IpFamily, readonly ServicePort[]>>;
}

export interface KnownSlice extends KubeObject {
  /** `namespace/name` of its Service; undefined for a slice that is nobody's. */
  readonly serviceKey: string | undefined;
  /** Undefined for names instead of addresses. */
  readonly family: IpFamily | undefined;
  /** By `endpointsKey`, each list in byte order of `ip:port`. */
  readonly endpoints: ReadonlyMap<string, readonly Endpoint[]>;
  /** When the change happened that it tells of; undefined: not said. */
  readonly changedAtMs: number | undefined;
}

const serviceNameLabel = 'kubernetes.io/service-name';
const changedAtAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time';
const none: readonly ServicePort[] = [];
const noEndpoints: ReadonlyMap<string, readonly Endpoint[]> = new Map();

export function knownService(service: Service): KnownService {
  const of = (family: IpFamily): readonly ServicePort[] => {
    const ports = servicePorts(service, family);
    return ports.length === 0 ? none : ports;
  };
  return { metadata: identity(service.metadata), ports: { IPv4: of('IPv4'), IPv6: of('IPv6') } };
}

export function knownSlice(slice: EndpointSlice, nodeName: string): KnownSlice {
  const { metadata, addressType } = slice;
  const service = metadata.labels?.[serviceNameLabel] ?? '';
  const changedAtMs = Date.parse(metadata.annotations?.[changedAtAnnotation] ?? '');
  const family = addressType === 'IPv4' || addressType === 'IPv6' ? addressType : undefined;
  return {
    metadata: identity(metadata),
    serviceKey: service === '' ? undefined : `${metadata.namespace ?? ''}/${service}`,
    family,
    endpoints: family === undefined ? noEndpoints : sliceEndpoints(slice, family, nodeName),
    changedAtMs: Number.isNaN(changedAtMs) ? undefined : changedAtMs,
  };
}

const identity = ({ namespace, name, uid, resourceVersion }: ObjectMeta): ObjectMeta => ({
  namespace,
  name,
  uid,
  resourceVersion,
});
