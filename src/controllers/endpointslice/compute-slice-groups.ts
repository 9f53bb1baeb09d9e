/** Which endpoints a Service has, grouped by address type and set of ports. Pure. */
import type { Endpoint, EndpointPort } from '../../objects/generated/discovery-v1.ts';
import type { Node, Pod, Service } from '../../objects/generated/core-v1.ts';
import { isPodReady, isPodTerminal } from '../pod-state.ts';
import { canonicalJson } from '../same-json.ts';

export type AddressType = 'IPv4' | 'IPv6';

export interface SliceGroup {
  addressType: AddressType;
  ports: EndpointPort[];
  endpoints: Endpoint[];
}

/** Groups that are not empty, plus one empty group for each address type that has none. */
export function computeSliceGroups(
  service: Service,
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
): SliceGroup[] {
  const groups: SliceGroup[] = [];
  for (const addressType of addressTypesOf(service)) {
    const byPorts = new Map<string, SliceGroup>();
    for (const pod of pods) {
      const address = addressOf(pod, addressType);
      if (address === undefined || isPodTerminal(pod)) continue;
      const node = nodeOf(pod.spec.nodeName ?? '');
      const isPublished = service.spec?.publishNotReadyAddresses === true;
      if (node === undefined && !isPublished) continue; // its node's own event brings it back
      const ports = portsOf(service, pod);
      const key = canonicalJson(ports);
      const group = byPorts.get(key) ?? { addressType, ports, endpoints: [] };
      group.endpoints.push(endpointOf(service, pod, address, node));
      byPorts.set(key, group);
    }
    groups.push(...(byPorts.size === 0 ? [{ addressType, ports: [], endpoints: [] }] : byPorts.values()));
  }
  return groups;
}

export function addressTypesOf({ spec }: Service): AddressType[] {
  const families = spec?.ipFamilies ?? [];
  if (families.length === 0) {
    const isHeadless = spec?.clusterIP === undefined || spec.clusterIP === 'None' || spec.clusterIP === '';
    if (isHeadless) return ['IPv4', 'IPv6'];
    return [spec.clusterIP?.includes(':') === true ? 'IPv6' : 'IPv4'];
  }
  return families.flatMap((family) => (family === 'IPv4' || family === 'IPv6' ? [family] : []));
}

function addressOf({ status }: Pod, type: AddressType): string | undefined {
  const ips = (status?.podIPs ?? []).map(({ ip }) => ip);
  const all = ips.length > 0 ? ips : status?.podIP === undefined ? [] : [status.podIP];
  return all.find((ip) => ip !== '' && ip.includes(':') === (type === 'IPv6'));
}

function endpointOf(service: Service, pod: Pod, address: string, node: Node | undefined): Endpoint {
  const serving = isPodReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const { namespace, name, uid } = pod.metadata;
  const { hostname, subdomain, nodeName } = pod.spec;
  const zone = node?.metadata.labels?.['topology.kubernetes.io/zone'];
  const hasName = hostname !== undefined && hostname !== '' && subdomain === service.metadata.name;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hasName && namespace === service.metadata.namespace ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    ...(ready ? hintsOf(service, nodeName, zone) : {}),
    targetRef: { kind: 'Pod', namespace, name, uid },
  };
}

/** For whom an endpoint is meant: proxies follow it where all ready ones say so. */
function hintsOf({ spec }: Service, nodeName: string | undefined, zone: string | undefined): Pick<Endpoint, 'hints'> {
  const wish = spec?.trafficDistribution;
  const isNear = wish === 'PreferClose' || wish === 'PreferSameZone' || wish === 'PreferSameNode';
  const forZones = isNear && zone !== undefined && zone !== '' ? { forZones: [{ name: zone }] } : {};
  const forNodes = wish === 'PreferSameNode' && nodeName !== undefined ? { forNodes: [{ name: nodeName }] } : {};
  const hints = { ...forZones, ...forNodes };
  return Object.keys(hints).length === 0 ? {} : { hints };
}

/** The Service's ports as this pod has them: a named port that it lacks is left out. */
export function portsOf({ spec }: Service, pod: Pod): EndpointPort[] {
  return (spec?.ports ?? []).flatMap(({ name = '', protocol = 'TCP', port, targetPort, appProtocol }) => {
    const number = resolvePort(targetPort ?? port, protocol, pod);
    if (number === undefined) return [];
    return [{ name, port: number, protocol, ...(appProtocol === undefined ? {} : { appProtocol }) }];
  });
}

function resolvePort(target: number | string, protocol: string, { spec }: Pod): number | undefined {
  if (typeof target === 'number') return target;
  if (/^\d+$/.test(target)) return Number(target);
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const { ports = [] } of [...spec.containers, ...sidecars]) {
    const found = ports.find((port) => port.name === target && (port.protocol ?? 'TCP') === protocol);
    if (found !== undefined) return found.containerPort;
  }
  return undefined;
}
