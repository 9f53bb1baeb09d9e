/** Sockets below the registry's directory, and a watch on all of its directories. */
import { type FSWatcher, watch } from 'node:fs';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../../../base/errors.ts';

export interface FoundSockets {
  /** Which socket lies at each path: the same path with another identity is another socket. */
  sockets: ReadonlyMap<string, string>;
  /** Directories that were read, the registry first, with their identities. */
  directories: ReadonlyMap<string, string>;
}

/** Whoever may write into the registry is no reason to walk for ever. */
const depthMax = 8;
const entriesMax = 4096;

/**
 * Reads the registry, which is made when it is missing. Names that begin with a dot, links, and what is neither a
 * socket nor a directory are nobody's plugins.
 */
export async function findSockets(registry: string): Promise<FoundSockets> {
  await mkdir(registry, { recursive: true, mode: 0o755 });
  const found = { sockets: new Map<string, string>(), directories: new Map<string, string>() };
  await findBelow(registry, 0, found, { left: entriesMax });
  return found;
}

async function findBelow(
  directory: string,
  depth: number,
  found: { sockets: Map<string, string>; directories: Map<string, string> },
  entries: { left: number },
): Promise<void> {
  try {
    found.directories.set(directory, await identityOf(directory));
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (entry.name.startsWith('.') || entries.left-- <= 0) continue;
      const path = join(directory, entry.name);
      if (entry.isSocket()) found.sockets.set(path, await identityOf(path));
      else if (entry.isDirectory() && depth < depthMax) await findBelow(path, depth + 1, found, entries);
    }
  } catch (err) {
    // gone since it was listed: whoever took it away has made an event
    if (errnoOf(err) !== 'ENOENT' && errnoOf(err) !== 'ENOTDIR') throw err;
  }
}

/** A socket's time of change is when it was bound: its inode may be one that was just freed. */
async function identityOf(path: string): Promise<string> {
  const found = await lstat(path, { bigint: true });
  return found.isDirectory() ? `${found.dev}:${found.ino}` : `${found.dev}:${found.ino}:${found.mtimeNs}`;
}

/** Watches directories for names that come and go. */
export class DirectoryWatches {
  readonly #watches = new Map<string, { identity: string; watcher: FSWatcher }>();
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /**
   * Watches these and no others.
   * @returns `isNew`: there was no watch on some of them until now, so something may have come unseen; `isBlind`: some
   *   cannot be watched
   */
  set(directories: ReadonlyMap<string, string>): { isNew: boolean; isBlind: boolean } {
    for (const [path, { identity }] of this.#watches) if (directories.get(path) !== identity) this.#close(path);
    let [isNew, isBlind] = [false, false];
    for (const [path, identity] of directories) {
      if (this.#watches.has(path)) continue;
      try {
        const watcher = watch(path, { persistent: false }, this.#onChange);
        watcher.on('error', () => {
          this.#close(path);
          this.#onChange();
        });
        this.#watches.set(path, { identity, watcher });
        isNew = true;
      } catch {
        isBlind = true; // no more watches on this machine, or the directory is gone
      }
    }
    return { isNew, isBlind };
  }

  close(): void {
    for (const path of this.#watches.keys()) this.#close(path);
  }

  #close(path: string): void {
    this.#watches.get(path)?.watcher.close();
    this.#watches.delete(path);
  }
}
