/**
 * Where the API server keeps its objects: keys with text values, each write one new revision of the whole store.
 * Two implementations keep one contract (`test/contracts/storage-contract.ts`): etcd and memory.
 *
 * Every method throws `UnavailableError` or `DeadlineError` when the store does not answer.
 */

export interface StoredValue {
  readonly key: string;
  readonly value: string;
  /** The revision of the write that made this value. */
  readonly modRevision: number;
}

export interface StoredRange {
  readonly items: readonly StoredValue[];
  /** The revision at which the whole range is true. */
  readonly revision: number;
  /** More keys follow. */
  readonly more: boolean;
  /** Keys in the whole range, `limit` or not. */
  readonly count: number;
}

export interface RangeOptions {
  /** Read the past: the range as it was at this revision. Undefined: now. */
  revision?: number | undefined;
  /** At most so many, in key order. */
  limit?: number | undefined;
  /** The first key to return, within the prefix. */
  startKey?: string | undefined;
}

/** Deleted keys carry their last value and the revision of the deletion. */
export type StorageEvent =
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly modRevision: number }
  | { readonly type: 'delete'; readonly key: string; readonly modRevision: number };

export interface StorageEventBatch {
  readonly events: readonly StorageEvent[];
  /** All changes of the prefix up to this revision have been delivered. */
  readonly revision: number;
}

/** What a write that depends on a revision found. */
export type WriteOutcome =
  | { readonly kind: 'written'; readonly revision: number }
  /** Another write came first: the value now, or undefined when the key is gone. Nothing was written. */
  | { readonly kind: 'changed'; readonly current: StoredValue | undefined };

export interface Storage {
  /** The newest value; undefined when there is none. `revision` is the store's. */
  get(key: string, signal: AbortSignal): Promise<{ value: StoredValue | undefined; revision: number }>;
  /**
   * All keys that begin with `prefix` (which ends in `/`).
   * @throws {CompactedError} when `revision` is no longer kept
   * @throws {FutureRevisionError} when `revision` is yet to come
   */
  range(prefix: string, options: RangeOptions, signal: AbortSignal): Promise<StoredRange>;
  /** The store's revision, the number of keys under `prefix` and whether any of them was written after `since`. */
  probe(
    prefix: string,
    since: number,
    signal: AbortSignal,
  ): Promise<{ revision: number; count: number; isChanged: boolean }>;
  /** Writes a new key. `ttlSeconds`: the store drops it some time after that. */
  create(key: string, value: string, ttlSeconds: number | undefined, signal: AbortSignal): Promise<WriteOutcome>;
  /** Replaces the value written at `expectedRevision`. */
  update(
    key: string,
    value: string,
    expectedRevision: number,
    ttlSeconds: number | undefined,
    signal: AbortSignal,
  ): Promise<WriteOutcome>;
  /** Removes the value written at `expectedRevision`. */
  delete(key: string, expectedRevision: number, signal: AbortSignal): Promise<WriteOutcome>;
  /**
   * Every change under `prefix` with a revision above `afterRevision`, in order, none twice. Ends when `signal` aborts.
   * @throws {CompactedError} when those revisions are no longer kept
   */
  watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncIterable<StorageEventBatch>;
  /** Forgets what was before `revision`. */
  compact(revision: number, signal: AbortSignal): Promise<void>;
}

/** The revision asked for has been compacted away. */
export class CompactedError extends Error {
  override name = 'CompactedError';
}

/** The revision asked for does not exist yet. */
export class FutureRevisionError extends Error {
  override name = 'FutureRevisionError';
}
