import type { Clock } from '../../base/clock.ts';
import { isUnavailable } from '../../base/errors.ts';

const entriesMax = 4096;
const retryFirstMs = 500;
const retryFactor = 1.5;
const triesMax = 5;

/**
 * Answers of the API server to reviews, each kept for a while. One question that many ask at once is asked once. A
 * server that is away is asked again a few times; what fails is not kept.
 */
export class ReviewCache<T> {
  readonly #clock: Clock;
  readonly #ttlMs: (answer: T) => number;
  readonly #answers = new Map<string, { answer: T; endsMs: number }>();
  readonly #asked = new Map<string, Promise<T>>();

  constructor(clock: Clock, ttlMs: (answer: T) => number) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
  }

  async get(key: string, review: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const known = this.#answers.get(key);
    if (known !== undefined && this.#clock.monotonicMs() < known.endsMs) return known.answer;
    const pending = this.#asked.get(key);
    if (pending !== undefined) return pending;
    const asked = this.#ask(key, review, signal).finally(() => this.#asked.delete(key));
    this.#asked.set(key, asked);
    return asked;
  }

  async #ask(key: string, review: () => Promise<T>, signal: AbortSignal): Promise<T> {
    let waitMs = retryFirstMs;
    for (let tries = 1; ; tries++) {
      try {
        const answer = await review();
        this.#keep(key, answer);
        return answer;
      } catch (err) {
        if (!isUnavailable(err) || tries >= triesMax || signal.aborted) throw err;
        await this.#clock.sleep(waitMs, signal);
        waitMs *= retryFactor;
      }
    }
  }

  #keep(key: string, answer: T): void {
    this.#answers.delete(key);
    this.#answers.set(key, { answer, endsMs: this.#clock.monotonicMs() + this.#ttlMs(answer) });
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= entriesMax) break;
      this.#answers.delete(oldest);
    }
  }
}
