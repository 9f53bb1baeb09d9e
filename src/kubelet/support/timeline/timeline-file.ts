/**
 * Keeps timelines across restarts, also across those that nobody asked for. A file of lines, each a checksum and the
 * whole record of one pod as JSON: the last line of a pod counts, and a torn or damaged line costs that line alone.
 *
 * Nothing is written while nothing happens. Changes are gathered for a second (mere repeats for half a minute) and
 * appended in one go, without waiting for the disk; when the file has grown past its bound it is written anew beside
 * itself, synced and renamed.
 */
import { waitIsOver } from '../../../base/quiet-abort.ts';
import { appendFile, open, readFile, rename, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { Clock } from '../../../base/clock.ts';
import { describeError, errnoOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import type { PodRecord, TimelineState } from './timeline-model.ts';

/** A change is written after this long, with what else has changed by then. */
export const gatherMs = 1000;
/** A repeat of what is known already may wait longer. */
export const gatherRepeatsMs = 30_000;
/** Without any change: old records are forgotten so often. */
const idleMs = 60 * 60 * 1000;
/** The file may grow by this much, or to twice its size, before it is written anew. */
const growthMaxBytes = 1024 * 1024;
const version = 1;
/** Records that are encoded or decoded before others get a turn. */
const sliceMax = 50;

interface TimelineFileNeed {
  path: string;
  /** The newest state of a record, facts included; undefined when it is forgotten. */
  record(uid: string): PodRecord | undefined;
  uids(): readonly string[];
  starts(): readonly number[];
  /** Asked before each write: what is too old goes. */
  forgetOld(): void;
  clock: Clock;
  log: Logger;
}

export class TimelineFile {
  readonly #need: TimelineFileNeed;
  readonly #changed = new Set<string>();
  readonly #repeated = new Set<string>();
  #wake: () => void = () => {};
  #bytes = 0;
  #bytesMax = 0;
  #hasFailed = false;

  constructor(need: TimelineFileNeed) {
    this.#need = need;
  }

  mark(uid: string, isRepeat: boolean): void {
    const isIdle = this.#changed.size === 0 && (!isRepeat || this.#repeated.size === 0);
    (isRepeat ? this.#repeated : this.#changed).add(uid);
    if (isIdle) this.#wake();
  }

  /** Writes until `signal` aborts, and then what is left. A disk that cannot be written to is said once, and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#need;
    await this.#try(() => this.#writeAnew());
    while (!signal.aborted) {
      if (this.#changed.size > 0) await clock.sleep(gatherMs, signal);
      else if (await this.#isWokenWithin(this.#repeated.size > 0 ? gatherRepeatsMs : idleMs, signal)) continue;
      this.#need.forgetOld();
      await this.#try(() => this.#append());
    }
  }

  /** Something that may not wait as long has come meanwhile. */
  async #isWokenWithin(ms: number, signal: AbortSignal): Promise<boolean> {
    const woken = new AbortController();
    this.#wake = () => woken.abort(waitIsOver);
    await this.#need.clock.sleep(ms, AbortSignal.any([signal, woken.signal]));
    this.#wake = () => {};
    return woken.signal.aborted && !signal.aborted;
  }

  async #try(write: () => Promise<void>): Promise<void> {
    const { log, path } = this.#need;
    try {
      await write();
      this.#hasFailed = false;
    } catch (err) {
      this.#bytesMax = 0; // the next write makes the file whole again
      if (!this.#hasFailed) log.warn({ path, reason: describeError(err) }, 'cannot keep the timelines of pods on disk');
      this.#hasFailed = true;
    }
  }

  async #append(): Promise<void> {
    const uids = [...this.#changed, ...this.#repeated];
    if (uids.length === 0) return;
    this.#changed.clear();
    this.#repeated.clear();
    const text = await this.#linesOf(uids);
    if (this.#bytes + text.length > this.#bytesMax) {
      await this.#writeAnew();
      return;
    }
    await appendFile(this.#need.path, text, { mode: 0o600 });
    this.#bytes += text.length;
  }

  async #writeAnew(): Promise<void> {
    const { path, uids, starts } = this.#need;
    const head = line({ version, starts: starts() });
    const text = head + (await this.#linesOf(uids()));
    const temporary = `${path}.new`;
    await rm(temporary, { force: true });
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    this.#bytes = text.length;
    this.#bytesMax = Math.max(2 * text.length, text.length + growthMaxBytes);
  }

  async #linesOf(uids: Iterable<string>): Promise<string> {
    const lines: string[] = [];
    for (const uid of new Set(uids)) {
      const record = this.#need.record(uid);
      if (record !== undefined) lines.push(line(record));
      if (lines.length % sliceMax === sliceMax - 1) await breathe();
    }
    return lines.join('');
  }
}

/**
 * What a file of timelines holds; nothing when there is none. Damaged lines are left out and counted.
 * @throws when the file cannot be read, or is of another version
 */
export async function readTimelines(path: string): Promise<TimelineState & { damaged: number }> {
  const records = new Map<string, PodRecord>();
  let starts: number[] = [];
  let damaged = 0;
  const lines = (await readIfThere(path)).split('\n');
  for (const [i, text] of lines.entries()) {
    if (i % sliceMax === sliceMax - 1) await breathe();
    if (text === '') continue;
    const value = parseLine(text);
    if (value === undefined) damaged++;
    else if ('version' in value) {
      if (value.version !== version) {
        throw new Error(`Cannot read "${path}": it is of version ${value.version}, expected ${version}`);
      }
      ({ starts } = value);
    } else records.set(value.uid, value);
  }
  return { records: [...records.values()], starts, damaged };
}

/** For a kubelet that starts: a file that cannot be used is set aside, and is no reason not to start. */
export async function adoptTimelines(path: string, log: Logger): Promise<TimelineState> {
  try {
    const { damaged, ...state } = await readTimelines(path);
    if (damaged > 0) log.info({ path, damaged }, 'some lines of the timelines of pods were torn, and are left out');
    return state;
  } catch (err) {
    const aside = `${path}.bad`;
    log.warn({ path, aside, reason: describeError(err) }, 'the timelines of pods cannot be used, and are set aside');
    await rename(path, aside).catch(() => {}); // then it is overwritten
    return { records: [], starts: [] };
  }
}

type Line = PodRecord | { version: number; starts: number[] };

const line = (value: Line | { version: number; starts: readonly number[] }): string => {
  const json = JSON.stringify(value);
  return `${checksum(json)} ${json}\n`;
};

function parseLine(text: string): Line | undefined {
  const json = text.slice(9);
  if (text.slice(0, 8) !== checksum(json)) return undefined;
  return JSON.parse(json) as Line; // the checksum says that `line` wrote it
}

const checksum = (json: string): string => crc32(json).toString(16).padStart(8, '0');

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (err) {
    if (errnoOf(err) === 'ENOENT') return '';
    throw err;
  }
}

const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
