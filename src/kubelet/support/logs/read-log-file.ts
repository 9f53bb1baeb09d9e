import { basename, dirname } from 'node:path';
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import { findTailStart } from './find-tail-start.ts';
import { FolderWatch } from './folder-watch.ts';
import { LineSplitter } from './line-splitter.ts';
import { openFollowing } from './open-following.ts';
import type { OpenedLog } from './open-log-file.ts';
import { type LogFormat, detectLogFormat, parseLogLine } from './parse-log-line.ts';
import { type OutputOptions, selectLogOutput, startOfOutput } from './select-log-output.ts';

export interface LogReadOptions {
  follow: boolean;
  /** Lines of the file from its end, at least 0; undefined: all. */
  tailLines: number | undefined;
  /** Wall clock; older lines are left out. */
  sinceMs: number | undefined;
  timestamps: boolean;
  /** Bytes of output at most. */
  limitBytes: number | undefined;
}

interface ReadNeed {
  logsDirectory: string;
  isRunning: (signal: AbortSignal) => Promise<boolean>;
  clock: Clock;
  log: Logger;
}

const blockBytes = 64 * 1024;
/** A followed log is looked at this often, even if nothing told us of a change. */
const forcedCheckMs = 1000;

/** Reads an opened log as `ContainerLogs.read` promises, and closes it. */
export async function* readLogFile(
  opened: OpenedLog,
  { follow, tailLines, sinceMs, timestamps, limitBytes }: LogReadOptions,
  { logsDirectory, isRunning, clock, log }: ReadNeed,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const since = sinceMs === undefined ? undefined : { ms: sinceMs, nanos: 0 };
  const lines = new LogOutput({ since, timestamps, limitBytes }, follow ? undefined : tailLines);
  let current = opened;
  let next: OpenedLog | undefined;
  let watch: FolderWatch | undefined;
  try {
    const block = Buffer.alloc(blockBytes);
    let at = tailLines === undefined ? 0 : await findTailStart(current.file, current.sizeBytes, tailLines);
    let hasStopped = false;
    let isSilent = false;
    while (!signal.aborted && !lines.isDone) {
      const { bytesRead } = await current.file.read(block, 0, block.length, at);
      if (bytesRead > 0) {
        at += bytesRead;
        isSilent = false;
        const output = lines.take(block.subarray(0, bytesRead));
        if (output.length > 0) yield output;
        continue;
      }
      // the end of the file, for now
      if (next !== undefined) {
        // the runtime writes to a new file, and the old one is read to its end
        const output = lines.takeRest();
        if (output.length > 0) yield output;
        await current.file.close();
        current = next;
        next = undefined;
        at = 0;
        continue;
      }
      if (!follow || hasStopped) {
        const output = lines.takeRest();
        if (output.length > 0) yield output;
        return;
      }
      if (watch === undefined) {
        watch = new FolderWatch(dirname(current.path), basename(current.path));
        continue; // what came before the watch told nobody
      }
      next = await openFollowing(current, logsDirectory);
      // while the new file is empty the runtime may still write to the old one
      if (next !== undefined && (next.sizeBytes > 0 || isSilent)) continue; // once more through the old file
      await next?.file.close();
      next = undefined;
      if ((await current.file.stat()).size < at) {
        at = 0; // cut off in place
        continue;
      }
      const hasChanged = await watch.wait(forcedCheckMs, clock, signal);
      isSilent = !hasChanged;
      if (isSilent && !signal.aborted) hasStopped = !(await isRunning(signal));
    }
  } finally {
    watch?.close();
    await current.file.close();
    await next?.file.close();
    if (lines.skipped > 0) log.debug({ skipped: lines.skipped }, 'lines of a log that have no known form');
  }
}

/** From the bytes of the file to the bytes for the reader. */
class LogOutput {
  readonly #options: OutputOptions;
  readonly #splitter = new LineSplitter();
  #state;
  #linesLeft: number;
  #format: LogFormat | undefined;
  /** Lines that could not be read. */
  skipped = 0;

  constructor(options: OutputOptions, linesMax: number | undefined) {
    this.#options = options;
    this.#state = startOfOutput(options);
    this.#linesLeft = linesMax ?? Number.POSITIVE_INFINITY;
  }

  get isDone(): boolean {
    return this.#linesLeft <= 0 || this.#state.bytesLeft <= 0;
  }

  take(bytes: Buffer): Buffer {
    return this.#select(this.#splitter.split(bytes));
  }

  /** What lies behind the last newline. */
  takeRest(): Buffer {
    const rest = this.#splitter.rest();
    return this.#select(rest.length === 0 ? [] : [rest]);
  }

  #select(lines: Iterable<Buffer>): Buffer {
    const pieces: Buffer[] = [];
    for (const line of lines) {
      if (this.isDone) break;
      this.#format ??= detectLogFormat(line);
      const parsed = this.#format === undefined ? undefined : parseLogLine(line, this.#format);
      if (parsed === undefined) {
        this.skipped++;
        continue;
      }
      const { output, next } = selectLogOutput(parsed, this.#options, this.#state);
      pieces.push(...output);
      this.#state = next;
      this.#linesLeft--;
    }
    return Buffer.concat(pieces);
  }
}
