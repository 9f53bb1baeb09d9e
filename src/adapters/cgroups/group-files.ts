/** Single steps in the file system of control groups: each says which file or group it failed at. */
import { access, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../../base/errors.ts';

export async function write(file: string, data: string): Promise<void> {
  try {
    await writeFile(file, data);
  } catch (cause) {
    throw new Error(`Cannot write "${data}" to "${file}": ${errnoOf(cause) ?? 'failed'}`, { cause });
  }
}

/** The trimmed text; undefined when the file (or its group) isn't there, or went away while reading. */
export async function read(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === 'ENOENT' || code === 'ENODEV') return undefined;
    throw new Error(`Cannot read "${file}": ${code ?? 'failed'}`, { cause });
  }
}

export async function subfolders(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return [];
    throw new Error(`Cannot list cgroup "${folder}"`, { cause });
  }
}

export async function collectPids(folder: string, pids: Set<number>): Promise<void> {
  for (const line of ((await read(join(folder, 'cgroup.procs'))) ?? '').split('\n')) {
    const pid = Number(line);
    if (pid > 0) pids.add(pid); // 0 stands for a process of another pid namespace
  }
  for (const name of await subfolders(folder)) await collectPids(join(folder, name), pids);
}

export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended by itself meanwhile, or is not ours to end: then removing the group says so
  }
}

/** False when something is in it. */
export async function removeEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
    throw new Error(`Cannot remove cgroup "${folder}"`, { cause });
  }
}

export async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false; // not there, or not for us: the caller's next step names the file
  }
}
