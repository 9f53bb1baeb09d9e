/**
 * The service manager that has started this process, where it wants to be told how the process is: that it has started
 * (`NOTIFY_SOCKET`), and that it still works (`WATCHDOG_USEC`). systemd is told by its own tool, since Node sends no
 * datagrams to sockets in the file system.
 */
import type { Clock } from '../../base/clock.ts';
import { ConfigError, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { aborted } from '../../base/run-together.ts';
import { runCommand } from '../processes/processes.ts';

interface ServiceManagerNeed {
  /** Of this process. */
  environment: Readonly<Record<string, string | undefined>>;
  pid: number;
  /** Runs systemd's tool as a child of this process: systemd listens to the parent of who speaks. */
  notify(state: string, signal: AbortSignal): Promise<void>;
  clock: Clock;
  log: Logger;
}

/** A shorter one would be missed by a healthy process that is busy. */
const shortestWatchdogMs = 1000;
const notifyTimeoutMs = 10_000;

/** The one of this process. @throws {ConfigError} */
export function openServiceManager(clock: Clock, log: Logger): ServiceManager {
  const notify = async (state: string, signal: AbortSignal): Promise<void> => {
    await runCommand('systemd-notify', [state], { timeoutMs: notifyTimeoutMs, signal });
  };
  return new ServiceManager({ environment: process.env, pid: process.pid, notify, clock, log });
}

export class ServiceManager {
  readonly #need: ServiceManagerNeed;
  readonly #isListening: boolean;
  readonly #watchdogMs: number | undefined;

  /** @throws {ConfigError} when it wants to hear from us more often than can be promised */
  constructor(need: ServiceManagerNeed) {
    this.#need = need;
    const { environment, pid } = need;
    this.#isListening = (environment['NOTIFY_SOCKET'] ?? '') !== '';
    this.#watchdogMs = this.#isListening ? watchdogMsOf(environment, pid) : undefined;
    if (this.#watchdogMs !== undefined && this.#watchdogMs <= shortestWatchdogMs) {
      throw new ConfigError('Cannot serve the watchdog of systemd', [
        `WatchdogSec is ${this.#watchdogMs / 1000}s: set more than ${shortestWatchdogMs / 1000}s in the unit`,
      ]);
    }
  }

  /** Says that the process has started, then twice per period that it works, as long as `problem` finds none. */
  async run(problem: () => string | undefined, signal: AbortSignal): Promise<void> {
    if (this.#isListening) await this.#say('READY=1', signal);
    while (this.#watchdogMs !== undefined && !signal.aborted) {
      const reason = problem();
      if (reason === undefined) await this.#say('WATCHDOG=1', signal);
      else this.#need.log.warn({ reason }, 'the watchdog is not told that all is well');
      await this.#need.clock.sleep(this.#watchdogMs / 2, signal);
    }
    await aborted(signal);
  }

  async #say(state: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#need.notify(state, signal);
    } catch (err) {
      // whether that matters is for the unit to say: systemd ends a service that it does not hear of in time
      if (!signal.aborted)
        this.#need.log.warn({ state, reason: describeError(err) }, 'cannot tell the service manager');
    }
  }
}

/** Undefined: nobody watches, or another process than ours is watched. */
function watchdogMsOf(environment: ServiceManagerNeed['environment'], pid: number): number | undefined {
  const { WATCHDOG_USEC: micros, WATCHDOG_PID: watched } = environment;
  if (micros === undefined || !/^[1-9]\d*$/.test(micros)) return undefined;
  if (watched !== undefined && watched !== String(pid)) return undefined;
  return Number(micros) / 1000;
}
