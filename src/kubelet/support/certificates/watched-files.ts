import { type FSWatcher, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';

interface WatchedFilesNeed {
  clock: Clock;
  log: Logger;
}

/** Files are read again this often, whatever inotify says: a mount or a link above them may have changed. */
const forcedReadMs = 60_000;
/** Tools write a certificate and its key one after the other. */
const quietMs = 200;

/**
 * Files that are used together and may change while we run, as one value. A value that can't be read or that `parse`
 * refuses is logged, and the one before stays.
 */
export class WatchedFiles<T> {
  readonly #paths: readonly string[];
  readonly #parse: (contents: readonly string[]) => T;
  readonly #need: WatchedFilesNeed;
  readonly #listeners = new Set<() => void>();
  #contents: readonly string[] = [];
  #value: T | undefined;

  constructor(paths: readonly string[], parse: (contents: readonly string[]) => T, need: WatchedFilesNeed) {
    this.#paths = paths;
    this.#parse = parse;
    this.#need = need;
  }

  current(): T | undefined {
    return this.#value;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads the files. To be awaited before the value is used. @throws when they are missing or no good */
  async load(): Promise<void> {
    const contents: string[] = [];
    for (const path of this.#paths) contents.push(await readWatched(path)); // in order: the first that is missing is named
    if (contents.every((content, i) => content === this.#contents[i])) return;
    let value: T;
    try {
      value = this.#parse(contents);
    } catch (cause) {
      throw new Error(`Cannot use ${this.#paths.map((path) => `"${path}"`).join(' and ')}`, { cause });
    }
    const isFirst = this.#value === undefined;
    this.#contents = contents;
    this.#value = value;
    if (!isFirst) this.#need.log.info({ paths: this.#paths }, 'a file has changed and is used from now on');
    for (const listener of this.#listeners) listener();
  }

  /** Reads again at every change, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#need;
    let wake: () => void = () => {};
    let hasChanged = false;
    const watchers = [...new Set(this.#paths.map(dirname))].flatMap((folder) =>
      tryWatch(folder, () => {
        hasChanged = true;
        wake();
      }),
    );
    try {
      while (!signal.aborted) {
        if (!hasChanged) {
          const woken = new AbortController();
          wake = () => woken.abort();
          await clock.sleep(forcedReadMs, AbortSignal.any([signal, woken.signal]));
        }
        if (hasChanged) await clock.sleep(quietMs, signal);
        hasChanged = false;
        if (signal.aborted) return;
        await this.load().catch((err: unknown) => log.warn({ err }, 'a changed file is no good, the old one stays'));
      }
    } finally {
      for (const watcher of watchers) watcher.close();
    }
  }
}

async function readWatched(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new Error(`Cannot read "${path}"`, { cause });
  }
}

function tryWatch(folder: string, onChange: () => void): FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onChange);
    watcher.on('error', () => watcher.close()); // the forced read goes on
    return [watcher];
  } catch {
    return []; // no inotify watches left: the forced read alone must do
  }
}
