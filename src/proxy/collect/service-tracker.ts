import { type Endpoint, type Protocol, type ServicePort, type ServiceState, endpointsKey } from '../proxy-model.ts';
import { type EndpointLists, isSameEndpoints, mergeEndpointSlices } from './merge-endpoint-slices.ts';
import { isSamePorts } from './service-ports.ts';

/** Services taken over in one go before others get a turn: a millisecond or two of work. */
const servicesPerTurn = 500;

/**
 * Owns what one family knows of Services and their endpoints: the newest state, and the state that the last `take`
 * handed out. Events only mark Services as changed; `take` merges and compares, so that ten events for one Service, or
 * one that changes nothing we use, cost nothing.
 */
export class ServiceTracker {
  readonly #ports = new Map<string, readonly ServicePort[]>();
  /** By Service and slice. The informer's own lists, not copies: there are many. */
  readonly #slices = new Map<string, Map<string, EndpointLists>>();
  readonly #states = new Map<string, ServiceState>();
  /** Of the states those with a health check port: few, and asked for after each sync. */
  readonly #balanced = new Map<string, ServiceState>();
  #dirty = new Set<string>();
  /** Services whose ports differ from those of the last `take`. */
  readonly #changedServices = new Set<string>();
  #endpointChanges = 0;

  /** @param after none: it is gone, or not for this family. Returns whether anything that we use has changed. */
  setService(key: string, after: readonly ServicePort[]): boolean {
    if (isSamePorts(this.#ports.get(key) ?? [], after)) return false;
    if (after.length === 0) this.#ports.delete(key);
    else this.#ports.set(key, after);
    if (isSamePorts(this.#states.get(key)?.ports ?? [], after)) this.#changedServices.delete(key);
    else this.#changedServices.add(key);
    this.#dirty.add(key);
    return true;
  }

  /** @param after undefined: the slice is gone, or of another family. Returns whether anything that we use has changed. */
  setSlice(serviceKey: string, sliceName: string, after: EndpointLists | undefined): boolean {
    const slices = this.#slices.get(serviceKey);
    if (isSameEndpoints(slices?.get(sliceName), after)) return false;
    if (after !== undefined) {
      if (slices === undefined) this.#slices.set(serviceKey, new Map([[sliceName, after]]));
      else slices.set(sliceName, after);
    } else if (slices !== undefined) {
      slices.delete(sliceName);
      if (slices.size === 0) this.#slices.delete(serviceKey);
    }
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

  /** Of these the Services with a health check port. */
  get balanced(): ReadonlyMap<string, ServiceState> {
    return this.#balanced;
  }

  /**
   * Takes the pending changes over into `states` and names the Services that differ now. What changes meanwhile may be
   * in already, and is looked at again by the next `take`.
   */
  async take(): Promise<ReadonlySet<string>> {
    const changed = new Set<string>();
    const dirty = this.#dirty;
    this.#dirty = new Set();
    this.#changedServices.clear();
    this.#endpointChanges = 0;
    let taken = 0;
    for (const key of dirty) {
      if (++taken % servicesPerTurn === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      const before = this.#states.get(key);
      const after = this.#state(key);
      if (after?.ports.some(({ healthCheckNodePort }) => healthCheckNodePort !== 0)) this.#balanced.set(key, after);
      else this.#balanced.delete(key);
      if (after === undefined) this.#states.delete(key);
      else if (isSameState(before, after)) continue;
      else this.#states.set(key, after);
      if (before !== undefined || after !== undefined) changed.add(key);
    }
    return changed;
  }

  /** The endpoints of a protocol in all slices there are now, also those of Services that are not served here. */
  *endpointsOf(protocol: Protocol): Generator<Endpoint> {
    for (const slices of this.#slices.values()) {
      for (const lists of slices.values()) {
        for (const [key, endpoints] of lists) if (key.endsWith(endpointsKey('', protocol))) yield* endpoints;
      }
    }
  }

  #state(key: string): ServiceState | undefined {
    const ports = this.#ports.get(key);
    if (ports === undefined) return undefined;
    return { key, ports, endpoints: mergeEndpointSlices([...(this.#slices.get(key)?.values() ?? [])]) };
  }
}

function isSameState(a: ServiceState | undefined, b: ServiceState): boolean {
  return a !== undefined && isSamePorts(a.ports, b.ports) && isSameEndpoints(a.endpoints, b.endpoints);
}
