/**
 * An API server in memory, as far as a kubelet calls one: objects with versions, watches, strategic patches, graceful
 * deletion of pods. Notes every write; can be away.
 */
import { randomUUID } from 'node:crypto';
import { isJsonObject, type JsonObject } from '../../src/apiserver/resources/api-object.ts';
import { strategicMerge } from '../../src/apiserver/resources/patch/strategic-merge.ts';
import { typeOfKind } from '../../src/apiserver/resources/schema.ts';
import { rfc3339Seconds } from '../../src/base/clock.ts';
import { ConflictError, NotFoundError, UnavailableError } from '../../src/base/errors.ts';
import {
  type ApiClient,
  ApiStatusError,
  type KubeList,
  type KubeObject,
  type ListOptions,
  type ObjectRef,
  type PatchType,
  type ResourceType,
  type WatchEvent,
} from '../../src/client/api-client.ts';
import { events, pods } from '../../src/client/resource-types.ts';
import { defaultPod } from '../../src/objects/default-pod.ts';
import type { Event, Pod, PodStatus } from '../../src/objects/generated/core-v1.ts';
import type { DeleteOptions } from '../../src/objects/generated/meta-v1.ts';

export interface PodPatch {
  name: string;
  body: { metadata?: { uid?: string }; status?: Partial<PodStatus> };
  /** The pod's status after it. */
  status: PodStatus;
}

export interface PodDelete {
  name: string;
  options: DeleteOptions;
}

interface Watcher {
  plural: string;
  options: ListOptions;
  queue: Array<WatchEvent<KubeObject>>;
  wake: () => void;
  isOver: boolean;
}

export class FakeApi implements ApiClient {
  readonly podPatches: PodPatch[] = [];
  readonly podDeletes: PodDelete[] = [];
  readonly #objects = new Map<string, KubeObject>();
  readonly #watchers = new Set<Watcher>();
  #version = 1;
  #isAway = false;

  // ---- levers

  /** Every call fails and every watch ends until it is back. */
  setAway(isAway: boolean): void {
    this.#isAway = isAway;
    if (!isAway) return;
    for (const watcher of this.#watchers) {
      watcher.isOver = true;
      watcher.wake();
    }
  }

  /** What a user and a scheduler do together: a pod that is bound to the node. */
  addPod(pod: Pod, nodeName: string): Pod {
    const { spec } = defaultPod(pod);
    return this.#create(pods, { ...pod, spec: { ...spec, nodeName } });
  }

  /** What `kubectl delete` does; 0 removes the object at once. */
  deletePod(name: string, graceSeconds?: number): void {
    this.#delete(
      pods,
      { namespace: 'default', name },
      graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds },
    );
  }

  pod(name: string): Pod | undefined {
    return this.find(pods, 'default', name);
  }

  find<T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(keyOf(type, { namespace, name })) as T | undefined; // stored under its type's name
  }

  /** `reason: message` of each event about the object, in the order of their first write. */
  eventsOf(name: string): string[] {
    return this.#all(events)
      .filter(({ involvedObject }) => involvedObject.name === name)
      .map(({ reason, message }) => `${reason}: ${message}`);
  }

  eventList(): Event[] {
    return this.#all(events);
  }

  // ---- the client

  async get<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef): Promise<T> {
    this.#assertThere();
    return this.#existing(type, ref);
  }

  async list<T extends KubeObject>(type: ResourceType<T>, options: ListOptions): Promise<KubeList<T>> {
    this.#assertThere();
    const items = this.#all(type).filter((object) => fits(object, options));
    return { metadata: { resourceVersion: String(this.#version) }, items };
  }

  async *watch<T extends KubeObject>(
    type: ResourceType<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    this.#assertThere();
    const watcher: Watcher = { plural: type.plural, options, queue: [], wake: () => {}, isOver: false };
    // what has happened since the list
    for (const object of this.#all(type)) {
      const isNewer = Number(object.metadata.resourceVersion) > Number(options.resourceVersion ?? 0);
      if (isNewer && fits(object, options)) watcher.queue.push({ type: 'MODIFIED', object });
    }
    this.#watchers.add(watcher);
    const onAbort = (): void => watcher.wake();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      while (!signal.aborted && !watcher.isOver) {
        const event = watcher.queue.shift();
        if (event !== undefined) yield event as WatchEvent<T>; // only objects of the type are queued
        else await new Promise<void>((resolve) => (watcher.wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#watchers.delete(watcher);
    }
  }

  async create<T extends KubeObject>(type: ResourceType<T>, object: T): Promise<T> {
    this.#assertThere();
    return this.#create(type, object);
  }

  async update<T extends KubeObject>(type: ResourceType<T>, object: T): Promise<T> {
    this.#assertThere();
    this.#existing(type, object.metadata);
    return this.#store(type, object, 'MODIFIED');
  }

  updateStatus<T extends KubeObject>(type: ResourceType<T>, object: T): Promise<T> {
    return this.update(type, object);
  }

  async patch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef & { subresource?: string | undefined },
    kind: PatchType,
    body: unknown,
  ): Promise<T> {
    this.#assertThere();
    const object = this.#existing(type, ref);
    if (kind !== 'strategic' || !isJsonObject(body)) throw new Error(`the fake API has no ${kind} patch`);
    const uid = (body as { metadata?: { uid?: string } }).metadata?.uid;
    if (uid !== undefined && uid !== object.metadata.uid)
      throw conflict(`the UID in the precondition (${uid}) differs`);
    const groupVersion = type.prefix.replace(/^\/(?:apis|api)\//, '');
    const live = structuredClone(object) as unknown as JsonObject; // a stored object is JSON
    const merged = strategicMerge(live, body, typeOfKind(groupVersion, type.kind)) as unknown as T;
    const stored = this.#store(type, merged, 'MODIFIED');
    if (type.plural === 'pods') {
      const patch = structuredClone(body) as PodPatch['body'];
      this.podPatches.push({
        name: ref.name,
        body: patch,
        status: structuredClone((stored as unknown as Pod).status ?? {}),
      });
    }
    return stored;
  }

  async delete<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, options: DeleteOptions): Promise<void> {
    this.#assertThere();
    if (type.plural === 'pods') this.podDeletes.push({ name: ref.name, options });
    this.#delete(type, ref, options);
  }

  createSubresource<_, Res>(type: ResourceType<KubeObject>, _: ObjectRef, subresource: string): Promise<Res> {
    return Promise.reject(new Error(`the fake API has no ${type.plural}/${subresource}`));
  }

  raw<Res>(method: string, path: string): Promise<Res> {
    return Promise.reject(new Error(`the fake API has no ${method} ${path}`));
  }

  // ---- the store

  #assertThere(): void {
    if (this.#isAway) throw new UnavailableError('the API server is away');
  }

  #all<T extends KubeObject>({ plural }: ResourceType<T>): T[] {
    return [...this.#objects].filter(([key]) => key.startsWith(`${plural}/`)).map(([, object]) => object as T);
  }

  #existing<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef): T {
    const object = this.find(type, ref.namespace, ref.name);
    if (object === undefined) throw notFound(type, ref.name);
    return object;
  }

  #create<T extends KubeObject>(type: ResourceType<T>, given: T): T {
    const { generateName } = given.metadata;
    const isNamed = generateName === undefined || given.metadata.name !== '';
    const name = isNamed ? given.metadata.name : `${generateName}${randomUUID().slice(0, 5)}`;
    const object = { ...given, metadata: { ...given.metadata, name } };
    if (this.find(type, object.metadata.namespace, object.metadata.name) !== undefined) {
      throw conflict(`${type.plural} "${object.metadata.name}" already exists`, 'AlreadyExists');
    }
    const { uid = randomUUID(), ...metadata } = object.metadata;
    const creationTimestamp = rfc3339Seconds(Date.now());
    return this.#store(type, { ...object, metadata: { generation: 1, creationTimestamp, ...metadata, uid } }, 'ADDED');
  }

  #delete<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, options: DeleteOptions): void {
    const object = this.#existing(type, ref);
    const { uid } = options.preconditions ?? {};
    if (uid !== undefined && uid !== object.metadata.uid)
      throw conflict(`the UID in the precondition (${uid}) differs`);
    if (type.plural === 'pods') {
      const { spec } = object as unknown as Pod;
      const grace = options.gracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30;
      if (grace > 0 || (object.metadata.finalizers ?? []).length > 0) {
        const deletionTimestamp = rfc3339Seconds(Date.now() + grace * 1000);
        const metadata = { ...object.metadata, deletionTimestamp, deletionGracePeriodSeconds: grace };
        this.#store(type, { ...object, metadata }, 'MODIFIED');
        return;
      }
    }
    this.#objects.delete(keyOf(type, object.metadata));
    this.#tell(
      type,
      { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } },
      'DELETED',
    );
  }

  #store<T extends KubeObject>(type: ResourceType<T>, object: T, change: 'ADDED' | 'MODIFIED'): T {
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.#objects.set(keyOf(type, stored.metadata), stored);
    this.#tell(type, stored, change);
    return stored;
  }

  #tell<T extends KubeObject>(type: ResourceType<T>, object: T, change: 'ADDED' | 'MODIFIED' | 'DELETED'): void {
    for (const watcher of this.#watchers) {
      if (watcher.plural !== type.plural || !fits(object, watcher.options)) continue;
      watcher.queue.push({ type: change, object });
      watcher.wake();
    }
  }
}

function keyOf(
  type: ResourceType<KubeObject>,
  { namespace, name }: { namespace?: string | undefined; name: string },
): string {
  return `${type.plural}/${type.namespaced ? (namespace ?? 'default') : ''}/${name}`;
}

/** Selectors as a kubelet uses them: one field. */
function fits(object: KubeObject, { namespace, fieldSelector }: ListOptions): boolean {
  if (namespace !== undefined && object.metadata.namespace !== namespace) return false;
  const [field, value] = fieldSelector?.split('=') ?? [];
  if (field === 'metadata.name') return object.metadata.name === value;
  if (field === 'spec.nodeName') return (object as unknown as Pod).spec.nodeName === value;
  return true;
}

function notFound({ plural }: ResourceType<KubeObject>, name: string): Error {
  const text = `${plural} "${name}" not found`;
  return new NotFoundError(text, { cause: new ApiStatusError(404, 'NotFound', text) });
}

const conflict = (text: string, reason = 'Conflict'): Error =>
  new ConflictError(text, { cause: new ApiStatusError(409, reason, text) });
