import { constants } from 'node:fs';
import { lstat, open, readdir, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Semaphore } from '../../../base/semaphore.ts';
import { compressedSuffix, computeRotation, rotationStamp, unfinishedSuffix } from './compute-rotation.ts';

interface Rotation {
  logPath: string;
  logsDirectory: string;
  maxSizeBytes: number;
  maxFiles: number;
  nowMs: number;
}

interface RotationHands {
  /** The runtime's "open your log file again". */
  reopen(signal: AbortSignal): Promise<void>;
  /** For work on rotated files: so many at once. */
  places: Semaphore;
}

/** Rotates the log when it has grown to `maxSizeBytes`; one that is missing is only opened again by the runtime. */
export async function rotateIfLarge(
  { logPath, logsDirectory, maxSizeBytes, maxFiles, nowMs }: Rotation,
  { reopen, places }: RotationHands,
  signal: AbortSignal,
): Promise<void> {
  const found = await statIfThere(logPath);
  if (found === undefined) {
    await reopen(signal);
    return;
  }
  if (!found.isFile()) throw new Error(`Cannot rotate log "${logPath}": it is not a regular file`);
  if (found.size < maxSizeBytes) return;
  const folder = await realpath(dirname(logPath));
  if (!`${folder}${sep}`.startsWith(`${await realpath(logsDirectory)}${sep}`)) {
    throw new Error(`Cannot rotate log "${logPath}": it leads out of "${logsDirectory}"`);
  }
  const name = basename(logPath);
  // whatever else somebody has put there is not ours to touch
  const beside = (await readdir(folder, { withFileTypes: true }))
    .filter((other) => other.isFile() && other.name.startsWith(`${name}.`))
    .map((other) => other.name);
  const { remove, compress } = computeRotation(beside, maxFiles);
  await places.with(signal, async () => {
    for (const other of remove) await rm(join(folder, other), { force: true });
    for (const other of compress) await compressFile(join(folder, other), signal);
  });
  const current = join(folder, name);
  const rotated = `${current}.${rotationStamp(nowMs)}`;
  await rename(current, rotated);
  try {
    await reopen(signal);
  } catch (cause) {
    // the runtime still writes to the old file: its name must stay the one that readers look for
    await rename(rotated, current);
    throw new Error(`Cannot rotate log "${logPath}": the runtime does not open it again`, { cause });
  }
}

/** Replaces a file by its gzip; an interrupted one leaves a `.tmp`, which the next rotation removes. */
async function compressFile(path: string, signal: AbortSignal): Promise<void> {
  const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
  const target = `${path}${compressedSuffix}`;
  const unfinished = `${target}${unfinishedSuffix}`;
  await using source = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const mode = (await source.stat()).mode & 0o777;
  await using sink = await open(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  await pipeline(source.createReadStream(), createGzip(), sink.createWriteStream(), { signal });
  await rename(unfinished, target);
  await rm(path);
}

async function statIfThere(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path);
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return undefined;
    throw err;
  }
}
