/**
 * Child processes. Argument vectors only, never a shell. The only file that imports execa.
 */
import { spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';
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

export interface StreamedCommand {
  /** Rejects with the signal's reason as soon as it aborts, or with a `CommandError` when there is no such program. */
  done: Promise<{ exitCode: number; stderr: string }>;
  isRunning(): boolean;
}

const stderrMax = 4096;

/**
 * Runs a command that others' work must not wait for: with the lowest priority, and its output is given away as it comes.
 * When `signal` aborts it is killed and forgotten at once, for it may hang in the kernel, where no signal reaches it.
 */
export function streamCommand(
  file: string,
  args: readonly string[],
  onOutput: (piece: Buffer) => void,
  signal: AbortSignal,
): StreamedCommand {
  signal.throwIfAborted();
  const child = spawn(file, [...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' } });
  const { promise, resolve, reject } = Promise.withResolvers<{ exitCode: number; stderr: string }>();
  let stderr = '';
  const onAbort = (): void => {
    child.kill('SIGKILL');
    child.stdout.destroy();
    child.stderr.destroy();
    child.unref();
    reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  child.stdout.on('data', onOutput);
  child.stderr.on('data', (piece: Buffer) => {
    if (stderr.length < stderrMax) stderr += piece.toString('utf8');
  });
  child.once('error', (cause) => {
    signal.removeEventListener('abort', onAbort);
    reject(new CommandError(file, 'could not be run', undefined, '', '', cause));
  });
  child.once('close', (code, killed) => {
    signal.removeEventListener('abort', onAbort);
    if (code === null) reject(new CommandError(file, `was ended by ${killed}`, undefined, '', stderr, undefined));
    else resolve({ exitCode: code, stderr });
  });
  if (child.pid !== undefined) setLowestPriority(child.pid);
  return {
    done: promise,
    isRunning: () => child.pid !== undefined && child.exitCode === null && child.signalCode === null,
  };
}

function setLowestPriority(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // it has ended already
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
