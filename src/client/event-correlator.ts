/**
 * Keeps a component from flooding the API with events: repeated ones become a count, many similar ones become one,
 * and a single object cannot take more than its share. Knows no I/O; time is an argument.
 */
import { rfc3339Seconds } from '../base/clock.ts';
import type { Event } from '../objects/generated/core-v1.ts';

/** What one event becomes: a new object, an update of an earlier one, or nothing. */
export type CorrelatedEvent =
  | { kind: 'create'; event: Event; cacheKey: string }
  | {
      kind: 'patch';
      event: Event;
      cacheKey: string;
      patch: Pick<Event, 'count' | 'lastTimestamp' | 'message'>;
    }
  | { kind: 'drop' };

export interface EventCorrelatorOptions {
  /** Distinct messages of one kind in `similarWindowMs` from which they are combined. */
  similarMax?: number;
  similarWindowMs?: number;
  /** Events per object and type at once, and the time in which one more is allowed. */
  spamBurst?: number;
  spamRefillMs?: number;
  cacheMax?: number;
}

interface Observation {
  name: string;
  count: number;
  firstTimestamp: string | undefined;
}

export class EventCorrelator {
  readonly #options: Required<EventCorrelatorOptions>;
  readonly #similar: LruMap<{ messages: Set<string>; lastMs: number }>;
  readonly #observed: LruMap<Observation>;
  readonly #buckets: LruMap<{ tokens: number; updatedMs: number }>;

  constructor(options: EventCorrelatorOptions = {}) {
    this.#options = {
      similarMax: 10,
      similarWindowMs: 600_000,
      spamBurst: 25,
      spamRefillMs: 300_000,
      cacheMax: 4096,
      ...options,
    };
    this.#similar = new LruMap(this.#options.cacheMax);
    this.#observed = new LruMap(this.#options.cacheMax);
    this.#buckets = new LruMap(this.#options.cacheMax);
  }

  /** Decides about one event, in the order aggregate, count, filter: a filtered event has been counted. */
  correlate(event: Event, nowMs: number): CorrelatedEvent {
    const { event: aggregated, cacheKey } = this.#aggregate(event, nowMs);
    const before = this.#observed.get(cacheKey);
    const counted: Event =
      before === undefined
        ? { ...aggregated, count: 1 }
        : {
            ...aggregated,
            metadata: { ...aggregated.metadata, name: before.name },
            count: before.count + 1,
            firstTimestamp: before.firstTimestamp,
          };
    this.observe(counted, cacheKey);
    if (!this.#takeToken(event, nowMs)) return { kind: 'drop' };
    if (before === undefined) return { kind: 'create', event: counted, cacheKey };
    const { count, lastTimestamp, message } = counted;
    return { kind: 'patch', event: counted, cacheKey, patch: { count, lastTimestamp, message } };
  }

  /** Remembers what the server has stored. */
  observe({ metadata, count, firstTimestamp }: Event, cacheKey: string): void {
    this.#observed.set(cacheKey, { name: metadata.name, count: count ?? 1, firstTimestamp });
  }

  #aggregate(event: Event, nowMs: number): { event: Event; cacheKey: string } {
    const { similarMax, similarWindowMs } = this.#options;
    const similarKey = aggregateKey(event);
    const fullKey = JSON.stringify([similarKey, event.involvedObject.fieldPath, event.message]);
    const known = this.#similar.get(similarKey);
    const entry =
      known === undefined || nowMs - known.lastMs > similarWindowMs
        ? { messages: new Set<string>(), lastMs: nowMs }
        : { ...known, lastMs: nowMs };
    entry.messages.add(event.message ?? '');
    this.#similar.set(similarKey, entry);
    if (entry.messages.size < similarMax) return { event, cacheKey: fullKey };
    const oldest = entry.messages.values().next().value;
    if (oldest !== undefined) entry.messages.delete(oldest); // bounded: one in, one out
    const now = rfc3339Seconds(nowMs);
    return {
      event: {
        ...event,
        count: 1,
        firstTimestamp: now,
        lastTimestamp: now,
        message: `(combined from similar events): ${event.message ?? ''}`,
      },
      cacheKey: similarKey,
    };
  }

  #takeToken(event: Event, nowMs: number): boolean {
    const { spamBurst, spamRefillMs } = this.#options;
    const key = spamKey(event);
    const bucket = this.#buckets.get(key) ?? { tokens: spamBurst, updatedMs: nowMs };
    const tokens = Math.min(spamBurst, bucket.tokens + (nowMs - bucket.updatedMs) / spamRefillMs);
    const isAllowed = tokens >= 1;
    this.#buckets.set(key, { tokens: isAllowed ? tokens - 1 : tokens, updatedMs: nowMs });
    return isAllowed;
  }
}

function aggregateKey({
  source,
  involvedObject: o,
  type,
  reason,
  reportingComponent,
  reportingInstance,
}: Event): string {
  return JSON.stringify([
    source?.component,
    source?.host,
    o.kind,
    o.namespace,
    o.name,
    o.uid,
    o.apiVersion,
    type,
    reason,
    reportingComponent,
    reportingInstance,
  ]);
}

function spamKey({ source, involvedObject: o, type }: Event): string {
  return JSON.stringify([source?.component, source?.host, o.kind, o.namespace, o.name, o.uid, o.apiVersion, type]);
}

/** A map that forgets what was not touched for longest. */
class LruMap<V> {
  readonly #max: number;
  readonly #entries = new Map<string, V>();

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#max) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
  }
}
