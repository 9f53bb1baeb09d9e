/** The EndpointSlices of one Service as one list of endpoints per port. Pure. */
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { familyOfIp } from '../compute/ip-ranges.ts';
import { type Endpoint, type IpFamily, endpointAddress, endpointsKey } from '../proxy-model.ts';
import { protocolOf } from './service-ports.ts';

/** By `endpointsKey`, each list in byte order of `ip:port`: that order is the order of the rules. */
export type EndpointLists = ReadonlyMap<string, readonly Endpoint[]>;

/** One slice's endpoints of `family`, each address of a port once. */
export function sliceEndpoints(slice: EndpointSlice, family: IpFamily, nodeName: string): EndpointLists {
  const lists = new Map<string, readonly Endpoint[]>();
  for (const { name, port, protocol } of slice.ports ?? []) {
    const known = protocolOf(protocol);
    // the API fills in an empty name; a port without one is for no Service
    if (name === undefined || name === null || port === undefined || port <= 0 || known === undefined) continue;
    const key = sharedKey(endpointsKey(name, known));
    const endpoints: Endpoint[] = [];
    for (const { addresses, conditions, hints, nodeName: on } of slice.endpoints ?? []) {
      const ip = addresses[0]; // further ones are not used by any proxy
      if (ip === undefined || familyOfIp(ip) !== family) continue;
      endpoints.push({
        ip,
        port,
        isLocal: on !== undefined && on === nodeName,
        isReady: conditions?.ready ?? true,
        isServing: conditions?.serving ?? true,
        isTerminating: conditions?.terminating ?? false,
        zoneHints: hints?.forZones?.map((zone) => zone.name),
        nodeHints: hints?.forNodes?.map((node) => node.name),
      });
    }
    lists.set(key, inOrder([...(lists.get(key) ?? []), ...endpoints]));
  }
  return lists;
}

/** All slices of a Service as one; that of a single slice as it is. */
export function mergeEndpointSlices(slices: readonly EndpointLists[]): EndpointLists {
  const [only] = slices;
  if (slices.length === 1 && only !== undefined) return only;
  const all = new Map<string, Endpoint[]>();
  for (const slice of slices) {
    for (const [key, endpoints] of slice) {
      const known = all.get(key);
      if (known === undefined) all.set(key, [...endpoints]);
      else for (const endpoint of endpoints) known.push(endpoint);
    }
  }
  return new Map([...all].map(([key, endpoints]) => [key, inOrder(endpoints)]));
}

export function isSameEndpoints(a: EndpointLists | undefined, b: EndpointLists | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || a.size !== b.size) return false;
  for (const [key, ofA] of a) {
    const ofB = b.get(key);
    if (ofB === undefined || ofA.length !== ofB.length) return false;
    if (ofA !== ofB && !ofA.every((one, i) => isSameEndpoint(one, ofB[i]))) return false;
  }
  return true;
}

function isSameEndpoint(a: Endpoint, b: Endpoint | undefined): boolean {
  return (
    a.ip === b?.ip &&
    a.port === b.port &&
    a.isLocal === b.isLocal &&
    a.isReady === b.isReady &&
    a.isServing === b.isServing &&
    a.isTerminating === b.isTerminating &&
    isSameHints(a.zoneHints, b.zoneHints) &&
    isSameHints(a.nodeHints, b.nodeHints)
  );
}

function isSameHints(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  return a === b || (a?.length === b?.length && a?.every((name, i) => name === b?.[i]) === true);
}

/** In byte order of `ip:port`, each address once. */
function inOrder(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const byAddress = new Map<string, Endpoint>();
  for (const endpoint of endpoints) {
    const address = endpointAddress(endpoint);
    // a new pod may get the address of one that is just going: the new one counts
    if (!endpoint.isTerminating || !byAddress.has(address)) byAddress.set(address, endpoint);
  }
  return [...byAddress].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, endpoint]) => endpoint);
}

/** Most ports have the same few names: one string for all of them. */
const keys = new Map<string, string>();
const keysMax = 1000;

function sharedKey(key: string): string {
  const known = keys.get(key);
  if (known !== undefined) return known;
  if (keys.size < keysMax) keys.set(key, key);
  return key;
}
