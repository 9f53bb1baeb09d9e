import { type Clock, sleepBy, systemClock } from '../../src/base/clock.ts';

/**
 * A clock that runs with the real one and can be moved ahead: who sleeps wakes as soon as its time has come, and the
 * real world (sockets, files) gets its turns in between.
 */
export class WarpClock implements Clock {
  #aheadMs = 0;
  readonly #sleepers = new Set<{ atMs: number; check: () => void }>();

  /** How many sleep now. */
  get sleepers(): number {
    return this.#sleepers.size;
  }

  nowMs(): number {
    return systemClock.nowMs() + this.#aheadMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return sleepBy(this, ms, signal);
  }

  after(ms: number, wake: () => void): () => void {
    const atMs = this.monotonicMs() + ms;
    const cancel = (): void => {
      cancelReal();
      this.#sleepers.delete(sleeper);
    };
    const sleeper = {
      atMs,
      check: () => {
        cancel();
        wake();
      },
    };
    const cancelReal = systemClock.after(ms, sleeper.check);
    this.#sleepers.add(sleeper);
    return cancel;
  }

  /** Moves ahead by `ms` and wakes those whose time has come. */
  warp(ms: number): void {
    this.#aheadMs += ms;
    const nowMs = this.monotonicMs();
    for (const { atMs, check } of this.#sleepers) if (atMs <= nowMs) check();
  }

  /**
   * Lets time fly in small steps until `look` returns something else than `undefined` or `false`.
   * @throws when `withinMs` of this clock's time have passed
   */
  async until<T>(what: string, look: () => T, withinMs = 60_000): Promise<Exclude<T, undefined | false>> {
    const never = new AbortController().signal;
    const endMs = this.monotonicMs() + withinMs;
    for (;;) {
      const seen = look();
      if (seen !== undefined && seen !== false) return seen as Exclude<T, undefined | false>; // excluded just now
      if (this.monotonicMs() > endMs) throw new Error(`waited ${withinMs / 1000}s of the test's clock for ${what}`);
      this.warp(stepMs);
      await systemClock.sleep(pauseMs, never);
    }
  }

  /** Lets `ms` pass in small steps. */
  async pass(ms: number): Promise<void> {
    const endMs = this.monotonicMs() + ms;
    await this.until('time to pass', () => this.monotonicMs() >= endMs, ms + 10 * stepMs);
  }
}

const stepMs = 100;
const pauseMs = 10;
