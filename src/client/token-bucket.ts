import type { Clock } from '../base/clock.ts';

/** Lets `burst` through at once and `qps` per second in the long run; callers wait in order of arrival. */
export class TokenBucket {
  readonly #qps: number;
  readonly #burst: number;
  readonly #clock: Clock;
  #tokens: number;
  #updatedMs: number;

  constructor({ qps, burst, clock }: { qps: number; burst: number; clock: Clock }) {
    this.#qps = qps;
    this.#burst = burst;
    this.#clock = clock;
    this.#tokens = burst;
    this.#updatedMs = clock.monotonicMs();
  }

  /** Takes a token if there is one now. */
  tryTake(): boolean {
    this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes a token, waiting until it is there. Resolves at once when `signal` aborts. */
  async take(signal: AbortSignal): Promise<void> {
    this.#refill();
    this.#tokens -= 1; // may go below zero: that is the queue
    if (this.#tokens >= 0) return;
    await this.#clock.sleep((-this.#tokens / this.#qps) * 1000, signal);
  }

  #refill(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#updatedMs) / 1000) * this.#qps);
    this.#updatedMs = nowMs;
  }
}
