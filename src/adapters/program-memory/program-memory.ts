/**
 * Gives back what this process holds of its own program and no longer uses.
 *
 * Starting touches most of Node's 100 MB of code and constants, running much less; the kernel counts every page that was
 * touched once as ours until memory is short. Pages that are given back are still in the file cache: one that is used
 * again comes back within a microsecond. Owns nothing. Needs Linux.
 */
import { readFile } from 'node:fs/promises';
import koffi from 'koffi';
import { selectUnchangedMappings } from './select-unchanged-mappings.ts';

/** MADV_DONTNEED: the pages are read from their file when somebody touches them again. */
const dontNeed = 4;

type Madvise = { async: (address: bigint, lengthBytes: number, advice: number, done: Done) => void };
type Done = (err: Error | null, result: number) => void;
let madvise: Madvise | undefined;

/** @returns how much smaller the process was right after, bytes. @throws {Error} when the kernel does not tell or refuses */
export async function giveBackProgramPages(): Promise<number> {
  madvise ??= koffi.load(null).func('int madvise(uintptr_t address, size_t length, int advice)');
  const before = process.memoryUsage.rss();
  for (const mapping of selectUnchangedMappings(await readFile('/proc/self/smaps', 'utf8'))) {
    await giveBack(madvise, mapping);
  }
  return before - process.memoryUsage.rss();
}

function giveBack(
  { async: advise }: Madvise,
  { address, lengthBytes, path }: { address: bigint; lengthBytes: number; path: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    advise(address, lengthBytes, dontNeed, (err, result) => {
      if (err !== null) reject(err);
      else if (result === 0) resolve();
      else reject(new Error(`Cannot give back the pages of "${path}": madvise failed with errno ${koffi.errno()}`));
    });
  });
}
