/** The Endpoints object of a Service: the older form of its EndpointSlices. Pure. */
import type {
  EndpointAddress,
  EndpointPort,
  EndpointSubset,
  Node,
  Pod,
  Service,
} from '../../objects/generated/core-v1.ts';
import { addressTypesOf, computeSliceGroups } from '../endpointslice/compute-slice-groups.ts';

export const capacityAnnotation = 'endpoints.kubernetes.io/over-capacity';
const addressesMax = 1000;

/** One family only; pods on their way out are left out unless the Service publishes everything. */
export function computeEndpointSubsets(service: Service, pods: readonly Pod[]): EndpointSubset[] {
  const isPublished = service.spec?.publishNotReadyAddresses === true;
  const living = pods.filter(({ metadata }) => isPublished || metadata.deletionTimestamp === undefined);
  const family = addressTypesOf(service)[0];
  // the nodes don't matter here
  const anyNode = (name: string): Node => ({ metadata: { name }, spec: {} });
  const groups = computeSliceGroups(service, living, anyNode).filter(({ addressType }) => addressType === family);
  return groups
    .filter(
      ({ endpoints, ports }) => endpoints.length > 0 && (ports.length > 0 || (service.spec?.ports ?? []).length === 0),
    )
    .map(({ endpoints, ports }) => {
      const addresses: EndpointAddress[] = [];
      const notReadyAddresses: EndpointAddress[] = [];
      for (const { addresses: ips, conditions, hostname, nodeName, targetRef } of endpoints) {
        const address: EndpointAddress = {
          ip: ips[0] ?? '',
          ...(hostname === undefined ? {} : { hostname }),
          ...(nodeName === undefined ? {} : { nodeName }),
          ...(targetRef === undefined ? {} : { targetRef }),
        };
        (conditions?.ready === true ? addresses : notReadyAddresses).push(address);
      }
      return {
        ...(addresses.length === 0 ? {} : { addresses: addresses.toSorted(byIp) }),
        ...(notReadyAddresses.length === 0 ? {} : { notReadyAddresses: notReadyAddresses.toSorted(byIp) }),
        ...(ports.length === 0 ? {} : { ports: ports.map(toCorePort).toSorted(byPort) }),
      };
    });
}

/** At most a thousand addresses, taken from the subsets in proportion, ready ones first. */
export function truncateSubsets(subsets: readonly EndpointSubset[]): {
  subsets: EndpointSubset[];
  isTruncated: boolean;
} {
  const sizeOf = ({ addresses = [], notReadyAddresses = [] }: EndpointSubset): number =>
    addresses.length + notReadyAddresses.length;
  const total = subsets.reduce((sum, subset) => sum + sizeOf(subset), 0);
  if (total <= addressesMax) return { subsets: [...subsets], isTruncated: false };
  const cut = subsets.map(({ addresses = [], notReadyAddresses = [], ports }) => {
    const share = Math.floor(((addresses.length + notReadyAddresses.length) * addressesMax) / total);
    const ready = addresses.slice(0, share);
    const notReady = notReadyAddresses.slice(0, share - ready.length);
    return {
      ...(ready.length === 0 ? {} : { addresses: ready }),
      ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady }),
      ...(ports === undefined ? {} : { ports }),
    };
  });
  return { subsets: cut.filter((subset) => sizeOf(subset) > 0), isTruncated: true };
}

function toCorePort({
  name,
  port,
  protocol,
  appProtocol,
}: {
  name?: string | undefined;
  port?: number | undefined;
  protocol?: string | undefined;
  appProtocol?: string | undefined;
}): EndpointPort {
  return {
    port: port ?? 0,
    ...(name === undefined || name === '' ? {} : { name }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(appProtocol === undefined ? {} : { appProtocol }),
  };
}

function byIp(a: EndpointAddress, b: EndpointAddress): number {
  return a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : 0;
}

function byPort(a: EndpointPort, b: EndpointPort): number {
  return a.port - b.port || ((a.name ?? '') < (b.name ?? '') ? -1 : 1);
}
