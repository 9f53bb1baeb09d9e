/**
 * A set of Linux namespaces (network, mount, host name, processes) that lives as long as one process in it: its init.
 * Killing that init ends every process inside, and with them all mounts, interfaces and rules: nothing can stay behind.
 *
 * The init is Debian's `catatonit -P`, which also buries the orphans that container shims leave.
 */
import { openSync, closeSync } from 'node:fs';
import { quoteForShell, runCommand, spawnDetached } from '../processes/processes.ts';
import type { RunResult } from '../processes/processes.ts';

export interface NamespaceOptions {
  /** The only environment that the init gets: what it is found by. */
  env: Record<string, string>;
  /** What `unshare` says is appended here. */
  logPath: string;
}

export interface InsideOptions {
  input?: string;
  timeoutMs?: number;
}

/** What processes inside get to see of our environment: nothing but this. */
const basicEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
};

/** Starts namespaces and returns the pid of `unshare`, whose child is the init. Whoever starts them waits for that. */
export function startNamespaces({ env, logPath }: NamespaceOptions): number {
  const args = [
    '--net',
    '--mount',
    '--uts',
    '--pid',
    '--fork',
    '--mount-proc',
    '--propagation',
    'slave',
    'catatonit',
    '-P',
  ];
  return spawnClean('unshare', args, env, logPath);
}

/** The program that the init runs, as /proc/PID/comm has it. */
export const initProgram = 'catatonit';

/** The words before a command that make it run inside. */
export function enter(init: number): string[] {
  return ['nsenter', '--target', String(init), '--mount', '--uts', '--net', '--pid', '--'];
}

/** Runs a command inside to its end. @throws {CommandError} */
export async function runInside(
  init: number,
  command: readonly string[],
  { input, timeoutMs = 30_000 }: InsideOptions,
  signal: AbortSignal,
): Promise<RunResult> {
  const [file, ...args] = [...enter(init), ...command];
  return runCommand(file ?? '', args, {
    env: basicEnvironment,
    extendEnv: false,
    timeoutMs,
    signal,
    ...(input === undefined ? {} : { input }),
  });
}

/** Starts a process inside that outlives us. Returns the pid of `nsenter`, whose child it is. */
export function spawnInside(
  init: number,
  command: readonly string[],
  env: Record<string, string>,
  logPath: string,
): number {
  const [file, ...args] = [...enter(init), ...command];
  return spawnClean(file ?? '', args, env, logPath);
}

/** How a person would run it: for messages. */
export function enterForShell(init: number, command: readonly string[]): string {
  return [...enter(init), ...command].map(quoteForShell).join(' ');
}

/** The root directory of the namespaces as seen from outside. */
export function rootInside(init: number): string {
  return `/proc/${init}/root`;
}

/** With our basic environment and `env` only; output is appended to `logPath`. */
function spawnClean(file: string, args: readonly string[], env: Record<string, string>, logPath: string): number {
  const variables = Object.entries({ ...basicEnvironment, ...env }).map(([name, value]) => `${name}=${value}`);
  const fd = openSync(logPath, 'a', 0o640);
  try {
    return spawnDetached('env', ['--ignore-environment', ...variables, file, ...args], { cwd: '/', outFd: fd });
  } finally {
    closeSync(fd);
  }
}
