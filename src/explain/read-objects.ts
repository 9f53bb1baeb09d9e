/** API objects as facts. Pure. */
import type { Pod, Service } from '../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../objects/generated/discovery-v1.ts';
import { findCondition, isConditionTrue } from '../objects/conditions.ts';
import type { EndpointFact, PodFact, ServiceSummary } from './service-facts.ts';

const otherProxyLabel = 'service.kubernetes.io/service-proxy-name';

export function readService({ metadata, spec }: Service): ServiceSummary {
  const type = spec?.type ?? 'ClusterIP';
  const clusterIps = spec?.clusterIPs ?? (spec?.clusterIP === undefined ? [] : [spec.clusterIP]);
  const selector = Object.entries(spec?.selector ?? {}).map(([key, value]) => `${key}=${value}`);
  return {
    type,
    clusterIps: clusterIps.filter((ip) => ip !== ''),
    externalName: type === 'ExternalName' ? (spec?.externalName ?? '') : undefined,
    selector: selector.length === 0 ? undefined : selector.join(','),
    ports: (spec?.ports ?? []).map(({ name = '', protocol = 'TCP', port, targetPort }) => ({
      name,
      protocol,
      port,
      targetPort: String(targetPort ?? port),
    })),
    isInternalPolicyLocal: spec?.internalTrafficPolicy === 'Local',
    otherProxy: metadata.labels?.[otherProxyLabel],
  };
}

/**
 * The Service and its endpoints as if it had that port alone.
 * @param port number or name @throws when it has no such port
 */
export function onlyPort(
  service: ServiceSummary,
  endpoints: readonly EndpointFact[],
  port: string,
): { service: ServiceSummary; endpoints: EndpointFact[] } {
  const ports = service.ports.filter((one) => one.name === port || String(one.port) === port);
  if (ports.length === 0) {
    const has = service.ports.map((one) => (one.name === '' ? one.port : `${one.port} (${one.name})`)).join(', ');
    throw new Error(`Cannot look at port "${port}" alone: the Service has ${has === '' ? 'no ports' : has}`);
  }
  const isWanted = ({ portName, protocol }: EndpointFact): boolean =>
    ports.some((one) => one.name === portName && one.protocol === protocol);
  return { service: { ...service, ports }, endpoints: endpoints.filter(isWanted) };
}

export function readPod({ metadata, spec, status }: Pod): PodFact {
  const phase = status?.phase ?? 'Pending';
  const isReady = isConditionTrue(status?.conditions, 'Ready');
  const scheduled = findCondition(status?.conditions, 'PodScheduled');
  const ready = findCondition(status?.conditions, 'Ready');
  const waiting = status?.containerStatuses?.map(({ state }) => state?.waiting).find((state) => state !== undefined);
  const words = [
    scheduled?.status === 'False' ? scheduled.message : undefined,
    waiting?.message ?? waiting?.reason,
    ready?.status === 'False' ? ready.message : undefined,
  ];
  return {
    name: metadata.name ?? '',
    node: spec?.nodeName ?? '',
    ip: status?.podIP ?? '',
    phase,
    isReady,
    isDeleting: metadata.deletionTimestamp !== undefined,
    whyNot: isReady ? '' : (words.find((text) => text !== undefined && text !== '') ?? ''),
    ports: (spec?.containers ?? []).flatMap(({ ports = [] }) =>
      ports.map(({ name = '', containerPort, protocol = 'TCP' }) => `${name} ${containerPort}/${protocol}`.trim()),
    ),
  };
}

export function readEndpoints(slice: EndpointSlice): EndpointFact[] {
  return (slice.ports ?? []).flatMap(({ name = '', port, protocol = 'TCP' }) => {
    if (port === undefined) return [];
    return (slice.endpoints ?? []).map(({ addresses, conditions, nodeName = '', targetRef }) => {
      const ip = addresses[0] ?? '';
      return {
        address: ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`,
        portName: name,
        protocol,
        node: nodeName,
        pod: targetRef?.name ?? '',
        isReady: conditions?.ready ?? true,
        isServing: conditions?.serving ?? true,
        isTerminating: conditions?.terminating ?? false,
      };
    });
  });
}
