/** Modules of the kernel: loaded when something of theirs is missing. */
import { access } from 'node:fs/promises';
import { CommandError, runCommand } from '../processes/processes.ts';

const timeoutMs = 30_000;

/**
 * Loads a module unless `path`, which it brings along, is there: then it is loaded, or part of the kernel.
 * @throws {Error} that names the module when it cannot be had
 */
export async function ensureModule(module: string, path: string, signal: AbortSignal): Promise<void> {
  if (await pathExists(path)) return;
  let reason = `"${path}" does not appear`;
  try {
    await runCommand('modprobe', [module], { timeoutMs, signal });
  } catch (err) {
    if (signal.aborted || !(err instanceof CommandError)) throw err;
    reason = err.stderr.trim() || err.message;
  }
  if (await pathExists(path)) return; // in a container it may be the machine's to load
  throw new Error(`Cannot use the kernel module "${module}": run \`modprobe ${module}\` on the machine; ${reason}`);
}

export async function pathExists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
