export interface BackoffOptions {
  initialMs: number;
  maxMs: number;
  /** An entry untouched for this long starts over; default 2 × max, as client-go. */
  expireMs?: number;
  /** Adds up to this fraction at random to each delay; default 0. */
  jitter?: number;
}

/** Exponential delays per key: initial, ×2, … max. Bounded: expired entries are dropped by `collect`. */
export class Backoff {
  readonly #options: Required<BackoffOptions>;
  readonly #entries = new Map<string, { delayMs: number; updatedMs: number }>();

  constructor(options: BackoffOptions) {
    this.#options = { expireMs: 2 * options.maxMs, jitter: 0, ...options };
  }

  /**
   * Notes one more failure at `nowMs` and returns the delay before the next try. An entry has expired when `eventMs`
   * (what is counted: the failure itself by default) came `expireMs` after the last one.
   */
  next(key: string, nowMs: number, eventMs: number = nowMs): number {
    const { initialMs, maxMs, expireMs, jitter } = this.#options;
    const entry = this.#entries.get(key);
    const delayMs =
      entry === undefined || eventMs - entry.updatedMs > expireMs ? initialMs : Math.min(2 * entry.delayMs, maxMs);
    this.#entries.set(key, { delayMs, updatedMs: nowMs });
    return delayMs * (1 + Math.random() * jitter);
  }

  /** The delay last handed out for `key`, 0 when there is none. */
  delayMs(key: string): number {
    return this.#entries.get(key)?.delayMs ?? 0;
  }

  /** Whether `sinceMs` (the last failure, or an event of the caller's) is less than the key's delay ago. */
  isInBackoffSince(key: string, sinceMs: number, nowMs: number): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined || sinceMs - entry.updatedMs > this.#options.expireMs) return false;
    return nowMs - sinceMs < entry.delayMs;
  }

  /** As `isInBackoffSince`, counted from the last `next`. */
  isInBackoff(key: string, nowMs: number): boolean {
    const entry = this.#entries.get(key);
    return entry !== undefined && nowMs - entry.updatedMs < entry.delayMs;
  }

  /** When the key's window from the last `next` ends, in ms; undefined without an entry. */
  endsMs(key: string): number | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined ? undefined : entry.updatedMs + entry.delayMs;
  }

  /** Puts an entry back that an earlier process had. */
  seed(key: string, delayMs: number, updatedMs: number): void {
    if (!this.#entries.has(key)) this.#entries.set(key, { delayMs: Math.min(delayMs, this.#options.maxMs), updatedMs });
  }

  reset(key: string): void {
    this.#entries.delete(key);
  }

  /** Forgets entries that have expired. */
  collect(nowMs: number): void {
    for (const [key, { updatedMs }] of this.#entries) {
      if (nowMs - updatedMs > this.#options.expireMs) this.#entries.delete(key);
    }
  }
}
