/**
 * Child processes. Argument vectors only, never a shell. The only file that imports execa.
 */
import { spawn } from 'node:child_process';
import { ExecaError, execa } from 'execa';

export interface RunOptions {
  /** Written to the child's standard input; nothing by default. */
  input?: string | Buffer;
  /** Adds to our environment; only these when `extendEnv` is false. */
  env?: Record<string, string>;
  extendEnv?: boolean;
  cwd?: string;
  /** The child gets SIGTERM, and SIGKILL 5 s later, when this has passed. */
  timeoutMs?: number;
  signal: AbortSignal;
}

export interface RunResult {
  stdout: string;
  stderr: string;
}

/** A command that could not be started, ended with another code than 0, or was killed. Prints as a line for a shell. */
export class CommandError extends Error {
  override name = 'CommandError';
  readonly command: string;
  /** Undefined when it was killed or never started. */
  readonly exitCode: number | undefined;
  /** There is no such program. */
  readonly isMissing: boolean;
  readonly stdout: string;
  readonly stderr: string;
  constructor(
    command: string,
    what: string,
    exitCode: number | undefined,
    stdout: string,
    stderr: string,
    cause: unknown,
  ) {
    const said = stderr.trim() || stdout.trim();
    super(`\`${command}\` ${what}${said === '' ? '' : `: ${said.slice(-2000)}`}`, { cause });
    this.command = command;
    this.exitCode = exitCode;
    this.isMissing = cause instanceof ExecaError && cause.code === 'ENOENT';
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

/** Runs a command to its end and returns what it printed. @throws {CommandError} */
export async function runCommand(file: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const { input = '', env, extendEnv = true, cwd, timeoutMs, signal } = options;
  try {
    const { stdout, stderr } = await execa(file, [...args], {
      input,
      extendEnv,
      cancelSignal: signal,
      stripFinalNewline: false,
      maxBuffer: 256 * 1024 * 1024,
      ...(env === undefined ? {} : { env }),
      ...(cwd === undefined ? {} : { cwd }),
      ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
    });
    return { stdout, stderr };
  } catch (err) {
    if (!(err instanceof ExecaError)) throw err;
    const command = [file, ...args].map(quoteForShell).join(' ');
    const what = err.timedOut
      ? `took longer than ${(timeoutMs ?? 0) / 1000}s`
      : err.isCanceled
        ? 'was cancelled'
        : err.exitCode === undefined
          ? `could not be run (${err.code ?? err.signal ?? 'unknown'})`
          : `exited with code ${err.exitCode}`;
    throw new CommandError(command, what, err.exitCode, String(err.stdout ?? ''), String(err.stderr ?? ''), err);
  }
}

/** Starts a process that outlives us: own session, output appended to an open file. Returns its pid. */
export function spawnDetached(
  file: string,
  args: readonly string[],
  { env, cwd, outFd }: { env?: Record<string, string>; cwd?: string; outFd: number },
): number {
  const child = spawn(file, [...args], {
    detached: true,
    stdio: ['ignore', outFd, outFd],
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  child.on('error', () => {}); // a child without a pid is reported below
  if (child.pid === undefined) throw new Error(`Cannot start \`${[file, ...args].map(quoteForShell).join(' ')}\``);
  child.unref();
  return child.pid;
}

/** For messages only: a word as one would type it. */
export function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
