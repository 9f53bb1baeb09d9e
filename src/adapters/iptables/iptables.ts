/**
 * The iptables tools of one IP family. Owns the calls: one at a time, each with the tools' own lock wait, argument
 * vectors only, large inputs streamed to the standard input. Promises text in, text out; knows no Kubernetes.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { NotFoundError, UnavailableError } from '../../base/errors.ts';
import { Semaphore } from '../../base/semaphore.ts';
import { CommandError, quoteForShell, runCommand } from '../processes/processes.ts';

export type IpTable = 'filter' | 'nat' | 'mangle';

/** Text of `iptables-restore`, in pieces of any length. Called again after a failure, to show the lines around it. */
export type RestoreInput = () => AsyncIterable<string> | Iterable<string>;

export interface IptablesOptions {
  family: 'IPv4' | 'IPv6';
  /** The longest that any call may take. */
  timeoutMs?: number;
}

/** Exit status of a tool that could not get the lock or some resource: the answer is unknown, not "no". */
const resourceProblem = 4;
/** Debian 11, Ubuntu 20.04 and all that came later are newer: from here on restore waits for the lock itself. */
const versionMin = [1, 6, 2] as const;
const stderrBytesMax = 64 * 1024;

/** A tool that ended with another code than 0. */
class ToolError extends Error {
  override name = 'ToolError';
  readonly exitCode: number | null;
  constructor(message: string, exitCode: number | null, options: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

export class Iptables {
  readonly #tool: 'iptables' | 'ip6tables';
  readonly #timeoutMs: number;
  readonly #turn = new Semaphore(1);

  constructor({ family, timeoutMs = 300_000 }: IptablesOptions) {
    this.#tool = family === 'IPv4' ? 'iptables' : 'ip6tables';
    this.#timeoutMs = timeoutMs;
  }

  /**
   * The tool's version and flavour, as it prints them: `v1.8.9 (nf_tables)`.
   * @throws {NotFoundError} when it is not installed @throws {Error} when it is too old
   */
  async version(signal: AbortSignal): Promise<string> {
    const { stdout } = await this.#run(this.#tool, ['--version'], signal);
    return supportedVersion(this.#tool, stdout);
  }

  /**
   * Whether the kernel and the tools serve this family's `nat` table.
   * @throws {CommandError} when that cannot be told: the lock is held for too long
   */
  async isUsable(signal: AbortSignal): Promise<boolean> {
    try {
      await this.version(signal);
      await this.#run(this.#tool, ['-w', '5', '-S', 'POSTROUTING', '-t', 'nat'], signal);
      return true;
    } catch (err) {
      if (signal.aborted || (err instanceof CommandError && err.exitCode === resourceProblem)) throw err;
      return false; // what is wrong with it shows when somebody insists on this family
    }
  }

  /** How many rules a chain has; undefined when there is no such chain. */
  async ruleCount(table: IpTable, chain: string, signal: AbortSignal): Promise<number | undefined> {
    let count = 0;
    try {
      const onLine = (line: string): void => {
        if (line.startsWith('-A ')) count++;
      };
      await this.#read(this.#tool, ['-w', '5', '-S', chain, '-t', table], onLine, signal);
      return count;
    } catch (err) {
      if (err instanceof ToolError && err.exitCode === 1) return undefined;
      throw err;
    }
  }

  /** Makes a chain; one that is there stays as it is. */
  async ensureChain(table: IpTable, chain: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#run(this.#tool, ['-w', '5', '-N', chain, '-t', table], signal);
    } catch (err) {
      if (!(err instanceof CommandError) || err.exitCode !== 1) throw err; // 1: it is there
    }
  }

  /** Adds a rule to a chain that does not have it. */
  async ensureRule(
    place: 'first' | 'last',
    table: IpTable,
    chain: string,
    rule: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const command = (operation: string): string[] => ['-w', '5', operation, chain, '-t', table, ...rule];
    try {
      await this.#run(this.#tool, command('-C'), signal);
    } catch (err) {
      if (!(err instanceof CommandError) || err.exitCode !== 1) throw err;
      await this.#run(this.#tool, command(place === 'first' ? '-I' : '-A'), signal);
    }
  }

  /** Deletes one rule. One that is not there is deleted. */
  async deleteRule(table: IpTable, chain: string, rule: readonly string[], signal: AbortSignal): Promise<void> {
    try {
      await this.#run(this.#tool, ['-w', '5', '-D', chain, '-t', table, ...rule], signal);
    } catch (err) {
      if (!(err instanceof CommandError) || err.exitCode === resourceProblem) throw err;
    }
  }

  /** Reads a table line by line, as `iptables-save` prints it, without holding all of it. */
  async save(table: IpTable, onLine: (line: string) => void, signal: AbortSignal): Promise<void> {
    await this.#read(`${this.#tool}-save`, ['-t', table], onLine, signal);
  }

  /** Applies `input` beside what is there (`--noflush`): all of a table or nothing of it. */
  async restore(input: RestoreInput, signal: AbortSignal): Promise<void> {
    const file = `${this.#tool}-restore`;
    const args = ['-w', '5', '--noflush', '--counters'];
    await this.#turn.with(signal, async () => {
      const child = this.#spawn(file, args, signal);
      child.stdout.resume();
      const failure = failureOf(child);
      // a tool that has found an error closes its input: its exit code says more than our broken pipe
      const written = pipeline(Readable.from(input()), child.stdin).catch((err: unknown) => err);
      const { code, stderr, error } = await failure;
      const writeError = await written;
      if (code !== 0) {
        throw this.#explain(file, args, code, `${stderr.trim()}${await linesAround(stderr, input)}`, error);
      }
      if (writeError !== undefined) {
        throw new Error(`Cannot write all rules to \`${file}\``, { cause: writeError });
      }
    });
  }

  async #read(
    file: string,
    args: readonly string[],
    onLine: (line: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#turn.with(signal, async () => {
      const child = this.#spawn(file, args, signal);
      child.stdin.end();
      const failure = failureOf(child);
      for await (const line of createInterface({ input: child.stdout })) onLine(line);
      const { code, stderr, error } = await failure;
      if (code !== 0) throw this.#explain(file, args, code, stderr, error);
    });
  }

  #spawn(file: string, args: readonly string[], signal: AbortSignal): ChildProcessWithoutNullStreams {
    return spawn(file, [...args], { stdio: 'pipe', signal, timeout: this.#timeoutMs });
  }

  async #run(file: string, args: readonly string[], signal: AbortSignal): Promise<{ stdout: string }> {
    try {
      return await this.#turn.with(signal, () => runCommand(file, args, { timeoutMs: this.#timeoutMs, signal }));
    } catch (err) {
      if (err instanceof CommandError && err.exitCode === undefined && !signal.aborted && isMissing(err)) {
        throw this.#notInstalled(file, err);
      }
      throw err;
    }
  }

  #explain(
    file: string,
    args: readonly string[],
    code: number | null,
    stderr: string,
    error: Error | undefined,
  ): Error {
    if (error !== undefined && 'code' in error && error.code === 'ENOENT') return this.#notInstalled(file, error);
    const command = [file, ...args].map(quoteForShell).join(' ');
    const said = stderr.trim() || error?.message || 'no message';
    const message = `\`${command}\` ${code === null ? 'was killed' : `exited with code ${code}`}: ${said}`;
    const options = error === undefined ? {} : { cause: error };
    return code === resourceProblem ? new UnavailableError(message, options) : new ToolError(message, code, options);
  }

  #notInstalled(file: string, cause: unknown): NotFoundError {
    return new NotFoundError(`Cannot run "${file}": it is not installed; run \`apt-get install iptables\``, { cause });
  }
}

function isMissing(err: CommandError): boolean {
  return err.cause instanceof Error && 'code' in err.cause && err.cause.code === 'ENOENT';
}

/** The version in what a tool prints of itself. @throws {Error} when it is too old */
export function supportedVersion(tool: string, printed: string): string {
  const text = /v\d.*/.exec(printed)?.[0].trim() ?? '';
  const numbers = (/v(\d+(?:\.\d+)+)/.exec(text)?.[1] ?? '').split('.').map(Number);
  if (!isOlder(numbers, versionMin)) return text;
  throw new Error(
    `Cannot use "${tool}": it is version "${text}", expected ${versionMin.join('.')} or newer; upgrade the package iptables`,
  );
}

function isOlder(version: readonly number[], than: readonly number[]): boolean {
  for (const [i, wanted] of than.entries()) {
    const has = version[i] ?? 0;
    if (has !== wanted) return has < wanted;
  }
  return false;
}

/** How a child ended. Never rejects. */
function failureOf(
  child: ChildProcessWithoutNullStreams,
): Promise<{ code: number | null; stderr: string; error: Error | undefined }> {
  let stderr = '';
  let error: Error | undefined;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, stderrBytesMax);
  });
  child.stdin.on('error', () => {}); // reported by the exit code
  return new Promise((resolve) => {
    child.on('error', (err) => {
      error = err;
      if (child.pid === undefined) resolve({ code: null, stderr, error });
    });
    child.on('close', (code) => resolve({ code, stderr, error }));
  });
}

/** The input's lines around the one that a restore tool complains of (`line 12 failed`), each on a line of its own. */
async function linesAround(stderr: string, input: RestoreInput): Promise<string> {
  const failed = Number(/line[: ]+(\d+)/i.exec(stderr)?.[1] ?? 0);
  if (failed === 0) return '';
  let lineNumber = 0;
  let rest = '';
  const shown: string[] = [];
  for await (const piece of input()) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      lineNumber++;
      if (Math.abs(lineNumber - failed) <= 3) shown.push(`${lineNumber}: ${line}`);
    }
    if (lineNumber > failed + 3) break;
  }
  return shown.length === 0 ? '' : `\n${shown.join('\n')}`;
}
