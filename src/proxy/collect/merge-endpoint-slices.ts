/** The EndpointSlices of one Service as one list of endpoints per port. Pure. */
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { familyOfIp } from '../compute/ip-ranges.ts';
import { type Endpoint, type IpFamily, type Protocol, endpointAddress, endpointsKey } from '../proxy-model.ts';
import { protocolOf } from './service-ports.ts';

/** What we keep of an EndpointSlice. */
export interface TrimmedSlice {
  readonly ports: ReadonlyArray<{ readonly name: string; readonly protocol: Protocol; readonly port: number }>;
  readonly endpoints: ReadonlyArray<Omit<Endpoint, 'port'>>;
}

/** Undefined for a slice of another family (or of names instead of addresses). */
export function trimSlice(slice: EndpointSlice, family: IpFamily, nodeName: string): TrimmedSlice | undefined {
  if (slice.addressType !== family) return undefined;
  const ports: TrimmedSlice['ports'][number][] = [];
  for (const { name, port, protocol } of slice.ports ?? []) {
    const known = protocolOf(protocol);
    // the API fills in an empty name; a port without one is for no Service
    if (name !== undefined && name !== null && port !== undefined && port > 0 && known !== undefined) {
      ports.push({ name, port, protocol: known });
    }
  }
  const endpoints: TrimmedSlice['endpoints'][number][] = [];
  for (const { addresses, conditions, hints, nodeName: on } of slice.endpoints ?? []) {
    const ip = addresses[0]; // further ones are not used by any proxy
    if (ip === undefined || familyOfIp(ip) !== family) continue;
    endpoints.push({
      ip,
      isLocal: on !== undefined && on === nodeName,
      isReady: conditions?.ready ?? true,
      isServing: conditions?.serving ?? true,
      isTerminating: conditions?.terminating ?? false,
      zoneHints: hints?.forZones?.map(({ name }) => name),
      nodeHints: hints?.forNodes?.map(({ name }) => name),
    });
  }
  return { ports, endpoints };
}

/** Endpoints by port, each address once, in byte order of `ip:port`: that order is the order of the rules. */
export function mergeEndpointSlices(slices: Iterable<TrimmedSlice>): Map<string, Endpoint[]> {
  const byPort = new Map<string, Map<string, Endpoint>>();
  for (const { ports, endpoints } of slices) {
    for (const { name, protocol, port } of ports) {
      const key = endpointsKey(name, protocol);
      const byAddress = byPort.get(key) ?? new Map<string, Endpoint>();
      byPort.set(key, byAddress);
      for (const trimmed of endpoints) {
        const endpoint = { ...trimmed, port };
        const address = endpointAddress(endpoint);
        // a new pod may get the address of one that is just going: the new one counts
        if (!endpoint.isTerminating || !byAddress.has(address)) byAddress.set(address, endpoint);
      }
    }
  }
  const merged = new Map<string, Endpoint[]>();
  for (const [key, byAddress] of byPort) {
    const sorted = [...byAddress].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    merged.set(
      key,
      sorted.map(([, endpoint]) => endpoint),
    );
  }
  return merged;
}
