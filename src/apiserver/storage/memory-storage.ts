import type {
  RangeOptions,
  Storage,
  StorageEvent,
  StorageEventBatch,
  StoredRange,
  StoredValue,
  WriteOutcome,
} from './storage.ts';
import { CompactedError, FutureRevisionError } from './storage.ts';

/** How many changes are remembered for watches and reads of the past. */
const historyMax = 20_000;

/**
 * The store for tests and scratch servers: the same revisions, transactions, history and compaction as etcd, in memory.
 * Keys with a lifetime stay until they are deleted (the contract promises only that they are not dropped earlier).
 */
export class MemoryStorage implements Storage {
  readonly #values = new Map<string, StoredValue>();
  #history: StorageEvent[] = [];
  /** Before each event of `#history`: what the key held, to rebuild the past. */
  #before: Array<StoredValue | undefined> = [];
  #revision = 1;
  #compacted = 0;
  readonly #wakes = new Set<() => void>();

  get(key: string): Promise<{ value: StoredValue | undefined; revision: number }> {
    return Promise.resolve({ value: this.#values.get(key), revision: this.#revision });
  }

  range(prefix: string, { revision, limit, startKey }: RangeOptions): Promise<StoredRange> {
    const at = revision ?? this.#revision;
    if (at > this.#revision) {
      return Promise.reject(new FutureRevisionError(`revision ${at} is above ${this.#revision}`));
    }
    if (at < this.#compacted) return Promise.reject(new CompactedError(`revision ${at} has been compacted`));
    const values = at === this.#revision ? this.#values : this.#valuesAt(at);
    const all = [...values.values()]
      .filter(({ key }) => key.startsWith(prefix) && (startKey === undefined || key >= startKey))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const items = limit === undefined || limit <= 0 ? all : all.slice(0, limit);
    return Promise.resolve({ items, revision: this.#revision, more: items.length < all.length, count: all.length });
  }

  probe(prefix: string, since: number): Promise<{ revision: number; count: number; isChanged: boolean }> {
    let count = 0;
    let isChanged = false;
    for (const { key, modRevision } of this.#values.values()) {
      if (!key.startsWith(prefix)) continue;
      count++;
      isChanged ||= modRevision > since;
    }
    return Promise.resolve({ revision: this.#revision, count, isChanged });
  }

  create(key: string, value: string): Promise<WriteOutcome> {
    const current = this.#values.get(key);
    if (current !== undefined) return Promise.resolve({ kind: 'changed', current });
    return Promise.resolve(this.#put(key, value));
  }

  update(key: string, value: string, expectedRevision: number): Promise<WriteOutcome> {
    const current = this.#values.get(key);
    if (current?.modRevision !== expectedRevision) return Promise.resolve({ kind: 'changed', current });
    return Promise.resolve(this.#put(key, value));
  }

  delete(key: string, expectedRevision: number): Promise<WriteOutcome> {
    const current = this.#values.get(key);
    if (current?.modRevision !== expectedRevision) return Promise.resolve({ kind: 'changed', current });
    this.#revision++;
    this.#values.delete(key);
    this.#remember({ type: 'delete', key, modRevision: this.#revision }, current);
    return Promise.resolve({ kind: 'written', revision: this.#revision });
  }

  async *watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncGenerator<StorageEventBatch> {
    let after = afterRevision;
    while (!signal.aborted) {
      if (after < this.#compacted) throw new CompactedError(`revision ${after} has been compacted`);
      const revision = this.#revision;
      const events = this.#since(after).filter(({ key }) => key.startsWith(prefix));
      after = Math.max(after, revision);
      if (events.length > 0) yield { events, revision: after };
      else await this.#changed(signal);
    }
  }

  compact(revision: number): Promise<void> {
    if (revision > this.#compacted) {
      this.#compacted = revision;
      const drop = this.#history.findIndex(({ modRevision }) => modRevision > revision);
      this.#forget(drop === -1 ? this.#history.length : drop);
    }
    return Promise.resolve();
  }

  #put(key: string, value: string): WriteOutcome {
    this.#revision++;
    const before = this.#values.get(key);
    this.#values.set(key, { key, value, modRevision: this.#revision });
    this.#remember({ type: 'put', key, value, modRevision: this.#revision }, before);
    return { kind: 'written', revision: this.#revision };
  }

  #remember(event: StorageEvent, before: StoredValue | undefined): void {
    this.#history.push(event);
    this.#before.push(before);
    if (this.#history.length > historyMax) {
      this.#compacted = this.#history[historyMax / 2 - 1]?.modRevision ?? this.#compacted;
      this.#forget(historyMax / 2);
    }
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }

  #forget(events: number): void {
    this.#history = this.#history.slice(events);
    this.#before = this.#before.slice(events);
  }

  #since(after: number): StorageEvent[] {
    const first = this.#history.findLastIndex(({ modRevision }) => modRevision <= after) + 1;
    return this.#history.slice(first);
  }

  #valuesAt(revision: number): Map<string, StoredValue> {
    const values = new Map(this.#values);
    for (let i = this.#history.length - 1; i >= 0; i--) {
      const event = this.#history[i];
      if (event === undefined || event.modRevision <= revision) break;
      const before = this.#before[i];
      if (before === undefined) values.delete(event.key);
      else values.set(event.key, before);
    }
    return values;
  }

  #changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#wakes.delete(wake);
        resolve();
      };
      this.#wakes.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
