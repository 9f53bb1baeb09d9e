/** Where control groups are mounted, and the removal of a whole tree of them in every hierarchy. */
import { readFile, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';

export interface CgroupMount {
  type: 'cgroup' | 'cgroup2';
  path: string;
  /** Options of the hierarchy: controllers or a name for v1, `nsdelegate` and the like for v2. */
  options: string[];
}

const removeRetryMs = 10;

export async function readCgroupMounts(): Promise<CgroupMount[]> {
  return parseCgroupMounts(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** Only whole hierarchies: a bind of some group elsewhere is not one. */
export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const [, , , root, path] = before?.split(' ') ?? [];
    const [type, , options = ''] = after?.split(' ') ?? [];
    if ((type !== 'cgroup' && type !== 'cgroup2') || root !== '/' || path === undefined) return [];
    return [{ type, path, options: options.split(',').filter((option) => option !== 'rw' && option !== 'ro') }];
  });
}

/** Directories of a group in every hierarchy where it is. @param group from the hierarchy's root, e.g. `/gantry-lab/a` */
export async function findGroup(mounts: readonly CgroupMount[], group: string): Promise<string[]> {
  const found = await Promise.all(
    mounts.map(async ({ path }) =>
      (await listDirectories(join(path, group))) === undefined ? [] : [join(path, group)],
    ),
  );
  return found.flat();
}

/**
 * Removes a group and all groups in it. The kernel empties a group a moment after its last process has ended, so what
 * is busy is tried again until `timeoutMs` has passed.
 * @throws {Error} naming a group that is still busy then
 */
export async function removeGroup(
  directory: string,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const endMs = clock.monotonicMs() + timeoutMs;
  for (;;) {
    const busy = await tryRemove(directory);
    if (busy === undefined) return;
    if (clock.monotonicMs() > endMs || signal.aborted) {
      throw new Error(`Cannot remove the control group "${busy}": processes are still in it`);
    }
    await clock.sleep(removeRetryMs, signal);
  }
}

/** @returns a group that could not be removed yet */
async function tryRemove(directory: string): Promise<string | undefined> {
  for (const child of (await listDirectories(directory)) ?? []) {
    const busy = await tryRemove(join(directory, child));
    if (busy !== undefined) return busy;
  }
  try {
    await rmdir(directory);
  } catch (err) {
    const code = err instanceof Error && 'code' in err ? err.code : undefined;
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return directory;
    if (code !== 'ENOENT') throw err;
  }
  return undefined;
}

async function listDirectories(directory: string): Promise<string[] | undefined> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (err) {
    const code = err instanceof Error && 'code' in err ? err.code : undefined;
    if (code === 'ENOENT' || code === 'ENODEV') return undefined;
    throw err;
  }
}
