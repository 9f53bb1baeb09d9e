import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { removeTree } from '../../adapters/mounts/trees.ts';

/**
 * Deletes the directory behind a hostPath volume that nobody needs.
 * @throws {Error} when a link on the way leads elsewhere, or something in it is a mount point
 */
export async function removeDirectory(path: string, signal: AbortSignal): Promise<void> {
  const plain = path.replace(/\/+$/, '');
  const parent = dirname(plain);
  const real = await realpath(parent);
  if (real !== parent) throw new Error(`Cannot delete directory "${path}": a link leads to "${real}"`);
  await removeTree(plain, signal);
}
