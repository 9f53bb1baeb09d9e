/** One call of a plugin's binary: request in, answer out, killed with its children when the time is over. */
import { spawn } from 'node:child_process';
import type { Clock } from '../../base/clock.ts';

export interface PluginRun {
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
}

/** A result is a few KB; a plugin that prints without end shall not fill our memory. */
const outputBytesMax = 1024 * 1024;
const busyRetriesMax = 5;
const busyRetryMs = 1000;

/** @throws what `signal` was aborted with, or that the binary cannot be started */
export async function runPlugin(
  path: string,
  env: Record<string, string>,
  input: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<PluginRun> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await runOnce(path, env, input, signal);
    } catch (err) {
      // "text file busy": the binary is being replaced this very moment
      const isBusy = err instanceof Error && 'code' in err && err.code === 'ETXTBSY';
      if (!isBusy || attempt > busyRetriesMax || signal.aborted) throw err;
      await clock.sleep(busyRetryMs, signal);
    }
  }
}

function runOnce(path: string, env: Record<string, string>, input: string, signal: AbortSignal): Promise<PluginRun> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    // a process group of its own: a plugin starts others (IPAM), and all of them must go when it is killed
    const child = spawn(path, [], { stdio: 'pipe', env: { ...process.env, ...env }, detached: true });
    const kill = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // it has ended just now
      }
    };
    signal.addEventListener('abort', kill, { once: true });
    const out = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        out[name] += text;
        if (out[name].length > outputBytesMax) kill();
      });
    }
    child.stdin.on('error', () => {}); // a plugin need not read its input: VERSION
    child.stdin.end(input);
    child.on('error', (err) => {
      signal.removeEventListener('abort', kill);
      reject(err);
    });
    child.on('close', (code) => {
      signal.removeEventListener('abort', kill);
      if (signal.aborted) reject(signal.reason);
      else resolve({ exitCode: code ?? undefined, ...out });
    });
  });
}
