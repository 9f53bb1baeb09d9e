/** `vol_data.json`: what must be known of a volume to take it back, when nobody else remembers it. */
import { readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../../../base/errors.ts';
import { replaceFile } from '../../../base/replace-file.ts';
import { volumeDataFile } from './csi-paths.ts';

export type VolumeData = Readonly<Record<string, string>>;

/** The keys in order, on one line, as upstream writes it. */
export async function writeVolumeData(directory: string, data: Record<string, string | undefined>): Promise<void> {
  const entries = Object.entries(data).filter(([, value]) => value !== undefined);
  const sorted = Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
  await replaceFile(join(directory, volumeDataFile), `${JSON.stringify(sorted)}\n`, 0o644);
}

/** Undefined when there is none. @throws {Error} when it cannot be read */
export async function readVolumeData(directory: string): Promise<VolumeData | undefined> {
  const path = join(directory, volumeDataFile);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (err) {
    if (errnoOf(err) === 'ENOENT' || errnoOf(err) === 'ENOTDIR') return undefined;
    throw err;
  }
  const data: unknown = parseJson(text);
  if (typeof data !== 'object' || data === null) throw new Error(`failed to load volume data file ${path}`);
  return Object.fromEntries(Object.entries(data).filter(([, value]) => typeof value === 'string'));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // half a file tells nothing
  }
}

export async function removeVolumeData(directory: string): Promise<void> {
  await unlink(join(directory, volumeDataFile)).catch((err: unknown) => {
    if (errnoOf(err) !== 'ENOENT') throw err;
  });
}
