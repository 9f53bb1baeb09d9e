/**
 * The machine's processes as /proc shows them. A process is named by its pid *and* its start time, so that a pid that
 * was given to somebody else is never signalled.
 */
import { readFile, readdir } from 'node:fs/promises';
import type { Clock } from '../../base/clock.ts';

export interface ProcessId {
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  startTicks: string;
}

const pollMs = 2;

/** The process that has this pid now; undefined when there is none, or only its zombie. */
export async function identifyProcess(pid: number): Promise<ProcessId | undefined> {
  const stat = await readProcFile(pid, 'stat');
  if (stat === undefined) return undefined;
  const parsed = parseStat(stat);
  return parsed === undefined || parsed.state === 'Z' || parsed.state === 'X'
    ? undefined
    : { pid, startTicks: parsed.startTicks };
}

/** The command name may hold blanks and parentheses: what follows its last `)` is split. */
export function parseStat(stat: string): { state: string; startTicks: string } | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  const startTicks = fields[19];
  return state === undefined || startTicks === undefined ? undefined : { state, startTicks };
}

export async function isRunning(id: ProcessId): Promise<boolean> {
  return (await identifyProcess(id.pid))?.startTicks === id.startTicks;
}

/** @returns false when it was gone already */
export async function signalProcess(id: ProcessId, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isRunning(id))) return false;
  try {
    process.kill(id.pid, signal);
    return true;
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ESRCH') return false;
    throw new Error(`Cannot send ${signal} to process ${id.pid}`, { cause: err });
  }
}

/** Waits until the process has ended. @returns whether it has, before `timeoutMs` passed */
export async function waitUntilGone(
  id: ProcessId,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  const endMs = clock.monotonicMs() + timeoutMs;
  while (await isRunning(id)) {
    if (clock.monotonicMs() > endMs || signal.aborted) return false;
    await clock.sleep(pollMs, signal);
  }
  return true;
}

/** The first child of a process, as soon as it runs `program` (its name as /proc/PID/comm has it; any when undefined). */
export async function waitForChild(
  parent: number,
  program: string | undefined,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProcessId | undefined> {
  const endMs = clock.monotonicMs() + timeoutMs;
  while (clock.monotonicMs() <= endMs && !signal.aborted) {
    const children = await readProcFile(parent, `task/${parent}/children`);
    if (children === undefined) return undefined; // the parent has ended
    const pid = Number(children.trim().split(' ')[0]);
    if (pid > 0) {
      const comm = (await readProcFile(pid, 'comm'))?.trim();
      const id =
        comm !== undefined && (program === undefined || comm === program.slice(0, 15))
          ? await identifyProcess(pid)
          : undefined;
      if (id !== undefined) return id;
    }
    await clock.sleep(pollMs, signal);
  }
  return undefined;
}

/** Whether somebody in the network namespace of process `pid` listens on a TCP port. */
export async function isListening(pid: number, port: number): Promise<boolean> {
  const tables = await Promise.all([readProcFile(pid, 'net/tcp'), readProcFile(pid, 'net/tcp6')]);
  return tables.some((table) => listeningPorts(table ?? '').includes(port));
}

/** From /proc/net/tcp: the second column is `address:port` in hexadecimal, the fourth the state, 0A for "listens". */
export function listeningPorts(table: string): number[] {
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/);
    return state === '0A' ? [Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16)] : [];
  });
}

/** Every process that was started with an environment variable of this name, with the variable's value. */
export async function findByEnvironment(name: string): Promise<Array<ProcessId & { value: string }>> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const variables = (await readProcFile(pid, 'environ'))?.split('\0') ?? [];
      const variable = variables.find((entry) => entry.startsWith(`${name}=`));
      const id = variable === undefined ? undefined : await identifyProcess(pid);
      return variable === undefined || id === undefined ? [] : [{ ...id, value: variable.slice(name.length + 1) }];
    }),
  );
  return found.flat();
}

/** Undefined when the process has ended or is not ours to read. */
async function readProcFile(pid: number, name: string): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${pid}/${name}`, 'utf8');
  } catch (err) {
    const code = err instanceof Error && 'code' in err ? err.code : undefined;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return undefined;
    throw err;
  }
}
