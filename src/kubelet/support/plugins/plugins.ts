/**
 * Plugins of the node: found by their sockets in `plugins_registry`, asked who they are, handed to whoever serves their
 * kind, and taken back when the socket goes. Owns which socket is registered. Promises: a plugin that hangs or lies
 * holds up no other; one that fails is tried again after 0.5 s to 2 min; a socket that is bound anew is a new plugin.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Backoff } from '../../../base/backoff.ts';
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import { KeyedRunner } from '../../../base/keyed-runner.ts';
import type { Logger } from '../../../base/logger.ts';
import type { PluginInfo } from '../../../adapters/plugin-registration/plugin-registration.ts';
import { checkPlugin } from './check-plugin.ts';
import { DirectoryWatches, findSockets } from './plugin-sockets.ts';

export interface Plugin {
  name: string;
  /** The socket of its services. */
  endpoint: string;
  versions: readonly string[];
}

/** Who serves plugins of one type. */
export interface PluginHandler {
  /** @throws {Error} when such a plugin cannot be taken: nothing has changed then */
  validate(plugin: Plugin): void;
  /** @throws {Error} when it could not be taken: nothing is left of it then */
  register(plugin: Plugin, signal: AbortSignal): Promise<void>;
  deregister(plugin: Plugin, signal: AbortSignal): Promise<void>;
}

interface Connection extends Disposable {
  info(signal: AbortSignal): Promise<PluginInfo>;
  notify(error: string | undefined, signal: AbortSignal): Promise<void>;
}

interface PluginsNeed {
  rootDir: string;
  connect(socket: string, signal: AbortSignal): Promise<Connection>;
  /** By plugin type. */
  handlers: Readonly<Record<string, PluginHandler>>;
  clock: Clock;
  log: Logger;
}

/** Watches tell of everything; looking nevertheless costs next to nothing. */
const scanPeriodMs = 60_000;
/** Where no watch is to be had. */
const blindScanPeriodMs = 1000;
const retryDelays = { initialMs: 500, maxMs: 122_000 };

interface Registered {
  identity: string;
  plugin: Plugin;
  handler: PluginHandler;
}

export class Plugins {
  readonly #need: PluginsNeed;
  readonly #registry: string;
  readonly #runner = new KeyedRunner((socket) => this.#turn(socket));
  readonly #scans = new KeyedRunner(() => this.#scan());
  readonly #watches = new DirectoryWatches(() => this.#scans.mark('scan'));
  readonly #backoff = new Backoff(retryDelays);
  readonly #wakes = new Map<string, () => void>();
  #wanted: ReadonlyMap<string, string> = new Map();
  readonly #registered = new Map<string, Registered>();
  /** Registrations in progress, to be cut off when their socket goes. */
  readonly #turns = new Map<string, AbortController>();
  #isBlind = false;
  #running: AbortSignal = AbortSignal.abort();

  constructor(need: PluginsNeed) {
    this.#need = need;
    this.#registry = join(need.rootDir, 'plugins_registry');
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#running = signal;
    await mkdir(this.#registry, { recursive: true, mode: 0o750 });
    while (!signal.aborted) {
      this.#scans.mark('scan');
      await this.#need.clock.sleep(this.#isBlind ? blindScanPeriodMs : scanPeriodMs, signal);
    }
    await this.#scans.whenIdle();
    this.#watches.close();
    for (const turn of this.#turns.values()) turn.abort(signal.reason);
    for (const cancel of this.#wakes.values()) cancel();
    await this.#runner.whenIdle();
  }

  /** Never rejects: the runner counts on it. */
  async #scan(): Promise<void> {
    try {
      let watched = { isNew: true, isBlind: false };
      while (watched.isNew && !this.#running.aborted) {
        const { sockets, directories } = await findSockets(this.#registry);
        this.#take(sockets);
        if (this.#running.aborted) return;
        watched = this.#watches.set(directories);
        this.#isBlind = watched.isBlind;
      }
    } catch (err) {
      this.#isBlind = true;
      this.#need.log.warn({ reason: describeError(err), directory: this.#registry }, 'cannot look for plugins');
    }
  }

  #take(sockets: ReadonlyMap<string, string>): void {
    const before = this.#wanted;
    this.#wanted = sockets;
    for (const socket of new Set([...before.keys(), ...sockets.keys()])) {
      if (before.get(socket) === sockets.get(socket)) continue;
      this.#turns.get(socket)?.abort(new Error(`socket "${socket}" is gone`));
      this.#backoff.reset(socket);
      this.#mark(socket);
    }
  }

  #mark(socket: string): void {
    this.#wakes.get(socket)?.();
    this.#wakes.delete(socket);
    if (!this.#running.aborted) this.#runner.mark(socket);
  }

  /** Brings one socket nearer to what it should be. Never rejects. */
  async #turn(socket: string): Promise<void> {
    const { clock, log } = this.#need;
    const turn = new AbortController();
    this.#turns.set(socket, turn);
    try {
      const identity = this.#wanted.get(socket);
      const known = this.#registered.get(socket);
      if (known !== undefined && known.identity !== identity) await this.#deregister(socket, known, turn.signal);
      if (identity !== undefined && !this.#registered.has(socket)) await this.#register(socket, identity, turn.signal);
      this.#backoff.reset(socket);
    } catch (err) {
      if (this.#running.aborted) return;
      if (!this.#wanted.has(socket) && !this.#registered.has(socket)) return; // gone meanwhile
      const delayMs = this.#backoff.next(socket, clock.nowMs());
      log.warn({ socket, delayMs, reason: describeError(err) }, 'cannot register a plugin, will retry');
      this.#wakes.set(
        socket,
        clock.after(delayMs, () => this.#mark(socket)),
      );
    } finally {
      this.#turns.delete(socket);
    }
  }

  async #deregister(socket: string, { plugin, handler }: Registered, signal: AbortSignal): Promise<void> {
    await handler.deregister(plugin, signal);
    this.#registered.delete(socket);
    this.#need.log.info({ socket, plugin: plugin.name }, 'plugin is gone');
  }

  async #register(socket: string, identity: string, signal: AbortSignal): Promise<void> {
    using connection = await this.#need.connect(socket, signal);
    const info = await connection.info(signal);
    const refuse = async (error: string): Promise<never> => {
      await connection.notify(error, signal).catch((cause: unknown) => {
        throw new Error(error, { cause });
      });
      throw new Error(error);
    };
    const handler = Object.hasOwn(this.#need.handlers, info.type) ? this.#need.handlers[info.type] : undefined;
    if (handler === undefined) {
      const type = info.type.slice(0, 64);
      return await refuse(`RegisterPlugin error -- no handler registered for plugin type: ${type} at socket ${socket}`);
    }
    const plugin = {
      name: info.name,
      endpoint: info.endpoint === '' ? socket : info.endpoint,
      versions: info.versions,
    };
    try {
      checkPlugin(plugin);
      handler.validate(plugin);
    } catch (err) {
      return await refuse(`RegisterPlugin error -- plugin validation failed with err: ${describeError(err)}`);
    }
    try {
      await handler.register(plugin, signal);
    } catch (err) {
      return await refuse(`RegisterPlugin error -- plugin registration failed with err: ${describeError(err)}`);
    }
    this.#registered.set(socket, { identity, plugin, handler });
    this.#need.log.info({ socket, plugin: plugin.name, type: info.type }, 'plugin is registered');
    try {
      await connection.notify(undefined, signal);
    } catch (cause) {
      // it is registered nevertheless; a plugin that wants to know comes again with a new socket
      const message = `RegisterPlugin error -- failed to send registration status at socket ${socket}`;
      this.#need.log.warn(
        { reason: describeError(new Error(message, { cause })) },
        'a plugin was not told that it is registered',
      );
    }
  }
}
