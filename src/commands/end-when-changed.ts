/** Ends a process whose configuration file changes: it starts over with the new one. */
import { type FSWatcher, watch } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Ends with `signal`, or with an error once the file's content is another. It may be written, replaced, or lead into a
 * directory that a link is turned away from, as the files of a ConfigMap do.
 */
export async function endWhenChanged(path: string, message: string, signal: AbortSignal): Promise<void> {
  const before = await readFile(path, 'utf8');
  const directories = new Set([dirname(path), dirname(await realpath(path))]);
  const watchers: FSWatcher[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        readFile(path, 'utf8').then(
          // an editor empties a file before it writes it
          (after) => after !== '' && after !== before && reject(new Error(message)),
          () => {}, // it is being replaced: it comes back
        );
      };
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
      for (const directory of directories) watchers.push(watch(directory, look).on('error', reject));
      look(); // it may have changed before the watches were there
    });
  } finally {
    for (const watcher of watchers) watcher.close();
  }
}
