/**
 * Static pods from a directory (or one file): read whole every period and at once when something in it changes.
 * A file that cannot be used is named with its problems; it takes no other file with it, and what ran from its last
 * good content goes on until the file is mended or removed.
 */
import { type Dirent, watch } from 'node:fs';
import { readFile, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { aborted, runTogether } from '../../base/run-together.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { parseStaticPod } from './static-pod.ts';

interface FileSourceNeed {
  path: string;
  nodeName: string;
  periodMs: number;
  onPods(pods: readonly Pod[]): void;
  clock: Clock;
  log: Logger;
}

/** Larger files are no pod manifests. */
const fileBytesMax = 10 * 1024 * 1024;
/** Editors write in several steps: a change is read when it has been quiet for this long. */
const quietMs = 20;

export class FileSource {
  readonly #need: FileSourceNeed;
  readonly #lastGood = new Map<string, Pod>();
  readonly #reported = new Map<string, string>();

  constructor(need: FileSourceNeed) {
    this.#need = need;
  }

  async run(signal: AbortSignal): Promise<void> {
    const changed = { wake: () => {} };
    await runTogether(signal, [(s) => this.#scanLoop(changed, s), (s) => this.#watchLoop(changed, s)]);
  }

  async #scanLoop(changed: { wake: () => void }, signal: AbortSignal): Promise<void> {
    const { clock, periodMs, log } = this.#need;
    while (!signal.aborted) {
      const touched = new AbortController();
      changed.wake = () => touched.abort();
      try {
        this.#need.onPods(await this.#scan());
      } catch (err) {
        log.warn({ err, path: this.#need.path }, 'cannot read the static pod path, will retry');
      }
      await clock.sleep(periodMs, AbortSignal.any([signal, touched.signal]));
      if (touched.signal.aborted) await clock.sleep(quietMs, signal);
    }
  }

  /** inotify on the directory; a directory that is not there yet is tried again. */
  async #watchLoop(changed: { wake: () => void }, signal: AbortSignal): Promise<void> {
    const { clock, path } = this.#need;
    for (let waitMs = 1000; !signal.aborted; waitMs = Math.min(2 * waitMs, 20_000)) {
      const broken = new AbortController();
      try {
        const isDirectory = (await stat(path)).isDirectory();
        const watcher = watch(isDirectory ? path : dirname(path), { signal }, () => changed.wake());
        watcher.on('error', () => broken.abort());
        changed.wake();
        await aborted(AbortSignal.any([signal, broken.signal]));
        watcher.close();
      } catch {
        // Not there (yet): the periodic scan says so when it matters.
      }
      await clock.sleep(waitMs, signal);
    }
  }

  async #scan(): Promise<Pod[]> {
    const paths = await this.#manifestPaths();
    const pods: Pod[] = [];
    for (const path of paths) {
      const pod = await this.#read(path);
      if (pod !== undefined) pods.push(pod);
    }
    for (const path of this.#lastGood.keys()) if (!paths.includes(path)) this.#lastGood.delete(path);
    for (const path of this.#reported.keys()) if (!paths.includes(path)) this.#reported.delete(path);
    return pods;
  }

  /** Regular files not beginning with a dot, sorted; none when the path is not there. */
  async #manifestPaths(): Promise<string[]> {
    const { path } = this.#need;
    let entries: Dirent[];
    try {
      if (!(await stat(path)).isDirectory()) return basename(path).startsWith('.') ? [] : [path];
      entries = await readdir(path, { withFileTypes: true });
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw err;
    }
    const names = entries.filter((entry) => !entry.name.startsWith('.') && (entry.isFile() || entry.isSymbolicLink()));
    return names.map(({ name }) => join(path, name)).toSorted();
  }

  async #read(path: string): Promise<Pod | undefined> {
    const problems: string[] = [];
    try {
      const found = await stat(path);
      if (!found.isFile()) return undefined; // a link to a directory: nothing to recurse into
      if (found.size > fileBytesMax) problems.push(`the file has ${found.size} bytes, more than ${fileBytesMax}`);
      else {
        const parsed = parseStaticPod(await readFile(path, 'utf8'), path, this.#need.nodeName);
        if (parsed.kind === 'pod') {
          this.#lastGood.set(path, parsed.pod);
          this.#reported.delete(path);
          return parsed.pod;
        }
        problems.push(...parsed.problems);
      }
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined; // removed while we looked
      problems.push(describeError(err));
    }
    const text = problems.join('; ');
    const lastGood = this.#lastGood.get(path);
    if (this.#reported.get(path) !== text) {
      this.#reported.set(path, text);
      const fix =
        lastGood === undefined
          ? 'mend the file or remove it'
          : 'its last good content goes on running; mend the file or remove it';
      this.#need.log.error({ path, problems, fix }, 'cannot use a static pod manifest');
    }
    return lastGood;
  }
}
