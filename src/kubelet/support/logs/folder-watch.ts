import { type FSWatcher, watch } from 'node:fs';
import type { Clock } from '../../../base/clock.ts';

/** Hears of changes to one name in a folder. Without inotify (no watches left, folder gone) only the time limit wakes. */
export class FolderWatch {
  #watcher: FSWatcher | undefined;
  #hasChanged = false;
  #wake: () => void = () => {};

  constructor(folder: string, name: string) {
    try {
      this.#watcher = watch(folder, { persistent: false }, (_event, changed) => {
        if (changed !== null && changed !== name) return;
        this.#hasChanged = true;
        this.#wake();
      });
      this.#watcher.on('error', () => this.close());
    } catch {
      this.#watcher = undefined; // the callers look again after a while anyhow
    }
  }

  /** Whether something changed since the last call; waits for it, `maxMs` at most. */
  async wait(maxMs: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
    if (!this.#hasChanged) {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      await clock.sleep(maxMs, AbortSignal.any([signal, woken.signal]));
    }
    const hasChanged = this.#hasChanged;
    this.#hasChanged = false;
    return hasChanged;
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
