/**
 * Lets pods that start at the same time take turns at the runtime: a node that is asked for thirty pods has the first of
 * them ready after a moment, instead of all of them at the end, and the last one no later.
 *
 * Promises: what brings a pod nearer to its end (a container) goes before what begins another one (a sandbox), else who
 * came first goes first; a call that takes longer than `patienceMs`, as one that hangs does, no longer counts, so that it
 * costs the others that long and no more.
 */
import { waitIsOver } from '../../base/quiet-abort.ts';
import type { Clock } from '../../base/clock.ts';

/** A sandbox begins a pod; a container continues one. */
export type StartStage = 'begin' | 'continue';

export interface PaceOptions {
  /** Calls at once. */
  callsMax: number;
  /** A call that has run this long no longer counts. */
  patienceMs: number;
}

/** On few processors the runtime is busy with a handful of pods; on many, one for each. */
export const paceFor = (processors: number): PaceOptions => ({ callsMax: Math.max(4, processors), patienceMs: 500 });

export class StartPacer {
  readonly #options: PaceOptions;
  readonly #clock: Clock;
  readonly #waiting: Record<StartStage, Array<() => void>> = { begin: [], continue: [] };
  #running = 0;

  constructor(options: PaceOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Runs `work` when its turn has come. @throws what `work` throws, or the signal's reason while it waits */
  async run<T>(stage: StartStage, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#turn(stage, signal);
    const ended = new AbortController();
    let counts = true;
    const release = (): void => {
      if (!counts) return;
      counts = false;
      this.#running--;
      this.#next();
    };
    void this.#clock.sleep(this.#options.patienceMs, ended.signal).then(release); // never rejects
    try {
      return await work();
    } finally {
      release();
      ended.abort(waitIsOver);
    }
  }

  async #turn(stage: StartStage, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#running < this.#options.callsMax) {
      this.#running++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const queue = this.#waiting[stage];
      const go = (): void => {
        signal.removeEventListener('abort', leave);
        this.#running++;
        resolve();
      };
      const leave = (): void => {
        queue.splice(queue.indexOf(go), 1);
        reject(signal.reason);
      };
      queue.push(go);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #next(): void {
    if (this.#running >= this.#options.callsMax) return;
    (this.#waiting.continue.shift() ?? this.#waiting.begin.shift())?.();
  }
}
