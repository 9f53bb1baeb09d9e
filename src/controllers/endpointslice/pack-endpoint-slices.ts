/** From the endpoints that should be and the slices that are: what to create, update and delete. Pure. */
import type { Endpoint, EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { canonicalJson, sameJson } from '../same-json.ts';
import type { SliceGroup } from './compute-slice-groups.ts';

export interface SliceChanges {
  create: SliceGroup[];
  update: EndpointSlice[];
  delete: EndpointSlice[];
}

/** As few writes as possible: endpoints stay where they are, free places in slices that change anyway come first. */
export function packEndpointSlices(
  groups: readonly SliceGroup[],
  existing: readonly EndpointSlice[],
  endpointsMax = 100,
): SliceChanges {
  const changes: SliceChanges = { create: [], update: [], delete: [] };
  const remaining = new Set(existing);
  const emptied: EndpointSlice[] = [];
  for (const group of groups) {
    const own = existing.filter(
      (slice) => slice.addressType === group.addressType && sameJson(slice.ports ?? [], group.ports),
    );
    for (const slice of own) remaining.delete(slice);
    packGroup(group, own, endpointsMax, changes, emptied);
  }
  changes.delete.push(...remaining, ...emptied);
  reuse(changes);
  return changes;
}

function packGroup(
  { addressType, ports, endpoints }: SliceGroup,
  own: readonly EndpointSlice[],
  endpointsMax: number,
  changes: SliceChanges,
  emptied: EndpointSlice[],
): void {
  const wanted = new Map(endpoints.map((endpoint) => [identity(endpoint), endpoint]));
  const kept = own.map((slice) => {
    const before = slice.endpoints ?? [];
    const after: Endpoint[] = [];
    for (const old of before) {
      const endpoint = wanted.get(identity(old));
      if (endpoint === undefined) continue;
      wanted.delete(identity(old));
      after.push(endpoint);
    }
    return { slice, endpoints: after, isDirty: !sameJson(before, after) };
  });
  const left = [...wanted.values()];
  const fullestFirst = kept
    .filter(({ isDirty }) => isDirty)
    .toSorted((a, b) => b.endpoints.length - a.endpoints.length);
  for (const entry of fullestFirst) entry.endpoints.push(...left.splice(0, endpointsMax - entry.endpoints.length));
  if (left.length > 0) {
    const fits = kept
      .filter(({ isDirty, endpoints: there }) => !isDirty && there.length + left.length <= endpointsMax)
      .toSorted((a, b) => b.endpoints.length - a.endpoints.length)[0];
    if (fits !== undefined) {
      fits.endpoints.push(...left.splice(0));
      fits.isDirty = true;
    }
  }
  while (left.length > 0) changes.create.push({ addressType, ports, endpoints: left.splice(0, endpointsMax) });
  const isPlaceholder = endpoints.length === 0;
  if (isPlaceholder && own.length === 0) changes.create.push({ addressType, ports, endpoints: [] });
  for (const [i, { slice, endpoints: after, isDirty }] of kept.entries()) {
    if (after.length === 0 && !(isPlaceholder && i === 0)) emptied.push(slice);
    else if (isDirty) changes.update.push({ ...slice, endpoints: after });
  }
}

/** A slice to be deleted takes the place of one to be created. */
function reuse(changes: SliceChanges): void {
  const created = changes.create.splice(0);
  for (const group of created) {
    const index = changes.delete.findIndex(({ addressType }) => addressType === group.addressType);
    const slice = changes.delete[index];
    if (slice === undefined) {
      changes.create.push(group);
    } else {
      changes.delete.splice(index, 1);
      changes.update.push({ ...slice, ports: group.ports, endpoints: group.endpoints });
    }
  }
}

function identity({ addresses, targetRef }: Endpoint): string {
  return canonicalJson([addresses, targetRef?.uid, targetRef?.name, targetRef?.namespace]);
}
