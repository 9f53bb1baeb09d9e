/**
 * What the runtime remembers of each attachment, to undo it. A loss of power leaves files empty or torn that were
 * written last; the runtime then cannot stop those sandboxes, and their pods never start again.
 */
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, errnoOf } from '../base/errors.ts';
import { type Finding, fail, ok } from './finding.ts';

const id = 'cni.cache';
/** A file that is younger may still be written. */
const settledMs = 10_000;

/** @param cacheDir where runtimes keep what CNI needs, usually `/var/lib/cni` */
export async function checkCniCache(cacheDir: string, nowMs: number): Promise<Finding> {
  const directory = join(cacheDir, 'results');
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (err) {
    if (errnoOf(err) === 'ENOENT') return ok(id, 'nothing is attached yet');
    return fail(id, describeError(err), `make "${directory}" readable`);
  }
  const torn: string[] = [];
  for (const name of names) if (await isTorn(join(directory, name), nowMs)) torn.push(join(directory, name));
  if (torn.length === 0) return ok(id, `${names.length} attachments are remembered in ${directory}`);
  return fail(
    id,
    `torn by a crash, so that these sandboxes cannot be stopped: ${torn.join(', ')}`,
    `rm ${torn.join(' ')}`,
  );
}

async function isTorn(path: string, nowMs: number): Promise<boolean> {
  try {
    if ((await stat(path)).mtimeMs > nowMs - settledMs) return false;
    JSON.parse(await readFile(path, 'utf8'));
    return false;
  } catch (err) {
    return errnoOf(err) !== 'ENOENT'; // detached meanwhile
  }
}
