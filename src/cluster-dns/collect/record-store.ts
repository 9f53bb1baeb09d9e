/**
 * The cluster as its names need it. Owns one entry per object, and who has which address; a change costs what it
 * changes, whatever the size of the cluster.
 */
import type { Clock } from '../../base/clock.ts';
import type { Pod, Service } from '../../objects/generated/core-v1.ts';
import type { EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { namespacedKey, objectKey } from '../../objects/object-key.ts';
import { addressKey } from '../answer/address-names.ts';
import { serviceFacts, sliceFacts } from '../answer/service-facts.ts';
import type { AddressKey, ClusterRecords, EndpointFacts, ServiceFacts, SliceFacts } from '../dns-model.ts';

/** Nearly every address has one owner: lists for the others alone save 13 MB with 50,000 endpoints. */
type OneOrMore<T extends string | object> = T | readonly T[];

export class RecordStore implements ClusterRecords {
  readonly #clock: Clock;
  readonly #namespaces = new Set<string>();
  readonly #services = new Map<string, ServiceFacts>();
  /** Slices by Service and their own name: a slice may be there before its Service. */
  readonly #slices = new Map<string, Map<string, SliceFacts>>();
  /** Which Service a slice was last seen with: its label may change. */
  readonly #serviceOfSlice = new Map<string, string>();
  readonly #servicesByAddress = new Map<AddressKey, OneOrMore<string>>();
  readonly #slicesByAddress = new Map<AddressKey, OneOrMore<SliceFacts>>();
  readonly #podAddresses = new Map<string, readonly string[]>();
  /** How many pods of a namespace have an address: those of the host network share theirs. */
  readonly #podsByAddress = new Map<string, number>();
  #changedAtMs: number;
  #version = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#changedAtMs = clock.nowMs();
  }

  /** Grows with every change: what was computed from another version is out of date. */
  get version(): number {
    return this.#version;
  }

  get serial(): number {
    return Math.floor(this.#changedAtMs / 1000);
  }

  hasNamespace(name: string): boolean {
    return this.#namespaces.has(name);
  }

  service(namespace: string, name: string): ServiceFacts | undefined {
    return this.#services.get(namespacedKey(namespace, name));
  }

  slices(namespace: string, name: string): Iterable<SliceFacts> {
    return this.#slices.get(namespacedKey(namespace, name))?.values() ?? [];
  }

  servicesByAddress(address: AddressKey): ServiceFacts[] {
    return valuesOf(this.#servicesByAddress, address).flatMap((key) => this.#services.get(key) ?? []);
  }

  endpointsByAddress(address: AddressKey): Array<{ service: ServiceFacts; endpoint: EndpointFacts }> {
    return valuesOf(this.#slicesByAddress, address).flatMap(({ serviceKey, endpoints }) => {
      const service = this.#services.get(serviceKey);
      if (service === undefined) return [];
      return endpoints
        .filter((endpoint) => addressKey(endpoint.address) === address)
        .map((endpoint) => ({ service, endpoint }));
    });
  }

  hasPod(namespace: string, address: AddressKey): boolean {
    return this.#podsByAddress.has(`${namespace} ${address}`);
  }

  setNamespace(name: string, isThere: boolean): void {
    if (isThere) this.#namespaces.add(name);
    else this.#namespaces.delete(name);
    this.#changed();
  }

  setService(key: string, service: Service | undefined): void {
    const before = this.#services.get(key);
    for (const address of before?.addresses ?? []) drop(this.#servicesByAddress, addressKey(address), key);
    if (service === undefined) this.#services.delete(key);
    else {
      const facts = serviceFacts(service);
      this.#services.set(key, facts);
      for (const address of facts.addresses) put(this.#servicesByAddress, addressKey(address), key);
    }
    this.#changed();
  }

  setSlice(key: string, slice: EndpointSlice | undefined): void {
    this.#dropSlice(key);
    const facts = slice === undefined ? undefined : sliceFacts(slice);
    if (facts !== undefined) {
      this.#serviceOfSlice.set(key, facts.serviceKey);
      const siblings = this.#slices.get(facts.serviceKey);
      if (siblings === undefined) this.#slices.set(facts.serviceKey, new Map([[key, facts]]));
      else siblings.set(key, facts);
      for (const { address } of facts.endpoints) put(this.#slicesByAddress, addressKey(address), facts);
    }
    this.#changed();
  }

  /** Pods that have ended have given their address back. */
  setPod(pod: Pod, isThere: boolean): void {
    const key = objectKey(pod);
    const namespace = pod.metadata.namespace ?? '';
    for (const place of this.#podAddresses.get(key) ?? []) {
      const rest = (this.#podsByAddress.get(place) ?? 1) - 1;
      if (rest === 0) this.#podsByAddress.delete(place);
      else this.#podsByAddress.set(place, rest);
    }
    const { phase, podIP, podIPs } = pod.status ?? {};
    const hasEnded = phase === 'Succeeded' || phase === 'Failed';
    const addresses = isThere && !hasEnded ? new Set([podIP, ...(podIPs ?? []).map(({ ip }) => ip)]) : [];
    const places: string[] = [];
    for (const address of addresses) {
      const known = address === undefined ? undefined : addressKey(address);
      if (known !== undefined) places.push(`${namespace} ${known}`);
    }
    if (places.length === 0) this.#podAddresses.delete(key);
    else this.#podAddresses.set(key, places);
    for (const place of places) this.#podsByAddress.set(place, (this.#podsByAddress.get(place) ?? 0) + 1);
    this.#changed();
  }

  #dropSlice(key: string): void {
    const serviceKey = this.#serviceOfSlice.get(key);
    if (serviceKey === undefined) return;
    const siblings = this.#slices.get(serviceKey);
    const facts = siblings?.get(key);
    for (const { address } of facts?.endpoints ?? []) drop(this.#slicesByAddress, addressKey(address), facts);
    siblings?.delete(key);
    if (siblings?.size === 0) this.#slices.delete(serviceKey);
    this.#serviceOfSlice.delete(key);
  }

  #changed(): void {
    this.#version++;
    this.#changedAtMs = this.#clock.nowMs();
  }
}

function valuesOf<T extends string | object>(
  map: ReadonlyMap<AddressKey, OneOrMore<T>>,
  address: AddressKey | undefined,
): readonly T[] {
  const found = address === undefined ? undefined : map.get(address);
  if (found === undefined) return [];
  return isList(found) ? found : [found];
}

function put<T extends string | object>(
  map: Map<AddressKey, OneOrMore<T>>,
  address: AddressKey | undefined,
  value: T,
): void {
  if (address === undefined) return;
  const known = valuesOf(map, address);
  if (known.includes(value)) return;
  map.set(address, known.length === 0 ? value : [...known, value]);
}

function drop<T extends string | object>(
  map: Map<AddressKey, OneOrMore<T>>,
  address: AddressKey | undefined,
  value: T | undefined,
): void {
  if (address === undefined) return;
  const rest = valuesOf(map, address).filter((known) => known !== value);
  const [only] = rest;
  if (only === undefined) map.delete(address);
  else map.set(address, rest.length === 1 ? only : rest);
}

function isList<T extends string | object>(value: OneOrMore<T>): value is readonly T[] {
  return Array.isArray(value);
}
