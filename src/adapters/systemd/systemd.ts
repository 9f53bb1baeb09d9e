/**
 * systemd as the owner of slices: makes them, limits them, stops them, and waits until it is done. Every call is a
 * conversation of its own over the socket that systemd keeps for root, since an open one would be told of every change
 * of every unit. A systemd that does not answer is given up after a deadline.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import { ConfigError, UnavailableError, errnoOf } from '../../base/errors.ts';
import { DbusConnection, DbusError } from './dbus-connection.ts';
import { decodeBody } from './dbus-messages.ts';
import type { DbusValue } from './dbus-values.ts';
import { type SliceLimits, limitProperties, newSliceProperties, sliceName } from './slice-properties.ts';

export type { SliceLimits } from './slice-properties.ts';

const defaultRunDir = '/run/systemd';
/** For a call with the job that it starts. */
const timeoutMs = 30_000;
const manager = {
  destination: 'org.freedesktop.systemd1',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
};
const unitExists = 'org.freedesktop.systemd1.UnitExists';
const noSuchUnit = 'org.freedesktop.systemd1.NoSuchUnit';

export class Systemd {
  /** Properties have other names under each. */
  readonly #cgroupVersion: 1 | 2;
  readonly #clock: Clock;
  readonly #runDir: string;

  /** @param runDir where systemd keeps what it has while it runs */
  constructor(cgroupVersion: 1 | 2, clock: Clock, runDir = defaultRunDir) {
    this.#cgroupVersion = cgroupVersion;
    this.#clock = clock;
    this.#runDir = runDir;
  }

  /** @throws {ConfigError} when this machine is not run by systemd; another error when systemd does not answer */
  async check(signal: AbortSignal): Promise<void> {
    const running = join(this.#runDir, 'system'); // there only while systemd is the machine's init
    if (!(await isThere(running))) {
      throw new ConfigError('Cannot use the cgroup driver systemd', [
        `systemd does not run this machine (no directory ${running}): set cgroupDriver: cgroupfs, here and in the container runtime (containerd: SystemdCgroup = false)`,
      ]);
    }
    await this.#talk('answer', signal, (connection) => call(connection, 'GetUnit', 's', ['-.slice']));
  }

  /**
   * Makes the slice at this path, `/a.slice/a-b.slice`, with limits.
   * @returns false when there is such a slice already: it stays as it is
   */
  async startSlice(path: string, limits: SliceLimits, signal: AbortSignal): Promise<boolean> {
    const name = sliceName(path);
    const properties = [
      ...newSliceProperties(name, this.#cgroupVersion),
      ...limitProperties(limits, this.#cgroupVersion),
    ];
    const body = [name, 'replace', properties, []];
    try {
      await this.#job(`start ${name}`, signal, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', body);
      return true;
    } catch (err) {
      if (hasKind(err, unitExists)) return false;
      throw err;
    }
  }

  /** Limits a slice until it is stopped or the machine restarts. Limits that systemd has no property for are left out. */
  async limitSlice(path: string, limits: SliceLimits, signal: AbortSignal): Promise<void> {
    const name = sliceName(path);
    const properties = limitProperties(limits, this.#cgroupVersion);
    if (properties.length === 0) return;
    await this.#talk(`limit ${name}`, signal, (connection) =>
      call(connection, 'SetUnitProperties', 'sba(sv)', [name, true, properties]),
    );
  }

  /**
   * Whether somebody has made the slice or limited it. One that systemd has started by itself, for a unit in it, is
   * neither: so comes back what was stopped.
   */
  async isOwned(path: string): Promise<boolean> {
    const name = sliceName(path);
    const places = [join('transient', name), join('system.control', `${name}.d`)];
    return (await Promise.all(places.map((place) => isThere(join(this.#runDir, place))))).some(Boolean);
  }

  /** Stops the slice and all units in it. None with this name is success. */
  async stopSlice(path: string, signal: AbortSignal): Promise<void> {
    const name = sliceName(path);
    try {
      await this.#job(`stop ${name}`, signal, 'StopUnit', 'ss', [name, 'replace']);
    } catch (err) {
      if (!hasKind(err, noSuchUnit)) throw err;
    }
  }

  /** Calls for a job and waits for its end. */
  async #job(
    what: string,
    signal: AbortSignal,
    method: string,
    signature: string,
    body: readonly DbusValue[],
  ): Promise<void> {
    await this.#talk(what, signal, async (connection) => {
      const results = new Map<DbusValue | undefined, DbusValue | undefined>();
      let job: DbusValue | undefined;
      const ended = connection.next((message) => {
        if (message.kind === 'signal' && message.member === 'JobRemoved') {
          const [, path, , result] = decodeBody(message);
          results.set(path, result);
        }
        return job !== undefined && results.has(job);
      });
      [job] = await call(connection, method, signature, body);
      if (!results.has(job)) await ended; // it may have ended before the answer was looked at
      const result = results.get(job);
      if (result !== 'done') throw new Error(`its job ended with "${String(result)}"`);
    });
  }

  async #talk<T>(what: string, signal: AbortSignal, talk: (connection: DbusConnection) => Promise<T>): Promise<T> {
    try {
      return await withDeadline('systemd', timeoutMs, this.#clock, signal, async (s) => {
        const connection = await this.#connect(s);
        const end = (): void => connection.close();
        s.addEventListener('abort', end, { once: true });
        try {
          s.throwIfAborted();
          return await talk(connection);
        } finally {
          s.removeEventListener('abort', end);
          connection.close();
        }
      });
    } catch (cause) {
      throw new Error(`Cannot have systemd ${what}`, { cause });
    }
  }

  async #connect(signal: AbortSignal): Promise<DbusConnection> {
    const socket = join(this.#runDir, 'private'); // where it listens for root
    try {
      return await DbusConnection.open(socket, signal);
    } catch (cause) {
      throw new UnavailableError(`nobody answers at ${socket} (${errnoOf(cause) ?? 'failed'})`, { cause });
    }
  }
}

const call = (
  connection: DbusConnection,
  member: string,
  signature: string,
  body: readonly DbusValue[],
): Promise<DbusValue[]> => connection.call({ ...manager, member, signature, body });

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false, // not there is the answer
  );

function hasKind(error: unknown, kind: string): boolean {
  for (let e = error; e instanceof Error; e = e.cause) if (e instanceof DbusError) return e.kind === kind;
  return false;
}
