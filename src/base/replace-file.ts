import { open, rename } from 'node:fs/promises';

/** Writes a file whole or not at all: to a temporary name, synced, renamed. `mode` holds from the first byte on. */
export async function replaceFile(path: string, content: string, mode: number): Promise<void> {
  const unfinished = `${path}.tmp`;
  const file = await open(unfinished, 'w', mode);
  try {
    await file.chmod(mode); // one left over from before may have another
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, path);
}
