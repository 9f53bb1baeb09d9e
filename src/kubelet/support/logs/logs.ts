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

  constructor(need: ContainerLogsNeed) {
    this.#need = need;
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
    await runLoop((s) => this.rotateAll(s), { periodMs: rotation.periodMs, clock, log }, signal);
  }

  /** One look at all running containers. What fails for one file is logged and does not keep the others. */
  async rotateAll(signal: AbortSignal): Promise<void> {
    const { rotation, clock, log, logsDirectory } = this.#need;
    const places = new Semaphore(rotation.workersMax);
    const containers = await this.#need.runningContainers(signal);
    await Promise.all(
      containers.map(({ id, logPath }) =>
        places
          .with(signal, () =>
            rotateIfLarge(
              { logPath, logsDirectory, ...rotation, nowMs: clock.nowMs() },
              (s) => this.#need.reopen(id, s),
              signal,
            ),
          )
          .catch((err: unknown) => {
            if (!signal.aborted) log.warn({ err, containerId: id, logPath }, 'cannot rotate a log, will retry');
          }),
      ),
    );
  }
}
