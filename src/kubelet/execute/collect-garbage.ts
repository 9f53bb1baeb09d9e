/** Drops what `selectGarbage` chose, and log directories and links whose pod is gone. Failures are retried next time. */
import { lstat, readdir, readlink, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Cri } from '../../adapters/cri/cri.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { minimumStopSeconds } from './compute-grace.ts';
import type { Garbage } from './select-garbage.ts';

interface CollectNeed {
  cri: Pick<Cri, 'stopContainer' | 'removeContainer' | 'stopPodSandbox' | 'removePodSandbox'>;
  log: Logger;
}

/** Returns the uids of pods of which something was removed. */
export async function collectGarbage(
  { cri, log }: CollectNeed,
  garbage: Garbage,
  signal: AbortSignal,
): Promise<Set<string>> {
  const touched = new Set<string>();
  for (const { uid, id, logPath, isUnknown } of garbage.containers) {
    try {
      if (isUnknown) await cri.stopContainer(id, minimumStopSeconds, signal);
      await cri.removeContainer(id, signal);
      if (logPath !== '') await removeContainerLogs(logPath);
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

/** Removes a container's log and what was rotated away from it: `0.log`, `0.log.20260102-030405.gz` … */
export async function removeContainerLogs(logPath: string): Promise<void> {
  const own = basename(logPath);
  const names = await namesIn(dirname(logPath));
  for (const name of names.filter((other) => other === own || other.startsWith(`${own}.`))) {
    await rm(join(dirname(logPath), name), { force: true });
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

/** Undefined for what is no pod's. */
function logsOwner(directory: string): string | undefined {
  const parts = directory.split('_');
  return parts.length === 3 && parts[2] !== '' ? parts[2] : undefined;
}

/** Removes links in `/var/log/containers` whose log is gone, unless the container still runs. */
export async function removeDanglingLinks(
  containerLogsDir: string,
  isRunning: (containerId: string) => boolean,
): Promise<void> {
  for (const name of await namesIn(containerLogsDir)) {
    const link = join(containerLogsDir, name);
    const id = /-([0-9a-f]{64})\.log$/.exec(name)?.[1];
    if (id !== undefined && isRunning(id)) continue;
    try {
      if (!(await lstat(link)).isSymbolicLink()) continue;
      await stat(await readlink(link));
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
