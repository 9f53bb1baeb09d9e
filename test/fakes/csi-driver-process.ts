/** The CSI driver of `test/e2e/csi-driver` as a process of its own, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HopelessError, awaitUntil } from '../await-until.ts';
import type { DriverConfig } from '../e2e/csi-driver/driver-config.ts';
import type { Control } from '../e2e/csi-driver/faults.ts';

export interface DriverCall {
  method: string;
  request?: Record<string, unknown>;
  answer?: Record<string, unknown>;
  error?: string;
}

/** Where the program runs. */
interface DriverPlace {
  /** What is started: Node.js, also in other namespaces than ours. */
  command: readonly [string, ...string[]];
  env?: NodeJS.ProcessEnv;
}

type Settings = Partial<DriverConfig> & { registry: string };

/** A program that starts on a machine that does ten things at once. */
const startTimeoutMs = 60_000;
const program = join(import.meta.dirname, '..', 'e2e', 'csi-driver', 'main.ts');

export class CsiDriverProcess {
  readonly config: DriverConfig;
  readonly #directory: string;
  readonly #place: DriverPlace;
  #process: ChildProcess | undefined;

  private constructor(directory: string, config: DriverConfig, place: DriverPlace) {
    this.#directory = directory;
    this.config = config;
    this.#place = place;
  }

  /** @param directory of the driver: made when it is missing. @param registry where plugins of the node are found */
  static async start(
    directory: string,
    { registry, ...settings }: Settings,
    place: DriverPlace = { command: [process.execPath] },
  ): Promise<CsiDriverProcess> {
    const name = settings.name ?? 'dir.csi.example';
    const driver = new CsiDriverProcess(
      directory,
      {
        name,
        nodeId: 'node-id',
        stateDir: join(directory, 'state'),
        socket: join(directory, 'csi.sock'),
        registrationSocket: join(registry, `${name}.sock`),
        versions: ['1.0.0'],
        capabilities: ['STAGE_UNSTAGE_VOLUME', 'GET_VOLUME_STATS', 'EXPAND_VOLUME'],
        callLog: join(directory, 'calls.jsonl'),
        controlFile: join(directory, 'control.json'),
        ...settings,
      },
      place,
    );
    await mkdir(driver.config.stateDir, { recursive: true });
    await driver.restart();
    return driver;
  }

  /** Starts it again, after it has ended or been stopped; also with other settings. */
  async restart(settings: Partial<DriverConfig> = {}): Promise<void> {
    Object.assign(this.config, settings);
    const before = (await this.calls()).filter(({ method }) => method === 'ready').length;
    const configFile = join(this.#directory, 'driver.json');
    await writeFile(configFile, JSON.stringify(this.config));
    const { command, env = process.env } = this.#place;
    const [file, ...args] = command;
    const child = spawn(file, [...args, program, configFile], { env, stdio: ['pipe', 'inherit', 'inherit'] });
    this.#process = child;
    const isServing = async (): Promise<boolean> => {
      if (child.exitCode !== null) throw new HopelessError(`the CSI driver has ended with ${child.exitCode}`);
      return (await this.calls()).filter(({ method }) => method === 'ready').length > before;
    };
    await awaitUntil('the CSI driver to serve', isServing, { timeoutMs: startTimeoutMs });
  }

  /** Waits until it has ended by itself. */
  async ended(): Promise<void> {
    const child = this.#process;
    if (child !== undefined && child.exitCode === null) await once(child, 'exit');
  }

  async stop(): Promise<void> {
    this.#process?.stdin?.end();
    await this.ended();
  }

  /** Switches faults on and off. */
  async control(control: Control): Promise<void> {
    const whole = `${this.config.controlFile}.new`;
    await writeFile(whole, JSON.stringify(control));
    await rename(whole, this.config.controlFile);
  }

  /** Everything that it was asked and has answered, oldest first. */
  async calls(): Promise<DriverCall[]> {
    const text = await readFile(this.config.callLog, 'utf8').catch(() => '');
    const lines = text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as DriverCall); // our own program's
  }

  /** What it was asked, by one method. */
  async requests(method: string): Promise<Array<Record<string, unknown>>> {
    return (await this.calls())
      .filter((call) => call.method === method)
      .flatMap(({ request }) => (request === undefined ? [] : [request]));
  }

  /** Makes a volume, as somebody who looks after the storage. */
  async addVolume(id: string): Promise<void> {
    await mkdir(join(this.config.stateDir, 'volumes', id), { recursive: true });
  }
}
