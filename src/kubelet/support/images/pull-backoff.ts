/**
 * When a failed pull may be tried again, and what its failure was. Owns `image_manager/backoff.json`, so that a restart
 * of the kubelet neither forgets a delay nor the words that go with it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Backoff } from '../../../base/backoff.ts';
import type { Clock } from '../../../base/clock.ts';
import { describeError, errnoOf } from '../../../base/errors.ts';
import { KeyedRunner } from '../../../base/keyed-runner.ts';
import type { Logger } from '../../../base/logger.ts';
import { replaceFile } from '../../../base/replace-file.ts';

export interface PullFailure {
  reason: string;
  message: string;
}

interface PullBackoffNeed {
  rootDir: string;
  clock: Clock;
  log: Logger;
}

const initialMs = 10_000;
const maxMs = 300_000;
const expireMs = 2 * maxMs;

interface Entry extends PullFailure {
  delayMs: number;
  /** Wall clock. */
  failedMs: number;
}

export class PullBackoff {
  readonly #need: PullBackoffNeed;
  readonly #backoff = new Backoff({ initialMs, maxMs, expireMs });
  /** The latest failure of each key that has not expired. */
  readonly #entries = new Map<string, Entry>();
  readonly #writer = new KeyedRunner((path) => this.#write(path));

  constructor(need: PullBackoffNeed) {
    this.#need = need;
  }

  get #path(): string {
    return join(this.#need.rootDir, 'image_manager', 'backoff.json');
  }

  /** Takes up what an earlier process noted. */
  async open(): Promise<void> {
    const { clock, log } = this.#need;
    try {
      const noted: unknown = JSON.parse(await readFile(this.#path, 'utf8'));
      const nowMs = clock.nowMs();
      for (const [key, entry] of Object.entries(noted ?? {})) {
        // what lies in the future was noted by a clock that went wrong
        if (!isEntry(entry) || entry.failedMs > nowMs || nowMs - entry.failedMs > expireMs) continue;
        this.#entries.set(key, entry);
        this.#backoff.seed(key, entry.delayMs, entry.failedMs);
      }
    } catch (err) {
      if (errnoOf(err) === 'ENOENT') return;
      log.warn(
        { path: this.#path, reason: describeError(err) },
        'cannot read how pulls failed before: they start over',
      );
    }
  }

  /** The failure that is waited out and when that ends (wall clock); undefined when a pull may be tried. */
  waiting(key: string): { last: PullFailure | undefined; untilMs: number } | undefined {
    const nowMs = this.#need.clock.nowMs();
    if (!this.#backoff.isInBackoff(key, nowMs)) return undefined;
    return { last: this.#entries.get(key), untilMs: this.#backoff.endsMs(key) ?? nowMs };
  }

  failed(key: string, failure: PullFailure): void {
    const failedMs = this.#need.clock.nowMs();
    this.#backoff.next(key, failedMs);
    this.#entries.set(key, { ...failure, delayMs: this.#backoff.delayMs(key), failedMs });
    this.#collect(failedMs);
    this.#writer.mark(this.#path);
  }

  /** The delay stays: it is only forgotten when no pull has failed for long enough. */
  succeeded(): void {
    this.#collect(this.#need.clock.nowMs());
  }

  /** Forgets a pod that is gone. */
  forget(uid: string): void {
    for (const key of this.#entries.keys()) {
      if (!key.startsWith(`${uid}_`)) continue;
      this.#entries.delete(key);
      this.#backoff.reset(key);
      this.#writer.mark(this.#path);
    }
  }

  /** Resolves when all is on disk. */
  whenWritten(): Promise<void> {
    return this.#writer.whenIdle();
  }

  #collect(nowMs: number): void {
    this.#backoff.collect(nowMs);
    for (const [key, { failedMs }] of this.#entries) if (nowMs - failedMs > expireMs) this.#entries.delete(key);
  }

  async #write(path: string): Promise<void> {
    try {
      await replaceFile(path, JSON.stringify(Object.fromEntries(this.#entries)), 0o600);
    } catch (err) {
      // only a restart could miss it
      this.#need.log.warn({ path, reason: describeError(err) }, 'cannot note that a pull failed');
    }
  }
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== 'object' || value === null) return false;
  const { reason, message, delayMs, failedMs } = value as Partial<Record<keyof Entry, unknown>>;
  return (
    typeof reason === 'string' &&
    typeof message === 'string' &&
    Number.isFinite(delayMs) &&
    Number(delayMs) > 0 &&
    Number.isFinite(failedMs)
  );
}
