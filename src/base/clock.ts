/**
 * Time for everybody else. Nothing outside this file calls `setTimeout`, `setInterval` or `Date.now()`.
 */
export interface Clock {
  /** Wall clock in ms since the epoch: for what we show. */
  nowMs(): number;
  /** Monotonic ms from an arbitrary origin: for what we measure. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once when `signal` aborts; the caller looks at the signal. Never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Calls `wake` once after `ms`, unless the returned function is called before: a wait that costs next to nothing. */
  after(ms: number, wake: () => void): () => void;
}

/** The longest delay that Node's timers take; longer sleeps are cut into pieces. */
const timerMaxMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => sleepBy(systemClock, ms, signal),
  after: (ms, wake) => {
    let timer: NodeJS.Timeout;
    const arm = (restMs: number): void => {
      timer = restMs > timerMaxMs ? setTimeout(() => arm(restMs - timerMaxMs), timerMaxMs) : setTimeout(wake, restMs);
    };
    arm(Math.max(0, ms));
    return () => clearTimeout(timer);
  },
};

/** The `sleep` of a clock that has `after`. */
export function sleepBy(clock: Pick<Clock, 'after'>, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** RFC 3339 with whole seconds, the form of `metav1.Time`: `2026-01-02T03:04:05Z`. */
export function rfc3339Seconds(ms: number): string {
  return `${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}

/** RFC 3339 with microseconds, the form of `metav1.MicroTime`: `2026-01-02T03:04:05.123000Z`. */
export function rfc3339Micros(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}

/** RFC 3339 with nine digits, the form of kubelet annotations and log timestamps. */
export function rfc3339Nanos(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000000Z`;
}

/** A clock that tests move by hand: `advance` wakes the sleepers whose time has come, in order. */
export class FakeClock implements Clock {
  #nowMs: number;
  #sleepers: Array<{ atMs: number; wake: () => void }> = [];

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return sleepBy(this, ms, signal);
  }

  after(ms: number, wake: () => void): () => void {
    const cancel = (): void => {
      this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
    };
    const sleeper = {
      atMs: this.#nowMs + Math.max(0, ms),
      wake: () => {
        cancel();
        wake();
      },
    };
    this.#sleepers.push(sleeper);
    return cancel;
  }

  /** How many are asleep: a test waits until its subject sleeps before it advances. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      const next = this.#sleepers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.wake();
    }
    this.#nowMs = endMs;
    await settle();
  }
}

/** Lets everything that is ready to run do so. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}
