/**
 * Who may pull now: at most `max` at once, the others in order of arrival. A pull that takes very long while others
 * wait lets one of them go beside it, so that a registry that hangs costs the pods that use it, and not the node.
 */
import { waitIsOver } from '../../../base/quiet-abort.ts';
import type { Clock } from '../../../base/clock.ts';

interface PullSlotsOptions {
  /** 1: one after the other, upstream's serial mode. Infinity: no limit. */
  max: number;
  clock: Clock;
}

/** Longer than most pulls; a slow one that is overtaken goes on. */
export const overdueMs = 60_000;
/** Overdue pulls that are overtaken at most: upstream's length of the queue. */
const overdueMax = 10;

export class PullSlots {
  readonly #options: PullSlotsOptions;
  #held = 0;
  #overdue = 0;
  readonly #waiting: Array<() => void> = [];

  constructor(options: PullSlotsOptions) {
    this.#options = options;
  }

  /** Somebody waits. */
  get isFull(): boolean {
    return this.#waiting.length > 0;
  }

  /** Runs `work` when there is a slot. Who is interrupted while waiting throws and leaves the queue. */
  async with<T>(interrupt: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#enter(interrupt);
    const over = new AbortController();
    let isOverdue = false;
    void this.#options.clock.sleep(overdueMs, over.signal).then(() => {
      if (over.signal.aborted || this.#overdue >= overdueMax) return;
      isOverdue = true;
      this.#overdue++;
      this.#admit();
    });
    try {
      return await work();
    } finally {
      over.abort(waitIsOver);
      if (isOverdue) this.#overdue--;
      this.#held--;
      this.#admit();
    }
  }

  async #enter(interrupt: AbortSignal): Promise<void> {
    interrupt.throwIfAborted();
    if (this.#waiting.length === 0 && this.#isFree()) {
      this.#held++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const enter = (): void => {
        interrupt.removeEventListener('abort', leave);
        this.#held++;
        resolve();
      };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(interrupt.reason);
      };
      this.#waiting.push(enter);
      interrupt.addEventListener('abort', leave, { once: true });
    });
  }

  #isFree(): boolean {
    return this.#held - this.#overdue < this.#options.max;
  }

  #admit(): void {
    while (this.#isFree()) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      next();
    }
  }
}
