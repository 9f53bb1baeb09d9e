/** The link to a container's log in `/var/log/containers`, where log collectors look. */
import { lstat, mkdir, rm, symlink } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Replaces what has the link's name. Without a log there is no link: a runtime may log elsewhere. */
export async function linkLog(logPath: string, link: string): Promise<void> {
  if (!(await isThere(logPath))) return;
  await mkdir(dirname(link), { recursive: true, mode: 0o755 });
  await rm(link, { force: true });
  await symlink(logPath, link);
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (err) {
    // whatever else keeps us from seeing it says nothing about the log
    return !(err instanceof Error && 'code' in err && err.code === 'ENOENT');
  }
}
