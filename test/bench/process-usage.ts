/** What a process uses, from /proc: processor time, resident memory, wake-ups. */
import { readFile, readdir } from 'node:fs/promises';
import { systemClock } from '../../src/base/clock.ts';

export interface Usage {
  atMs: number;
  /** User and system time of all threads so far. */
  cpuSeconds: number;
  rssBytes: number;
  /** Voluntary context switches of all threads so far: each is a wake-up later. */
  wakeUps: number;
}

/** USER_HZ, which /proc counts in on every Linux. */
const ticksPerSecond = 100;

export async function readUsage(pid: number): Promise<Usage> {
  const [stat, status, threads] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile(`/proc/${pid}/status`, 'utf8'),
    readdir(`/proc/${pid}/task`),
  ]);
  const switches = await Promise.all(
    threads.map(async (thread) => {
      const text = await readFile(`/proc/${pid}/task/${thread}/status`, 'utf8').catch(() => ''); // it has just ended
      return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(text)?.[1] ?? 0);
    }),
  );
  return {
    atMs: systemClock.monotonicMs(),
    cpuSeconds: parseCpuSeconds(stat),
    rssBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024,
    wakeUps: switches.reduce((sum, count) => sum + count, 0),
  };
}

/** Fields 14 and 15 of /proc/PID/stat; the name before them may hold anything. */
export function parseCpuSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export interface UsageBetween {
  seconds: number;
  cpuSeconds: number;
  /** Of one core, in percent. */
  cpuPercent: number;
  rssBytesEnd: number;
  wakeUpsPerSecond: number;
}

export function usageBetween(from: Usage, to: Usage): UsageBetween {
  const seconds = (to.atMs - from.atMs) / 1000;
  return {
    seconds,
    cpuSeconds: to.cpuSeconds - from.cpuSeconds,
    cpuPercent: (100 * (to.cpuSeconds - from.cpuSeconds)) / seconds,
    rssBytesEnd: to.rssBytes,
    wakeUpsPerSecond: (to.wakeUps - from.wakeUps) / seconds,
  };
}

/** The pid of a process as a process in its own namespace knows it: the last of `NSpid`. */
export async function innerPid(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^NSpid:.*?(\d+)$/m.exec(status)?.[1]);
}
