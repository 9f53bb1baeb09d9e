import type { Clock } from '../../base/clock.ts';
import { type Etcd, isCompacted, isFutureRevision } from '../../adapters/etcd/etcd.ts';
import type { RangeOptions, Storage, StorageEventBatch, StoredRange, StoredValue, WriteOutcome } from './storage.ts';
import { CompactedError, FutureRevisionError } from './storage.ts';

/** etcd answers with at most 16 MiB: long ranges are read in pages of one revision. */
const pageMax = 500;
/** One lease carries many short-lived keys, so that etcd does not keep one per event. */
const keysPerLeaseMax = 1000;

/** Objects in etcd v3. */
export class EtcdStorage implements Storage {
  readonly #etcd: Etcd;
  readonly #clock: Clock;
  #lease: { id: string; ttlSeconds: number; reuseUntilMs: number; keys: number } | undefined;

  constructor(etcd: Etcd, clock: Clock) {
    this.#etcd = etcd;
    this.#clock = clock;
  }

  async get(key: string, signal: AbortSignal): Promise<{ value: StoredValue | undefined; revision: number }> {
    const { items, revision } = await this.#etcd.range({ key }, signal);
    return { value: items[0], revision };
  }

  async range(prefix: string, { revision, limit, startKey }: RangeOptions, signal: AbortSignal): Promise<StoredRange> {
    const rangeEnd = prefixEnd(prefix);
    const items: StoredValue[] = [];
    let at = revision;
    let key = startKey ?? prefix;
    let first: { revision: number; count: number } | undefined;
    for (;;) {
      const rest = limit === undefined || limit <= 0 ? pageMax : Math.min(pageMax, limit - items.length);
      const page = await this.#range({ key, rangeEnd, revision: at, limit: rest }, signal);
      first ??= { revision: page.revision, count: page.count };
      items.push(...page.items);
      const last = page.items.at(-1);
      const isEnough = limit !== undefined && limit > 0 && items.length >= limit;
      if (!page.more || last === undefined || isEnough) return { items, more: page.more, ...first };
      at ??= first.revision;
      key = `${last.key}\0`;
    }
  }

  async probe(
    prefix: string,
    since: number,
    signal: AbortSignal,
  ): Promise<{ revision: number; count: number; isChanged: boolean }> {
    const { items, revision, count } = await this.#etcd.range(
      { key: prefix, rangeEnd: prefixEnd(prefix), keysOnly: true, minModRevision: since + 1, limit: 1 },
      signal,
    );
    return { revision, count, isChanged: items.length > 0 };
  }

  create(key: string, value: string, ttlSeconds: number | undefined, signal: AbortSignal): Promise<WriteOutcome> {
    return this.update(key, value, 0, ttlSeconds, signal);
  }

  async update(
    key: string,
    value: string,
    expectedRevision: number,
    ttlSeconds: number | undefined,
    signal: AbortSignal,
  ): Promise<WriteOutcome> {
    const lease = ttlSeconds === undefined ? undefined : await this.#leaseFor(ttlSeconds, signal);
    return outcome(await this.#etcd.writeIf({ key, expectedRevision, value, lease }, signal));
  }

  async delete(key: string, expectedRevision: number, signal: AbortSignal): Promise<WriteOutcome> {
    return outcome(await this.#etcd.writeIf({ key, expectedRevision, value: undefined }, signal));
  }

  async *watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncGenerator<StorageEventBatch> {
    for await (const message of this.#etcd.watch(prefix, prefixEnd(prefix), afterRevision + 1, signal)) {
      if (message.kind === 'compacted') {
        throw new CompactedError(`revision ${afterRevision + 1} is before ${message.compactRevision}`);
      }
      // while etcd catches up it sends pages whose header is ahead of their last event: only an empty one says "all seen"
      yield { events: message.events, revision: message.events.at(-1)?.modRevision ?? message.revision };
    }
  }

  compact(revision: number, signal: AbortSignal): Promise<void> {
    return this.#etcd.compact(revision, signal);
  }

  async #range(request: Parameters<Etcd['range']>[0], signal: AbortSignal): ReturnType<Etcd['range']> {
    try {
      return await this.#etcd.range(request, signal);
    } catch (cause) {
      if (isCompacted(cause)) throw new CompactedError('the revision has been compacted', { cause });
      if (isFutureRevision(cause)) throw new FutureRevisionError('the revision is yet to come', { cause });
      throw cause;
    }
  }

  /** Granted a little longer than asked, and shared while at least the asked time is left. */
  async #leaseFor(ttlSeconds: number, signal: AbortSignal): Promise<string> {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#lease;
    if (
      known !== undefined &&
      known.ttlSeconds === ttlSeconds &&
      nowMs < known.reuseUntilMs &&
      known.keys < keysPerLeaseMax
    ) {
      known.keys++;
      return known.id;
    }
    const spareSeconds = Math.max(1, Math.min(60, Math.floor(ttlSeconds * 0.05)));
    const id = await this.#etcd.grantLease(ttlSeconds + spareSeconds, signal);
    this.#lease = { id, ttlSeconds, reuseUntilMs: nowMs + spareSeconds * 1000, keys: 1 };
    return id;
  }
}

function outcome({ written, revision, current }: Awaited<ReturnType<Etcd['writeIf']>>): WriteOutcome {
  return written ? { kind: 'written', revision } : { kind: 'changed', current };
}

/** The first key after all that begin with `prefix`; prefixes end in `/`, so the last character can be raised. */
export function prefixEnd(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
