import { isDeepStrictEqual } from 'node:util';
import type { Service } from '../../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { hasUdp } from '../compute/stale-flows.ts';
import type { IpFamily, ServicePort, ServiceState } from '../proxy-model.ts';
import { type TrimmedSlice, mergeEndpointSlices, trimSlice } from './merge-endpoint-slices.ts';
import { servicePorts } from './service-ports.ts';

/**
 * Owns what one family knows of Services and their endpoints: the newest state, and the state that the last `take`
 * handed out. Events only mark Services as changed; `take` merges and compares, so that ten events for one Service, or
 * one that changes nothing we use, cost nothing.
 */
export class ServiceTracker {
  readonly #family: IpFamily;
  readonly #nodeName: string;
  readonly #ports = new Map<string, readonly ServicePort[]>();
  /** The informer's own objects, not copies: there are many. */
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #states = new Map<string, ServiceState>();
  readonly #dirty = new Set<string>();
  /** Services whose ports differ from those of the last `take`. */
  readonly #changedServices = new Set<string>();
  #endpointChanges = 0;

  constructor(family: IpFamily, nodeName: string) {
    this.#family = family;
    this.#nodeName = nodeName;
  }

  /** Returns whether anything that we use has changed. */
  setService(key: string, service: Service | undefined): boolean {
    const before = this.#ports.get(key) ?? [];
    const after = service === undefined ? [] : servicePorts(service, this.#family);
    if (isDeepStrictEqual(before, after)) return false;
    if (after.length === 0) this.#ports.delete(key);
    else this.#ports.set(key, after);
    if (isDeepStrictEqual(this.#states.get(key)?.ports ?? [], after)) this.#changedServices.delete(key);
    else this.#changedServices.add(key);
    this.#dirty.add(key);
    return true;
  }

  /** `slice` undefined: it is gone. Returns whether anything that we use has changed. */
  setSlice(serviceKey: string, sliceName: string, slice: EndpointSlice | undefined): boolean {
    const slices = this.#slices.get(serviceKey);
    const before = slices?.get(sliceName);
    const isSame = isDeepStrictEqual(this.#trimmed(before), this.#trimmed(slice));
    if (slice?.addressType === this.#family) {
      if (slices === undefined) this.#slices.set(serviceKey, new Map([[sliceName, slice]]));
      else slices.set(sliceName, slice);
    } else if (slices !== undefined) {
      slices.delete(sliceName);
      if (slices.size === 0) this.#slices.delete(serviceKey);
    }
    if (isSame) return false;
    this.#endpointChanges++;
    this.#dirty.add(serviceKey);
    return true;
  }

  /** Services and changes of endpoints since the last `take`, for the metrics of the same names. */
  get pending(): { serviceChanges: number; endpointChanges: number } {
    return { serviceChanges: this.#changedServices.size, endpointChanges: this.#endpointChanges };
  }

  /** Every Service as of the last `take`, by `namespace/name`. */
  get states(): ReadonlyMap<string, ServiceState> {
    return this.#states;
  }

  /** Takes the pending changes over into `states` and names the Services that differ now. */
  take(): { changed: ReadonlySet<string>; touchesUdp: boolean } {
    const changed = new Set<string>();
    let touchesUdp = false;
    for (const key of this.#dirty) {
      const before = this.#states.get(key);
      const ports = this.#ports.get(key);
      if (ports === undefined) {
        if (this.#states.delete(key)) changed.add(key);
        touchesUdp ||= hasUdp(before);
        continue;
      }
      const slices = [...(this.#slices.get(key)?.values() ?? [])].map((slice) => this.#trimmed(slice));
      const after = { key, ports, endpoints: mergeEndpointSlices(slices.filter((slice) => slice !== undefined)) };
      if (isDeepStrictEqual(before, after)) continue;
      this.#states.set(key, after);
      changed.add(key);
      touchesUdp ||= hasUdp(before) || hasUdp(after);
    }
    this.#dirty.clear();
    this.#changedServices.clear();
    this.#endpointChanges = 0;
    return { changed, touchesUdp };
  }
  #trimmed(slice: EndpointSlice | undefined): TrimmedSlice | undefined {
    return slice === undefined ? undefined : trimSlice(slice, this.#family, this.#nodeName);
  }
}
