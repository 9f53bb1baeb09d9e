/**
 * A resource type's objects, kept up to date by list and watch.
 *
 * Owns: the local copy and where the watch stands.
 * Promises: handlers see every object's add, its changes in order, and its delete; an object replaced under the same
 * name is a delete and an add. Objects are shared and must not be changed.
 * Needs: an API client. `run` lives until its signal aborts, through any outage.
 */
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { namespacedKey, objectKey } from '../objects/object-key.ts';
import {
  type ApiClient,
  GoneError,
  type KubeObject,
  type ObjectRef,
  type ResourceType,
  apiStatus,
} from './api-client.ts';

export interface InformerHandlers<T> {
  onAdd?: ((object: T) => void) | undefined;
  /** Also called when nothing changed but the resource version. */
  onUpdate?: ((before: T, after: T) => void) | undefined;
  /** With the last state known; after an outage that may be an old one. */
  onDelete?: ((object: T) => void) | undefined;
}

export interface InformerOptions<T extends KubeObject, Wire extends KubeObject = T> {
  client: Pick<ApiClient, 'list' | 'watch'>;
  type: ResourceType<Wire>;
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** What is kept of each object, given the one of that name before: dropping what nobody reads keeps memory small. */
  trim?: ((object: Wire, before: T | undefined) => T) | undefined;
  clock: Clock;
  log: Logger;
}

/** Read access to an informer's objects: what rooms that only look should ask for. */
export interface ObjectStore<T> {
  get(ref: ObjectRef): T | undefined;
  list(): T[];
  readonly hasSynced: boolean;
}

const retryInitialMs = 800;
const retryMaxMs = 30_000;
/** A watch that lived this long shows that the server is well: the back-off starts over. */
const quietMs = 10_000;
/** Handlers called in one go after a list, before the event loop gets a turn. */
const handlersPerTurn = 200;

/** @typeParam Wire objects as the API has them; `T` is what `trim` keeps of them, the same when there is none */
export class Informer<T extends KubeObject, Wire extends KubeObject = T> implements ObjectStore<T> {
  readonly #options: InformerOptions<T, Wire>;
  readonly #objects = new Map<string, T>();
  readonly #handlers: Array<InformerHandlers<T>> = [];
  readonly #indexes = new Map<
    string,
    { keysOf: (object: T) => readonly string[]; entries: Map<string, Set<string>> }
  >();
  readonly #waiting = new Set<() => void>();
  #hasSynced = false;
  #resourceVersion = '';

  constructor(options: InformerOptions<T, Wire>) {
    this.#options = options;
  }

  get type(): ResourceType<Wire> {
    return this.#options.type;
  }

  /** Whether the first list has been taken over, handlers included. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** The newest resource version seen; empty before the first list. */
  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  /** Resolves when the first list has been taken over, or `signal` aborts. */
  whenSynced(signal: AbortSignal): Promise<void> {
    if (this.#hasSynced || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      signal.addEventListener('abort', done, { once: true });
      this.#waiting.add(done);
    });
  }

  /** Handlers are called in the order they were added. Those added late get an `onAdd` for what is there. */
  addHandlers(handlers: InformerHandlers<T>): void {
    this.#handlers.push(handlers);
    if (handlers.onAdd !== undefined) for (const object of this.#objects.values()) handlers.onAdd(object);
  }

  /** Keeps objects findable by `keysOf(object)`. To be called before `run`. */
  addIndex(name: string, keysOf: (object: T) => readonly string[]): void {
    this.#indexes.set(name, { keysOf, entries: new Map() });
    for (const [key, object] of this.#objects) this.#index(key, object);
  }

  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new Error(`Informer of ${this.#options.type.plural} has no index "${name}"`);
    const found: T[] = [];
    for (const key of index.entries.get(value) ?? []) {
      const object = this.#objects.get(key);
      if (object !== undefined) found.push(object);
    }
    return found;
  }

  get({ namespace, name }: ObjectRef): T | undefined {
    return this.#objects.get(namespacedKey(namespace, name));
  }

  /** By `namespace/name`, or the bare name of a cluster-wide object. */
  getByKey(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  /** Lists and watches until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, type } = this.#options;
    let retryMs = retryInitialMs;
    let mustList = true;
    // an API server's cache may answer the first list; after a 410 only the newest state will do
    let listVersion: string | undefined = '0';
    while (!signal.aborted) {
      const startMs = clock.monotonicMs();
      try {
        if (mustList) await this.#relist(listVersion, signal);
        mustList = false;
        if (await this.#watch(signal)) retryMs = retryInitialMs;
        // a server that ends each watch at once is not asked more than once a second
        if (clock.monotonicMs() - startMs < 1000) await clock.sleep(1000, signal);
      } catch (err) {
        if (signal.aborted) return;
        if (isGone(err)) {
          const wasWatching = !mustList;
          mustList = true;
          listVersion = undefined;
          log.debug(
            { resource: type.plural, reason: describeError(err) },
            'resource version is too old, listing again',
          );
          if (wasWatching && clock.monotonicMs() - startMs >= 1000) continue;
        } else {
          log.warn({ resource: type.plural, retryMs, reason: describeError(err) }, 'list or watch failed, will retry');
        }
        if (clock.monotonicMs() - startMs > quietMs) retryMs = retryInitialMs;
        await clock.sleep(retryMs * (1 + Math.random()), signal);
        retryMs = Math.min(2 * retryMs, retryMaxMs);
      }
    }
  }

  async #relist(resourceVersion: string | undefined, signal: AbortSignal): Promise<void> {
    const { client, type, namespace, labelSelector, fieldSelector } = this.#options;
    const gone = new Set(this.#objects.keys());
    const onItem = (item: Wire): void => {
      const object = this.#trimmed(item);
      gone.delete(objectKey(object));
      this.#put(object);
    };
    const options = { namespace, labelSelector, fieldSelector, resourceVersion, onItem };
    const list = await client.list(type, options, signal);
    let calls = 0;
    for (const item of list.items) {
      onItem(item);
      if (++calls % handlersPerTurn === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
    }
    for (const key of gone) {
      const object = this.#objects.get(key);
      if (object !== undefined) this.#remove(key, object);
    }
    this.#resourceVersion = list.metadata.resourceVersion ?? '';
    this.#hasSynced = true;
    for (const wake of this.#waiting) wake();
  }

  /** One watch to its end. Whether it delivered anything. */
  async #watch(signal: AbortSignal): Promise<boolean> {
    const { client, type, namespace, labelSelector, fieldSelector } = this.#options;
    const options = { namespace, labelSelector, fieldSelector, resourceVersion: this.#resourceVersion };
    let delivered = false;
    for await (const event of client.watch(type, options, signal)) {
      if (signal.aborted) break;
      delivered = true;
      if (event.type === 'BOOKMARK') {
        this.#resourceVersion = event.object.metadata.resourceVersion;
        continue;
      }
      const object = this.#trimmed(event.object);
      const key = objectKey(object);
      if (event.type === 'DELETED') this.#remove(key, object);
      else this.#put(object);
      this.#resourceVersion = object.metadata.resourceVersion ?? this.#resourceVersion;
    }
    return delivered;
  }

  #trimmed(object: Wire): T {
    const { trim } = this.#options;
    if (trim === undefined) return object as KubeObject as T; // without `trim` both are one type
    // it may be `trim` that finds out that an object has no metadata
    const { name, namespace } = (object as Partial<Wire> | null)?.metadata ?? {};
    return trim(object, name === undefined ? undefined : this.#objects.get(namespacedKey(namespace, name)));
  }

  #put(object: T): void {
    const key = objectKey(object);
    const before = this.#objects.get(key);
    if (before !== undefined && before.metadata.uid !== object.metadata.uid) this.#remove(key, before);
    const known = this.#objects.get(key);
    if (known !== undefined) this.#unindex(key, known);
    this.#objects.set(key, object);
    this.#index(key, object);
    if (known === undefined) {
      for (const { onAdd } of this.#handlers) onAdd?.(object);
    } else if (known.metadata.resourceVersion !== object.metadata.resourceVersion) {
      for (const { onUpdate } of this.#handlers) onUpdate?.(known, object);
    }
  }

  #remove(key: string, object: T): void {
    const known = this.#objects.get(key);
    if (known === undefined) return;
    this.#unindex(key, known);
    this.#objects.delete(key);
    for (const { onDelete } of this.#handlers) onDelete?.(object);
  }

  #index(key: string, object: T): void {
    for (const { keysOf, entries } of this.#indexes.values()) {
      for (const value of keysOf(object)) {
        const keys = entries.get(value);
        if (keys === undefined) entries.set(value, new Set([key]));
        else keys.add(key);
      }
    }
  }

  #unindex(key: string, object: T): void {
    for (const { keysOf, entries } of this.#indexes.values()) {
      for (const value of keysOf(object)) {
        const keys = entries.get(value);
        keys?.delete(key);
        if (keys?.size === 0) entries.delete(value);
      }
    }
  }
}

function isGone(error: unknown): boolean {
  if (error instanceof GoneError) return true;
  const status = apiStatus(error);
  return status?.code === 410 || status?.reason === 'Expired';
}
