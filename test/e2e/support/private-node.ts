/**
 * A machine for one test: own network, mounts and processes, with its own `/run` and `/var`, files in one temporary
 * folder. Everything in it ends with its init; the host sees nothing of it but that folder.
 */
import { closeSync, openSync } from 'node:fs';
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
import { nodePrefix, removeSystemdGroups, startSystemd } from './systemd-init.ts';

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
  readonly #hasSystemd: boolean;
  readonly #onExit: () => void;

  private constructor(directory: string, init: ProcessId, hasSystemd: boolean) {
    this.directory = directory;
    this.init = init;
    this.#hasSystemd = hasSystemd;
    this.#onExit = () => process.kill(init.pid, 'SIGKILL');
    process.on('exit', this.#onExit);
  }

  /** @param options.hasSystemd its init is a real systemd, with control groups of its own */
  static async open({ hasSystemd = false } = {}): Promise<PrivateNode> {
    await endForsaken();
    const directory = await mkdtemp(join(tmpdir(), nodePrefix));
    const logPath = join(directory, 'init.log');
    const env = { [ownerVariable]: String(process.pid) };
    const unshare = hasSystemd
      ? await withLog(logPath, (fd) => startSystemd(directory, env, fd))
      : startNamespaces({ env, logPath });
    const program = hasSystemd ? 'systemd' : initProgram;
    const init = await waitForChild(unshare, program, startTimeoutMs, systemClock, never);
    if (init === undefined) {
      if (hasSystemd) await removeSystemdGroups(directory);
      throw new Error(`Cannot make a test node: ${await readFile(logPath, 'utf8')}`);
    }
    const node = new PrivateNode(directory, init, hasSystemd);
    try {
      await mkdir(join(directory, 'var', 'log'), { recursive: true });
      await mkdir(join(directory, 'var', 'tmp'), { recursive: true });
      if (!hasSystemd) await node.run(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'gantry-run', '/run']);
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
    return runInside(this.init.pid, [...this.#enter(), ...command], options, never);
  }

  /** Starts a process; its output goes to `<name>.log` in the node's folder. */
  async spawn(name: string, command: readonly string[], env: Record<string, string> = {}): Promise<NodeProcess> {
    const logPath = join(this.directory, `${name}.log`);
    const variables = { ...env, [ownerVariable]: String(process.pid) };
    const nsenter = spawnInside(this.init.pid, [...this.#enter(), ...command], variables, logPath);
    const id = await waitForChild(nsenter, undefined, startTimeoutMs, systemClock, never);
    if (id === undefined) throw new Error(`Cannot start ${name}: ${await readFile(logPath, 'utf8')}`);
    return { id, logPath };
  }

  /** The words before a command that enter the namespaces that other nodes have in common with the host. */
  #enter(): string[] {
    return this.#hasSystemd ? ['nsenter', '--target', '1', '--cgroup', '--ipc', '--'] : [];
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
    if (this.#hasSystemd) await removeSystemdGroups(this.directory);
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

async function withLog<T>(path: string, work: (fd: number) => Promise<T>): Promise<T> {
  const fd = openSync(path, 'a', 0o640);
  try {
    return await work(fd);
  } finally {
    closeSync(fd);
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
