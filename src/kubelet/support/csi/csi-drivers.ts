/**
 * The drivers of this node, by name: who serves a volume, and on which socket. A driver is in the table from the moment
 * that it is registered until its socket goes; its volumes stay as they are meanwhile.
 */
import { goQuote } from '../../../base/go-quote.ts';
import type { CsiNodeInfo } from '../../../adapters/csi/csi.ts';
import { describeError } from '../../../base/errors.ts';
import { aborted } from '../../../base/run-together.ts';
import { earlyFailure, says, wordsOf } from './csi-failure.ts';
import type { CsiNeed } from './csi-need.ts';
import { isDriverName } from './csi-paths.ts';
import { type DriverVersion, compareVersions, highestVersion, showVersion } from './driver-version.ts';
import type { NodeInfo } from './node-info.ts';

interface Driver {
  socket: string;
  version: DriverVersion;
  /** When its limits are to be asked for again. */
  nextLookMs: number;
}

/** A plugin as whoever found it describes it. */
interface FoundDriver {
  name: string;
  endpoint: string;
  versions: readonly string[];
}

/** Limits are asked for again after 10 s at the earliest: what the API allows. */
const lookPeriodMs = 10_000;

export class CsiDrivers {
  readonly #need: Pick<CsiNeed, 'csi' | 'api' | 'onDriver' | 'clock' | 'log'>;
  readonly #nodeInfo: NodeInfo | undefined;
  readonly #drivers = new Map<string, Driver>();
  #onFirst: () => void = () => {};

  constructor(nodeInfo: NodeInfo | undefined, need: Pick<CsiNeed, 'csi' | 'api' | 'onDriver' | 'clock' | 'log'>) {
    this.#nodeInfo = nodeInfo;
    this.#need = need;
  }

  /** The socket of a driver. @throws {CsiFailure} beginning with `what` when there is none */
  socketOf(name: string, what: string): string {
    const driver = this.#drivers.get(name);
    if (driver !== undefined) return driver.socket;
    throw earlyFailure(says(`${what}: driver name ${name} not found in the list of registered CSI drivers`));
  }

  // ---- for whoever finds plugins

  validate(found: FoundDriver): void {
    this.#check('RegisterPlugin', found);
  }

  async register(found: FoundDriver, signal: AbortSignal): Promise<void> {
    const { name, endpoint: socket } = found;
    if (this.#nodeInfo === undefined) throw new Error(says('this kubelet has no API server to make a driver known to'));
    const version = this.#check('RegisterPlugin', found);
    const driver = { socket, version, nextLookMs: 0 };
    this.#drivers.set(name, driver);
    try {
      await this.#nodeInfo.install(name, await this.#infoOf(socket, signal), signal);
    } catch (err) {
      if (this.#drivers.get(name) === driver) this.#drivers.delete(name);
      throw new Error(wordsOf(err), { cause: err });
    }
    this.#onFirst();
    this.#need.onDriver(name);
  }

  async deregister({ name, endpoint }: FoundDriver, signal: AbortSignal): Promise<void> {
    const driver = this.#drivers.get(name);
    if (driver !== undefined && driver.socket !== endpoint) return; // another one has its name by now
    this.#drivers.delete(name);
    await this.#nodeInfo?.uninstall(name, signal);
  }

  async #infoOf(socket: string, signal: AbortSignal): Promise<CsiNodeInfo> {
    return await this.#need.csi.nodeInfo(socket, signal);
  }

  /** @returns the version that it is to be spoken to with. @throws {Error} in upstream's words */
  #check(caller: string, { name, versions }: FoundDriver): DriverVersion {
    const failed = `${caller} for CSI driver ${goQuote(name)} failed.`;
    if (!isDriverName(name)) throw new Error(says(`${failed} It is no name of a CSI driver`));
    if (versions.length === 0) {
      throw new Error(says(`${failed} Plugin returned an empty list for supported versions`));
    }
    let version: DriverVersion;
    try {
      version = highestVersion(versions);
    } catch (err) {
      const named = `[${versions.map(goQuote).join(' ')}]`;
      throw new Error(
        says(`${failed} None of the versions specified ${named} are supported. err=${describeError(err)}`),
      );
    }
    const existing = this.#drivers.get(name);
    if (existing !== undefined && compareVersions(existing.version, version) >= 0) {
      const other = 'Another driver with the same name is already registered with a higher supported version';
      throw new Error(says(`${failed} ${other}: ${goQuote(showVersion(existing.version))}`));
    }
    return version;
  }

  // ---- limits that change

  /** Asks drivers that want it for their limits, again and again. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#need;
    const first = new Promise<void>((resolve) => (this.#onFirst = resolve));
    if (this.#drivers.size === 0) await Promise.race([first, aborted(signal)]);
    while (!signal.aborted) {
      await Promise.all([...this.#drivers].map(([name, driver]) => this.#look(name, driver, signal)));
      await clock.sleep(lookPeriodMs, signal);
    }
  }

  async #look(name: string, driver: Driver, signal: AbortSignal): Promise<void> {
    const { api, clock } = this.#need;
    const seconds = api?.cachedDriver(name)?.spec.nodeAllocatableUpdatePeriodSeconds ?? 0;
    const nowMs = clock.monotonicMs();
    if (seconds <= 0 || nowMs < driver.nextLookMs) return;
    const isFirst = driver.nextLookMs === 0;
    driver.nextLookMs = nowMs + seconds * 1000;
    if (!isFirst) await this.#ask(name, driver, signal); // else it has just been asked
  }

  /** Asks a driver for its limits out of turn. What fails is only logged: its next turn comes. */
  async lookNow(name: string, signal: AbortSignal): Promise<void> {
    const driver = this.#drivers.get(name);
    if (driver !== undefined) await this.#ask(name, driver, signal);
  }

  async #ask(name: string, driver: Driver, signal: AbortSignal): Promise<void> {
    const { log } = this.#need;
    try {
      const info = await this.#infoOf(driver.socket, signal);
      if (this.#drivers.get(name) === driver) await this.#nodeInfo?.install(name, info, signal);
    } catch (err) {
      if (!signal.aborted)
        log.warn({ driver: name, reason: wordsOf(err) }, 'cannot bring the limits of a driver up to date');
    }
  }
}
