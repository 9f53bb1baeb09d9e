/**
 * A machine for one test: own network, mounts and processes, with its own `/run` and `/var`, files in one temporary
 * folder. Everything in it ends with its init; the host sees nothing of it but that folder.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initProgram, runInside, spawnInside, startNamespaces } from '../../../src/adapters/namespaces/namespaces.ts';
import {
  type ProcessId,
  findByEnvironment,
  identifyProcess,
  isRunning,
  signalProcess,
  waitForChild,
  waitUntilGone,
} from '../../../src/adapters/process-table/process-table.ts';
import type { RunResult } from '../../../src/adapters/processes/processes.ts';
import { systemClock } from '../../../src/base/clock.ts';

/** Its value is the pid of the process that made the node: nodes of processes that are gone are ended. */
const ownerVariable = 'GANTRY_TEST_NODE_OWNER';
const startTimeoutMs = 10_000;
const stopTimeoutMs = 10_000;
const never = new AbortController().signal;

export interface NodeProcess {
  /** As the host sees it. */
  id: ProcessId;
  logPath: string;
}

export class PrivateNode {
  /** Seen by the host and from inside under the same path. */
  readonly directory: string;
  readonly init: ProcessId;
  readonly #onExit: () => void;

  private constructor(directory: string, init: ProcessId) {
    this.directory = directory;
    this.init = init;
    this.#onExit = () => process.kill(init.pid, 'SIGKILL');
    process.on('exit', this.#onExit);
  }

  static async open(): Promise<PrivateNode> {
    await endForsaken();
    const directory = await mkdtemp(join(tmpdir(), 'gantry-node-'));
    const logPath = join(directory, 'init.log');
    const env = { [ownerVariable]: String(process.pid) };
    const unshare = startNamespaces({ env, logPath });
    const init = await waitForChild(unshare, initProgram, startTimeoutMs, systemClock, never);
    if (init === undefined) {
      throw new Error(`Cannot make a test node: ${await readFile(logPath, 'utf8')}`);
    }
    const node = new PrivateNode(directory, init);
    try {
      await mkdir(join(directory, 'var', 'log'), { recursive: true });
      await mkdir(join(directory, 'var', 'tmp'), { recursive: true });
      await node.run(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'gantry-run', '/run']);
      await node.run(['mount', '--bind', '--make-shared', join(directory, 'var'), '/var']);
      await node.run(['ip', 'link', 'set', 'lo', 'up']);
    } catch (err) {
      await node.close();
      throw err;
    }
    return node;
  }

  /** @throws {CommandError} */
  run(command: readonly string[], input?: string, timeoutMs = 60_000): Promise<RunResult> {
    const options = input === undefined ? { timeoutMs } : { input, timeoutMs };
    return runInside(this.init.pid, command, options, never);
  }

  /** Starts a process; its output goes to `<name>.log` in the node's folder. */
  async spawn(name: string, command: readonly string[], env: Record<string, string> = {}): Promise<NodeProcess> {
    const logPath = join(this.directory, `${name}.log`);
    const nsenter = spawnInside(this.init.pid, command, { ...env, [ownerVariable]: String(process.pid) }, logPath);
    const id = await waitForChild(nsenter, undefined, startTimeoutMs, systemClock, never);
    if (id === undefined) throw new Error(`Cannot start ${name}: ${await readFile(logPath, 'utf8')}`);
    return { id, logPath };
  }

  /** Asks a process to end and waits for it; kills it when it does not. */
  async stop({ id }: NodeProcess, signalName: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!(await signalProcess(id, signalName))) return;
    if (await waitUntilGone(id, stopTimeoutMs, systemClock, never)) return;
    await signalProcess(id, 'SIGKILL');
    await waitUntilGone(id, stopTimeoutMs, systemClock, never);
  }

  /** Ends everything inside and removes the folder. */
  async close(): Promise<void> {
    process.off('exit', this.#onExit);
    await signalProcess(this.init, 'SIGKILL');
    if (!(await waitUntilGone(this.init, stopTimeoutMs, systemClock, never))) {
      throw new Error(`Cannot end test node ${this.init.pid}`);
    }
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

/** Kills nodes whose maker was killed before it could. */
async function endForsaken(): Promise<void> {
  for (const { pid, startTicks, value } of await findByEnvironment(ownerVariable)) {
    if ((await identifyProcess(Number(value))) !== undefined) continue;
    const id = { pid, startTicks };
    if (await isRunning(id)) await signalProcess(id, 'SIGKILL');
  }
}
