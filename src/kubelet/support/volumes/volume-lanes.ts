import { orAborted } from './volume-operations.ts';

/** One hand at a time for each key, in the order of asking. */
export class VolumeLanes {
  readonly #lanes = new Map<string, Promise<void>>();

  /** @param signal ends the wait for the hand; the work hears of it by itself */
  async run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#lanes.get(key) ?? Promise.resolve();
    const mine = Promise.withResolvers<void>();
    const settled = before.then(() => mine.promise);
    this.#lanes.set(key, settled);
    try {
      await orAborted(before, signal);
      signal.throwIfAborted();
      return await work();
    } finally {
      mine.resolve();
      if (this.#lanes.get(key) === settled) this.#lanes.delete(key);
    }
  }
}
