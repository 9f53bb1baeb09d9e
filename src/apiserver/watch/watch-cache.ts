/**
 * One resource in memory, kept true by one watch of the store. Owns the newest state of each object, the recent
 * changes, and the queues of those who watch. All API lists and watches of the resource are served from here.
 *
 * Promises: every watcher sees each change after its revision once, in order, or is closed. A store that goes away and
 * comes back is followed from the last revision seen; when that has been compacted, all watchers are closed and
 * start over. Needs a store and a decoder.
 */
import type { Clock } from '../../base/clock.ts';
import { UnavailableError, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { ApiObject } from '../resources/api-object.ts';
import { CompactedError, type Storage, type StorageEvent } from '../storage/storage.ts';

/** History is kept for `historyMs` within these bounds. */
const historyMin = 500;
const historyMax = 10_000;
const historyMs = 75_000;
/** A watcher that is this many events behind is closed. */
const watcherQueueMax = 10_000;
const retryMs = 250;
/** How long a read waits for the cache to have seen a revision. */
export const freshnessTimeoutMs = 3000;

/** An object and its JSON, made once however many watchers print it. */
export class CachedObject {
  readonly key: string;
  readonly object: ApiObject;
  readonly revision: number;
  #json: string | undefined;

  constructor(key: string, object: ApiObject, revision: number) {
    this.key = key;
    this.object = object;
    this.revision = revision;
  }

  get json(): string {
    this.#json ??= JSON.stringify(this.object);
    return this.#json;
  }
}

export interface CacheEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly revision: number;
  /** For DELETED the last state, with the revision of the deletion. */
  readonly object: CachedObject;
  readonly previous: CachedObject | undefined;
  readonly atMs: number;
}

export interface WatchCacheNeed {
  /** The resource's keys, ending in `/`. */
  prefix: string;
  storage: Storage;
  /** The stored text as an object with `metadata.resourceVersion`. */
  decode: (value: string, revision: number) => ApiObject;
  clock: Clock;
  log: Logger;
}

/** The revision asked for is before the remembered history. */
export class TooOldError extends Error {
  override name = 'TooOldError';
}

/** The revision asked for has not been seen in time. */
export class TooLargeError extends Error {
  override name = 'TooLargeError';
  readonly currentRevision: number;
  constructor(askedRevision: number, currentRevision: number) {
    super(`Too large resource version: ${askedRevision}, current: ${currentRevision}`);
    this.currentRevision = currentRevision;
  }
}

export class WatchCache {
  readonly #need: WatchCacheNeed;
  readonly #objects = new Map<string, CachedObject>();
  /** Keys in order; undefined after a key came or went. */
  #sortedKeys: string[] | undefined;
  readonly #history: CacheEvent[] = [];
  /** Changes at or before this revision are not remembered. */
  #floor = 0;
  #revision = 0;
  #isReady = false;
  readonly #watchers = new Set<Watcher>();
  readonly #progressWaits = new Set<() => void>();

  constructor(need: WatchCacheNeed) {
    this.#need = need;
  }

  /** All changes up to this revision are in the cache. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Lives until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, prefix } = this.#need;
    while (!signal.aborted) {
      try {
        if (!this.#isReady) await this.#fill(signal);
        await this.#follow(signal);
      } catch (err) {
        if (signal.aborted) break;
        if (err instanceof CompactedError) this.#startOver();
        log.warn({ prefix, reason: describeError(err), retryMs }, 'watch of the store broke, will resume');
      }
      await clock.sleep(retryMs, signal);
    }
    for (const watcher of this.#watchers) watcher.close();
  }

  /** One object, as the cache has it. */
  get(key: string): CachedObject | undefined {
    return this.#objects.get(key);
  }

  /** All objects whose key begins with `prefix`, in key order. */
  list(prefix: string): CachedObject[] {
    this.#sortedKeys ??= [...this.#objects.keys()].sort();
    const found: CachedObject[] = [];
    for (const key of this.#sortedKeys) {
      if (!key.startsWith(prefix)) continue;
      const object = this.#objects.get(key);
      if (object !== undefined) found.push(object);
    }
    return found;
  }

  /** Every object, in no order and without a copy: for admission and allocators. */
  values(): IterableIterator<CachedObject> {
    return this.#objects.values();
  }

  /** Resolves when the first fill is done. @throws {UnavailableError} when it takes too long */
  async ready(signal: AbortSignal): Promise<void> {
    await this.#waitUntil(() => this.#isReady, signal);
    if (!this.#isReady) throw new UnavailableError('storage is (re)initializing');
  }

  /**
   * Resolves when the cache holds everything that had been written when it was called.
   * @throws {UnavailableError} when the store does not answer or the cache does not catch up
   */
  async fresh(signal: AbortSignal): Promise<void> {
    const { storage, prefix, clock } = this.#need;
    const endMs = clock.monotonicMs() + freshnessTimeoutMs;
    await this.ready(signal);
    for (;;) {
      const seen = this.#revision;
      const probe = await storage.probe(prefix, seen, signal);
      if (this.#revision >= probe.revision) return;
      if (this.#revision === seen && !probe.isChanged && probe.count === this.#objects.size) {
        this.#progress(probe.revision);
        return;
      }
      await this.#waitUntil(() => this.#revision > seen, signal, 100);
      signal.throwIfAborted();
      if (clock.monotonicMs() > endMs) throw new UnavailableError(`the cache of "${prefix}" does not catch up`);
    }
  }

  /**
   * Resolves when the cache has seen `revision`.
   * @throws {TooLargeError} when that does not come
   */
  async reach(revision: number, signal: AbortSignal): Promise<void> {
    await this.ready(signal);
    if (this.#revision >= revision) return;
    await this.fresh(signal);
    if (this.#revision >= revision) return;
    await this.#waitUntil(() => this.#revision >= revision, signal);
    if (this.#revision < revision) throw new TooLargeError(revision, this.#revision);
  }

  /**
   * A watcher that begins with the first change after `afterRevision`.
   * @throws {TooOldError} when history does not reach back to there
   */
  watch(afterRevision: number): Watcher {
    if (afterRevision < this.#floor) {
      throw new TooOldError(`too old resource version: ${afterRevision} (${this.#floor})`);
    }
    const watcher = new Watcher(afterRevision, () => this.#watchers.delete(watcher));
    for (const event of this.#history) watcher.push(event);
    this.#watchers.add(watcher);
    return watcher;
  }

  async #fill(signal: AbortSignal): Promise<void> {
    const { storage, prefix, decode } = this.#need;
    const { items, revision } = await storage.range(prefix, {}, signal);
    for (const { key, value, modRevision } of items) {
      this.#objects.set(key, new CachedObject(key, decode(value, modRevision), modRevision));
    }
    this.#floor = revision;
    this.#revision = revision;
    this.#isReady = true;
    this.#wakeWaits();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { storage, prefix } = this.#need;
    for await (const { events, revision } of storage.watch(prefix, this.#revision, signal)) {
      for (const event of events) this.#take(event);
      this.#progress(revision);
    }
  }

  #take(event: StorageEvent): void {
    const { decode, clock } = this.#need;
    const { key, modRevision } = event;
    if (modRevision <= this.#revision) return; // seen before the stream broke
    const previous = this.#objects.get(key);
    const atMs = clock.monotonicMs();
    if (event.type === 'delete') {
      if (previous === undefined) return;
      const { metadata } = previous.object;
      const last = { ...previous.object, metadata: { ...metadata, resourceVersion: String(modRevision) } };
      this.#objects.delete(key);
      this.#sortedKeys = undefined;
      const object = new CachedObject(key, last, modRevision);
      this.#publish({ type: 'DELETED', revision: modRevision, object, previous, atMs });
      return;
    }
    const object = new CachedObject(key, decode(event.value, modRevision), modRevision);
    this.#objects.set(key, object);
    if (previous === undefined) this.#sortedKeys = undefined;
    const type = previous === undefined ? 'ADDED' : 'MODIFIED';
    this.#publish({ type, revision: modRevision, object, previous, atMs });
  }

  #publish(event: CacheEvent): void {
    this.#history.push(event);
    this.#trim(event.atMs);
    for (const watcher of this.#watchers) watcher.push(event);
    this.#progress(event.revision);
  }

  #trim(nowMs: number): void {
    const isSurplus = (index: number): boolean => {
      const left = this.#history.length - index;
      if (left > historyMax) return true;
      return left > historyMin && nowMs - (this.#history[index]?.atMs ?? nowMs) > historyMs;
    };
    let drop = 0;
    while (isSurplus(drop)) drop++;
    if (drop < historyMin / 2 && this.#history.length <= historyMax) return; // in slices: moving the array costs
    this.#floor = this.#history[drop - 1]?.revision ?? this.#floor;
    this.#history.splice(0, drop);
  }

  #progress(revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    this.#wakeWaits();
  }

  #wakeWaits(): void {
    for (const wake of this.#progressWaits) wake();
  }

  /** The store no longer tells what happened since: those who watch must list again. */
  #startOver(): void {
    this.#isReady = false;
    this.#objects.clear();
    this.#sortedKeys = undefined;
    this.#history.length = 0;
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers.clear();
  }

  /** Waits for progress until `isTrue`, the time is over or `signal` aborts; the caller looks again. */
  async #waitUntil(isTrue: () => boolean, signal: AbortSignal, timeoutMs = freshnessTimeoutMs): Promise<void> {
    if (isTrue()) return;
    const end = new AbortController();
    const late = this.#need.clock.sleep(timeoutMs, AbortSignal.any([signal, end.signal])).then(() => false);
    try {
      while (!isTrue()) {
        let wake = (): void => {};
        const woken = new Promise<boolean>((resolve) => (wake = () => resolve(true)));
        this.#progressWaits.add(wake);
        const isWoken = await Promise.race([woken, late]);
        this.#progressWaits.delete(wake);
        if (!isWoken) return;
      }
    } finally {
      end.abort();
    }
  }
}

/** One API watch's place in the stream of changes: a bounded queue. */
export class Watcher {
  readonly #onEnd: () => void;
  #after: number;
  #queue: CacheEvent[] = [];
  #isClosed = false;
  #wake: () => void = () => {};

  constructor(afterRevision: number, onEnd: () => void) {
    this.#after = afterRevision;
    this.#onEnd = onEnd;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Nothing waits to be sent. */
  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  push(event: CacheEvent): void {
    if (this.#isClosed || event.revision <= this.#after) return;
    this.#after = event.revision;
    if (this.#queue.length >= watcherQueueMax) {
      this.close();
      return;
    }
    this.#queue.push(event);
    this.#wake();
  }

  /** The events since the last call, waiting for the first; empty when closed. */
  async next(): Promise<CacheEvent[]> {
    if (this.#queue.length === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = () => {};
    }
    const events = this.#queue;
    this.#queue = [];
    return events;
  }

  close(): void {
    this.#isClosed = true;
    this.#onEnd();
    this.#wake();
  }
}
