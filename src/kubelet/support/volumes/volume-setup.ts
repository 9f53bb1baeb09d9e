/**
 * Sets single volumes up and takes them down on disk. Setting up twice is the same as once: what is there after a
 * restart of the kubelet is adopted, for the content of a running pod's volumes must never be touched.
 */
import { access, chmod, mkdir, readdir, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Mounts } from '../../../adapters/mounts/mounts.ts';
import { errnoOf } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { formatQuantity, quantityOf } from '../../../objects/quantity.ts';
import { writeAtomically } from './atomic-writer.ts';
import type { Payload } from './file-payload.ts';
import { groupBits } from './ownership.ts';
import { type PageSize, mountedPageBytes } from './huge-pages.ts';
import type { VolumeKind } from './volume-kinds.ts';
import type { Medium } from './volume-medium.ts';
import type { VolumePaths } from './volume-paths.ts';

export type MountsNeed = Pick<
  Mounts,
  | 'mountTmpfs'
  | 'mountHugetlbfs'
  | 'listMounts'
  | 'unmount'
  | 'isMountPoint'
  | 'changeGroup'
  | 'removeTree'
  | 'removeEmptyDirectories'
  | 'makeSubPath'
  | 'removeSubPathBinds'
  | 'modeOf'
  | 'ensureShared'
>;

export interface PlaceOfVolume {
  uid: string;
  kind: VolumeKind;
  name: string;
}

export interface Hands {
  paths: VolumePaths;
  mounts: MountsNeed;
  log: Logger;
}

/** @returns whether it was made now; false when it was there already */
export async function setUpEmptyDir(
  place: PlaceOfVolume,
  { medium, fsGroup }: { medium: Medium; fsGroup: number | undefined },
  hands: Hands,
  signal: AbortSignal,
): Promise<boolean> {
  const { paths, mounts } = hands;
  const directory = paths.volume(place.uid, place.kind, place.name);
  const marker = paths.marker(place.uid, place.kind, place.name);
  if (await exists(join(marker, 'ready'))) {
    const isThere = medium === 'disk' ? await exists(directory) : await mounts.isMountPoint(directory, signal);
    if (isThere) return false;
  }
  await mounts.removeTree(marker, signal); // set up before, but gone since: a reboot takes what was in memory
  await mkdir(dirname(directory), { recursive: true, mode: 0o750 });
  await mkdir(directory, { recursive: true, mode: 0o777 });
  await chmod(directory, 0o777); // whatever our umask is
  const isMounted = medium !== 'disk' && (await mounts.isMountPoint(directory, signal));
  if (medium !== 'disk' && 'page' in medium) await mountPages(place, medium.page, isMounted, hands, signal);
  else if (medium !== 'disk' && !isMounted) {
    await mounts.mountTmpfs(directory, { sizeBytes: medium.memoryBytes }, signal);
  }
  await giveToGroup(directory, fsGroup, { isReadOnly: false }, hands, signal);
  await mkdir(marker, { recursive: true, mode: 0o750 });
  await writeFile(join(marker, 'ready'), '');
  return true;
}

/** @throws {Error} in upstream's words when it is mounted with pages of another size */
async function mountPages(
  { uid, kind, name }: PlaceOfVolume,
  page: PageSize,
  isMounted: boolean,
  { paths, mounts }: Hands,
  signal: AbortSignal,
): Promise<void> {
  const directory = paths.volume(uid, kind, name);
  if (!isMounted) return await mounts.mountHugetlbfs(directory, page.text, signal);
  const entry = (await mounts.listMounts()).findLast(({ target }) => target === directory);
  const bytes = entry?.fsType === 'hugetlbfs' ? mountedPageBytes(entry.superOptions) : undefined;
  if (bytes === undefined) throw new Error(`pod ${uid}: mounted dir ${directory} pagesize is not determined`);
  if (bytes === page.bytes) return;
  const shown = formatQuantity(quantityOf(bytes, 'BinarySI'));
  throw new Error(
    `pod ${uid}: mounted dir ${directory} pagesize '${shown}' and requested medium size '${page.text}' differ`,
  );
}

export interface ProjectOptions {
  payload: Payload;
  medium: Medium;
  fsGroup: number | undefined;
  /** Directories in the volume on which containers mount other volumes. */
  nested: readonly string[];
  nowMs: number;
}

/** Brings a volume made from API objects to its newest content. A failure leaves the old content in place. */
export async function setUpProjected(
  place: PlaceOfVolume,
  { payload, medium, fsGroup, nested, nowMs }: ProjectOptions,
  hands: Hands,
  signal: AbortSignal,
): Promise<void> {
  const { paths, mounts } = hands;
  const directory = paths.volume(place.uid, place.kind, place.name);
  const isNew = await setUpEmptyDir(place, { medium, fsGroup: undefined }, hands, signal);
  try {
    for (const subPath of nested) await mounts.makeSubPath({ volumePath: directory, subPath, mode: 0o755 }, signal);
    await writeAtomically(directory, payload, {
      nowMs,
      beforeSwitch: () => giveToGroup(directory, fsGroup, { isReadOnly: true }, hands, signal),
      removeTree: (path) => mounts.removeTree(path, signal),
    });
  } catch (err) {
    // Nobody uses a new volume yet, so it is made from scratch at the next try. A running pod keeps what it has.
    // What this leaves, the pod's unmount finds; the first failure tells more.
    if (isNew) await tearDown(place, hands, signal).catch(() => {});
    throw err;
  }
}

/** A file that cannot be given away is no reason not to start: upstream takes it so, too. */
async function giveToGroup(
  directory: string,
  fsGroup: number | undefined,
  { isReadOnly }: { isReadOnly: boolean },
  { mounts, log }: Hands,
  signal: AbortSignal,
): Promise<void> {
  if (fsGroup === undefined) return;
  const change = { gid: fsGroup, ...groupBits(isReadOnly) };
  const { failures, firstFailure } = await mounts.changeGroup(directory, change, signal);
  if (failures > 0)
    log.warn({ err: firstFailure, failures, directory, fsGroup }, 'some files could not be given to the fsGroup');
}

/** Removes a volume and its content. Success when it is gone; never deletes what is mounted inside it. */
export async function tearDown(place: PlaceOfVolume, { paths, mounts }: Hands, signal: AbortSignal): Promise<void> {
  const directory = paths.volume(place.uid, place.kind, place.name);
  await mounts.removeTree(paths.marker(place.uid, place.kind, place.name), signal);
  if (await mounts.isMountPoint(directory, signal)) await mounts.unmount(directory, signal);
  await mounts.removeTree(directory, signal);
}

/** Names in a directory; none when it is not there, or is something that nobody of us has put there. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (err) {
    if (errnoOf(err) === 'ENOENT' || errnoOf(err) === 'ENOTDIR') return [];
    throw err;
  }
}

export async function removeEmpty(directory: string): Promise<void> {
  await rmdir(directory).catch((err: unknown) => {
    if (errnoOf(err) !== 'ENOENT') throw err;
  });
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    (err: unknown) => {
      if (errnoOf(err) === 'ENOENT') return false;
      throw err;
    },
  );
}
