/** Drops what `selectGarbage` chose, and log directories and links whose pod is gone. Failures are retried next time. */
import { lstat, readdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import type { Cri } from '../../adapters/cri/cri.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { Garbage } from './select-garbage.ts';

interface CollectNeed {
  /** Below which the logs of containers lie; nothing elsewhere is removed. */
  podLogsDir: string;
  cri: Pick<Cri, 'removeContainer' | 'stopPodSandbox' | 'removePodSandbox'>;
  log: Logger;
}

/** What may still run is to be stopped before. Returns the uids of pods of which something was removed. */
export async function collectGarbage(
  { cri, podLogsDir, log }: CollectNeed,
  garbage: Garbage,
  signal: AbortSignal,
): Promise<Set<string>> {
  const touched = new Set<string>();
  for (const { uid, id, logPath } of garbage.containers) {
    try {
      await cri.removeContainer(id, signal);
      if (logPath !== '') await removeContainerLogs(logPath, podLogsDir);
      touched.add(uid);
    } catch (err) {
      if (signal.aborted) return touched;
      log.warn({ containerId: id, reason: describeError(err) }, 'cannot remove an ended container, will retry');
    }
  }
  for (const { uid, id } of garbage.sandboxes) {
    try {
      await cri.stopPodSandbox(id, signal);
      await cri.removePodSandbox(id, signal);
      touched.add(uid);
    } catch (err) {
      if (signal.aborted) return touched;
      log.warn({ sandboxId: id, reason: describeError(err) }, 'cannot remove an ended sandbox, will retry');
    }
  }
  return touched;
}

/**
 * Removes a container's log and what was rotated away from it: `0.log`, `0.log.20260102-030405.gz` … A pod that can write
 * to its log folder may have put a link in its place: what that leads to stays.
 */
export async function removeContainerLogs(logPath: string, podLogsDir: string): Promise<void> {
  const own = basename(logPath);
  const folder = await realpathIfThere(dirname(logPath));
  const root = await realpathIfThere(podLogsDir);
  if (folder === undefined || root === undefined || !folder.startsWith(`${root}${sep}`)) return;
  const names = await namesIn(folder);
  for (const name of names.filter((other) => other === own || other.startsWith(`${own}.`))) {
    await rm(join(folder, name), { force: true });
  }
}

async function realpathIfThere(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch {
    return undefined; // nothing there, so nothing to remove
  }
}

/** Uids of pods that have a folder `<podLogsDir>/<namespace>_<name>_<uid>`. */
export async function uidsWithLogs(podLogsDir: string): Promise<string[]> {
  return (await namesIn(podLogsDir)).flatMap((name) => logsOwner(name) ?? []);
}

/** Removes the logs of a pod that is gone. @throws when a file stays */
export async function removeLogDirectories(podLogsDir: string, uid: string): Promise<void> {
  for (const name of await namesIn(podLogsDir)) {
    if (logsOwner(name) === uid) await rm(join(podLogsDir, name), { recursive: true, force: true });
  }
}

/** Undefined for what is no pod's. Namespaces and names have no `_`; uids may. */
const logsOwner = (directory: string): string | undefined => /^[^_]+_[^_]+_(.+)$/.exec(directory)?.[1];

/**
 * Removes links in `/var/log/containers` whose log is gone, unless the container still runs: its log may just be
 * rotated. A long name may hold only the beginning of the container's id.
 */
export async function removeDanglingLinks(
  containerLogsDir: string,
  isRunning: (idStart: string) => boolean,
): Promise<void> {
  for (const name of await namesIn(containerLogsDir)) {
    if (!name.endsWith('.log')) continue;
    const link = join(containerLogsDir, name);
    const id = /-([^-]{6,})\.log$/.exec(name)?.[1];
    if (id !== undefined && isRunning(id)) continue;
    try {
      if (!(await lstat(link)).isSymbolicLink()) continue;
      await stat(link);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'ENOENT') await rm(link, { force: true });
    }
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch {
    return []; // not there: nothing was ever logged
  }
}
