/**
 * A lab for a test file: made by the program itself, in a state directory of its own, used through the real `kubectl`.
 * When a test fails, the lab's logs are exported before it is deleted, and the test run says where to.
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';

export interface CommandOutcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface TestLabOptions {
  nodes?: number;
  /** Without a name service when it is left out: its image is large. */
  hasClusterDns?: boolean;
  /** More flags of `gantry lab create`. */
  flags?: readonly string[];
}

const never = new AbortController().signal;
export const mainFile = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const commandTimeoutMs = 120_000;
const outputMaxBytes = 64 * 1024 * 1024;
let labsMade = 0;

export class TestLab {
  readonly name = `t${process.pid}-${++labsMade}`;
  #stateRoot: string | undefined;
  readonly #options: TestLabOptions;

  constructor(options: TestLabOptions = {}) {
    this.#options = options;
  }

  /** Made when it is first asked for: a suite that is skipped leaves nothing. */
  get stateRoot(): string {
    this.#stateRoot ??= mkdtempSync(join(tmpdir(), 'gantry-e2e-'));
    return this.#stateRoot;
  }

  /** Everything of the lab on disk. */
  get directory(): string {
    return join(this.stateRoot, this.name);
  }

  get kubeconfig(): string {
    return join(this.directory, 'kubeconfig');
  }

  nodeName(index: number): string {
    if (index === 0) return `${this.name}-control-plane`;
    return `${this.name}-worker${index > 1 ? index : ''}`;
  }

  /** Runs `gantry …` in this lab's state directory, whatever its exit code. */
  gantry(...args: string[]): Promise<CommandOutcome> {
    return runCommand(process.execPath, [mainFile, ...args], this.#env());
  }

  /** Starts `gantry …` without waiting for it. */
  startGantry(...args: string[]): ChildProcess {
    return spawn(process.execPath, [mainFile, ...args], { env: this.#env(), stdio: 'ignore' });
  }

  createFlags(): string[] {
    const { nodes = 1, hasClusterDns = false, flags = [] } = this.#options;
    return ['--name', this.name, '--nodes', String(nodes), ...(hasClusterDns ? [] : ['--no-cluster-dns']), ...flags];
  }

  async create(): Promise<string> {
    return succeed('lab create', await this.gantry('lab', 'create', ...this.createFlags()));
  }

  /** Also after a create that failed. The state directory goes with it. */
  async delete(): Promise<void> {
    succeed('lab delete', await this.gantry('lab', 'delete', '--name', this.name));
    rmSync(this.stateRoot, { recursive: true, force: true });
  }

  /** @throws {Error} with what kubectl said when it fails */
  async kubectl(...args: string[]): Promise<string> {
    return succeed(`kubectl ${args.join(' ')}`, await this.tryKubectl(...args));
  }

  tryKubectl(...args: string[]): Promise<CommandOutcome> {
    return runCommand('kubectl', ['--kubeconfig', this.kubeconfig, ...args], this.#env());
  }

  /** Starts kubectl without waiting for it, e.g. `logs -f` or `port-forward`; the caller ends it. */
  startKubectl(...args: string[]): ChildProcess {
    return spawn('kubectl', ['--kubeconfig', this.kubeconfig, ...args], { env: this.#env() });
  }

  /** `kubectl … -o json`, parsed; the caller says what it is. */
  async kubectlJson<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl(...args, '-o', 'json')) as T;
  }

  /** Applies manifests from text. */
  async apply(manifest: string): Promise<string> {
    const outcome = await runCommand(
      'kubectl',
      ['--kubeconfig', this.kubeconfig, 'apply', '-f', '-'],
      this.#env(),
      manifest,
    );
    return succeed('kubectl apply', outcome);
  }

  /** Runs a command on a node. @throws {Error} when it fails */
  async onNode(index: number, ...command: string[]): Promise<string> {
    const args = ['lab', 'exec', '--name', this.name, '--node', this.nodeName(index), '--', ...command];
    return succeed(command.join(' '), await this.gantry(...args));
  }

  /** Ends one process of a node, e.g. `agent`, `containerd`, `etcd`; `SIGKILL` for a crash. */
  async stop(index: number, component: string, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const args = ['lab', 'stop', component, '--name', this.name, '--node', this.nodeName(index), '--signal', signal];
    succeed(args.join(' '), await this.gantry(...args));
  }

  async start(index: number, component: string): Promise<void> {
    const args = ['lab', 'start', component, '--name', this.name, '--node', this.nodeName(index)];
    succeed(args.join(' '), await this.gantry(...args));
  }

  /** @returns the directory */
  async exportLogs(): Promise<string> {
    const directory = mkdtempSync(join(tmpdir(), `gantry-logs-${this.name}-`));
    await this.gantry('lab', 'export-logs', '--name', this.name, directory);
    return directory;
  }

  #env(): NodeJS.ProcessEnv {
    return { ...process.env, GANTRY_LAB_ROOT: this.stateRoot };
  }
}

/** A lab that lives as long as the surrounding suite. */
export function useLab(options: TestLabOptions = {}): TestLab {
  const lab = new TestLab(options);
  let hasFailed = false;
  beforeAll(async () => {
    hasFailed = true; // until it is made
    await lab.create();
    hasFailed = false;
  });
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') hasFailed = true;
  });
  afterAll(async () => {
    if (hasFailed) process.stderr.write(`logs of the lab: ${await lab.exportLogs()}\n`);
    await lab.delete();
  });
  return lab;
}

/**
 * Asks until the answer is neither undefined nor an error.
 * @throws {Error} with the last error when `timeoutMs` has passed
 */
export async function eventually<T>(what: string, timeoutMs: number, ask: () => Promise<T | undefined>): Promise<T> {
  const endMs = systemClock.monotonicMs() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (err) {
      last = err;
    }
    if (systemClock.monotonicMs() > endMs)
      throw new Error(`${what} did not happen within ${timeoutMs / 1000}s`, { cause: last });
    await systemClock.sleep(100, never);
  }
}

export function runCommand(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  input = '',
): Promise<CommandOutcome> {
  return new Promise((resolve) => {
    const options = { env, timeout: commandTimeoutMs, maxBuffer: outputMaxBytes };
    const child = execFile(file, args, options, (err, stdout, stderr) => {
      const code = err === null ? 0 : typeof err.code === 'number' ? err.code : 1;
      resolve({ code, stdout, stderr: err === null || stderr !== '' ? stderr : err.message });
    });
    child.stdin?.on('error', () => {}); // a command that does not read its input is not our failure
    child.stdin?.end(input);
  });
}

export function succeed(what: string, { code, stdout, stderr }: CommandOutcome): string {
  if (code !== 0) throw new Error(`\`${what}\` exited with code ${code}: ${stderr.trim() || stdout.trim()}`);
  return stdout;
}
