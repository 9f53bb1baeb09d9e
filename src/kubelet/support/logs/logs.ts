/**
 * Container log files. Owns their reading (from the end, since a time, following across rotation) and their rotation.
 * The files are written by the runtime below `logsDirectory`; nothing outside of it is ever opened, whatever links a
 * pod may have planted there.
 *
 * Needs: which containers run and where they log, and the runtime's "open your log file again".
 */
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import { runLoop } from '../../../base/run-loop.ts';
import { aborted } from '../../../base/run-together.ts';
import { Semaphore } from '../../../base/semaphore.ts';
import { openLogFile } from './open-log-file.ts';
import { type LogReadOptions, readLogFile } from './read-log-file.ts';
import { rotateIfLarge } from './rotate-log.ts';

export type { LogReadOptions };

export interface RotationOptions {
  /** `containerLogMaxSize`; negative: files are never rotated. */
  maxSizeBytes: number;
  /** `containerLogMaxFiles`, the current one included; at least 2. */
  maxFiles: number;
  /** `containerLogMaxWorkers`: files rotated side by side. */
  workersMax: number;
  /** `containerLogMonitorInterval`. */
  periodMs: number;
}

export interface ContainerLogsNeed {
  /** `podLogsDir`, `/var/log/pods`. */
  logsDirectory: string;
  rotation: RotationOptions;
  runningContainers(signal: AbortSignal): Promise<ReadonlyArray<{ id: string; logPath: string }>>;
  /** CRI `ReopenContainerLog`. */
  reopen(containerId: string, signal: AbortSignal): Promise<void>;
  clock: Clock;
  log: Logger;
}

export class ContainerLogs {
  readonly #need: ContainerLogsNeed;
  /** By container id: those that have not come to their end. */
  readonly #rotating = new Map<string, Promise<void>>();
  readonly #places: Semaphore;

  constructor(need: ContainerLogsNeed) {
    this.#need = need;
    this.#places = new Semaphore(need.rotation.workersMax);
  }

  /**
   * Opens a container's log. What the iteration gives is what the container wrote, both streams as they lie in the
   * file, in pieces that come no faster than they are taken. It ends at the end of the file; with `follow` when the
   * container no longer runs and all is read, or when `signal` aborts.
   *
   * @param isRunning asked once a second while a followed log is silent
   * @throws {NotFoundError} when there is no such file
   */
  async read(
    path: string,
    options: LogReadOptions,
    isRunning: (signal: AbortSignal) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Buffer>> {
    const { logsDirectory, clock, log } = this.#need;
    const opened = await openLogFile(path, logsDirectory);
    return readLogFile(opened, options, { logsDirectory, isRunning, clock, log: log.child({ path }) }, signal);
  }

  /** Rotates what has grown too large, every `periodMs`, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { rotation, clock, log } = this.#need;
    if (rotation.maxSizeBytes < 0) return aborted(signal);
    await runLoop(
      async (s) => void (await this.#rotateAll(s)), // what is stuck is not waited for
      { periodMs: rotation.periodMs, clock, log },
      signal,
    );
    await Promise.all(this.#rotating.values());
  }

  /** One look at all running containers, to its end. */
  async rotateAll(signal: AbortSignal): Promise<void> {
    await Promise.all(await this.#rotateAll(signal));
  }

  /**
   * Begins with those that are not at it still. What fails or hangs for one file does not keep the others: a place is
   * held for work on files, not while the runtime is asked.
   */
  async #rotateAll(signal: AbortSignal): Promise<Array<Promise<void>>> {
    const containers = await this.#need.runningContainers(signal);
    return containers
      .filter(({ id }) => !this.#rotating.has(id))
      .map(({ id, logPath }) => {
        const rotation = this.#rotate(id, logPath, signal).finally(() => this.#rotating.delete(id));
        this.#rotating.set(id, rotation);
        return rotation;
      });
  }

  async #rotate(id: string, logPath: string, signal: AbortSignal): Promise<void> {
    const { rotation, clock, log, logsDirectory } = this.#need;
    try {
      await rotateIfLarge(
        { logPath, logsDirectory, ...rotation, nowMs: clock.nowMs() },
        { reopen: (s) => this.#need.reopen(id, s), places: this.#places },
        signal,
      );
    } catch (err) {
      if (!signal.aborted) log.warn({ err, containerId: id, logPath }, 'cannot rotate a log, will retry');
    }
  }
}
