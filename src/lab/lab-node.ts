/**
 * A node of a lab: namespaces with an init, and processes in them. Owns how these are started, recorded and found
 * again; what runs in them is decided by the actions.
 */
import { readFile } from 'node:fs/promises';
import {
  enterForShell,
  initProgram,
  runInside,
  spawnInside,
  startNamespaces,
} from '../adapters/namespaces/namespaces.ts';
import { identifyProcess, isListening, isRunning, waitForChild } from '../adapters/process-table/process-table.ts';
import type { ProcessId } from '../adapters/process-table/process-table.ts';
import type { RunResult } from '../adapters/processes/processes.ts';
import type { Clock } from '../base/clock.ts';
import { logPath, recordProcess } from './cluster-state.ts';
import type { ClusterPaths } from './cluster-state.ts';

/** Every process of a lab has this variable; its value is the cluster's directory. What carries it is the lab's. */
export const clusterVariable = 'GANTRY_LAB_CLUSTER';
const nodeVariable = 'GANTRY_LAB_NODE';
const componentVariable = 'GANTRY_LAB_COMPONENT';

/** Forking and mounting /proc: milliseconds, but the machine may be busy. */
const startTimeoutMs = 10_000;
const pollMs = 5;
const logTailLines = 20;

export class LabNode {
  readonly name: string;
  readonly init: ProcessId;
  readonly #paths: ClusterPaths;
  readonly #clock: Clock;

  constructor(name: string, init: ProcessId, paths: ClusterPaths, clock: Clock) {
    this.name = name;
    this.init = init;
    this.#paths = paths;
    this.#clock = clock;
  }

  /** New namespaces, with nothing in them but the init. */
  static async start(name: string, paths: ClusterPaths, clock: Clock, signal: AbortSignal): Promise<LabNode> {
    const log = logPath(paths, name, 'init');
    const env = { [clusterVariable]: paths.dir, [nodeVariable]: name, [componentVariable]: 'init' };
    const init = await waitForChild(startNamespaces({ env, logPath: log }), initProgram, startTimeoutMs, clock, signal);
    signal.throwIfAborted();
    if (init === undefined) throw new Error(`Cannot make namespaces for "${name}": ${await logTail(log)}`);
    await recordProcess(paths, { node: name, component: 'init', id: init, command: [initProgram] });
    return new LabNode(name, init, paths, clock);
  }

  /** Runs a command in the node to its end. @throws {CommandError} */
  run(command: readonly string[], signal: AbortSignal, input?: string): Promise<RunResult> {
    return runInside(this.init.pid, command, input === undefined ? {} : { input }, signal);
  }

  /** Starts a process that outlives us, and records it. */
  async spawn(component: string, command: readonly string[], signal: AbortSignal): Promise<ProcessId> {
    const log = logPath(this.#paths, this.name, component);
    const env = { [clusterVariable]: this.#paths.dir, [nodeVariable]: this.name, [componentVariable]: component };
    const nsenter = spawnInside(this.init.pid, command, env, log);
    const id = await waitForChild(nsenter, undefined, startTimeoutMs, this.#clock, signal);
    signal.throwIfAborted();
    if (id === undefined) {
      throw new Error(
        `Cannot start ${component} on "${this.name}": ${await logTail(log)} (${enterForShell(this.init.pid, command)})`,
      );
    }
    await recordProcess(this.#paths, { node: this.name, component, id, command });
    return id;
  }

  /** Waits until `isReady` says so. @throws {Error} with the end of its log when the process ends before */
  async waitFor(component: string, id: ProcessId, isReady: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    for (;;) {
      if (await isReady()) return;
      if (!(await isRunning(id))) {
        const log = logPath(this.#paths, this.name, component);
        throw new Error(`${component} on "${this.name}" ended too early; the end of ${log}:\n${await logTail(log)}`);
      }
      await this.#clock.sleep(pollMs, signal);
      signal.throwIfAborted();
    }
  }

  /** Waits until a process listens on a TCP port of the node. */
  waitForPort(component: string, id: ProcessId, port: number, signal: AbortSignal): Promise<void> {
    return this.waitFor(component, id, () => isListening(this.init.pid, port), signal);
  }
}

/** The node's init, when it still runs. */
export async function findInit(id: ProcessId): Promise<ProcessId | undefined> {
  return (await isRunning(id)) ? identifyProcess(id.pid) : undefined;
}

/** The last lines of a log: what a person would look at first. */
export async function logTail(path: string): Promise<string> {
  try {
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    return lines.slice(-logTailLines).join('\n') || 'it said nothing';
  } catch (err) {
    return `its log cannot be read: ${err instanceof Error ? err.message : String(err)}`; // the caller reports the real failure
  }
}
