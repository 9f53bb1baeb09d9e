/**
 * Writes a set of files so that readers see the whole old set or the whole new one, never a mixture.
 *
 * The files lie in a directory of their own with a timestamp for a name; `..data` is a link to it, and every visible
 * name is a link through `..data`. One rename of `..data` switches them all. Files are created new in a directory of
 * ours, so that a link that somebody planted in the volume is never written through.
 */
import { randomInt } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { constants } from 'node:fs';
import { lchown, mkdir, open, readFile, readdir, readlink, rename, rm, symlink, unlink } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { errnoOf } from '../../../base/errors.ts';
import type { Payload, PayloadFile } from './file-payload.ts';

const dataLink = '..data';
const newDataLink = '..data_tmp';
const pathMax = 4096;
const nameMax = 255;

interface WriteOptions {
  /** Wall clock, for the directory's name. */
  nowMs: number;
  /** Runs when the new files are written and nobody sees them yet: ownership of the whole volume is set here. */
  beforeSwitch: () => Promise<void>;
  /** Deletes a directory of an earlier set. */
  removeTree: (path: string) => Promise<void>;
}

/**
 * Makes `directory` show exactly `payload`.
 *
 * A set whose paths and bytes are the same is left as it is, modes and owners included, so that files keep their
 * identity while nothing changes. When it fails, the old set is still shown.
 *
 * @returns whether a new set was written
 */
export async function writeAtomically(directory: string, payload: Payload, options: WriteOptions): Promise<boolean> {
  const files = cleanPayload(payload);
  const current = await linkTarget(join(directory, dataLink));
  const isSame = current !== undefined && (await showsSame(join(directory, current), files));
  if (!isSame) await writeNewSet(directory, files, options);
  await repairVisibleLinks(directory, files);
  if (!isSame) await removeOldSets(directory, options.removeTree);
  return !isSame;
}

/** Checks every path and brings it to its shortest form. @throws {Error} upstream's words for a path that may not be */
export function cleanPayload(payload: Payload): Payload {
  const clean: Payload = new Map();
  for (const [path, file] of payload) {
    checkPath(path);
    const short = posix.normalize(path).replace(/\/+$/, '');
    if (short === '.') throw new Error(`invalid path: must not be empty: "${path}"`);
    checkPath(short);
    clean.set(short, file);
  }
  return clean;
}

function checkPath(path: string): void {
  if (path === '' || path.includes('\0')) throw new Error(`invalid path: must not be empty: "${path}"`);
  if (path.startsWith('/')) throw new Error(`invalid path: must be relative path: ${path}`);
  if (Buffer.byteLength(path) > pathMax) {
    throw new Error(`invalid path: must be less than or equal to ${pathMax} characters`);
  }
  const segments = path.split('/');
  if (segments.includes('..')) throw new Error(`invalid path: must not contain '..': ${path}`);
  if (segments.some((segment) => Buffer.byteLength(segment) > nameMax)) {
    throw new Error(`invalid path: filenames must be less than or equal to ${nameMax} characters`);
  }
  if (segments[0]?.startsWith('..') === true) throw new Error(`invalid path: must not start with '..': ${path}`);
}

async function writeNewSet(directory: string, files: Payload, options: WriteOptions): Promise<void> {
  const name = setName(options.nowMs);
  const set = join(directory, name);
  await mkdir(set, { mode: 0o755 });
  try {
    for (const [path, file] of files) {
      if (path.includes('/')) await mkdir(dirname(join(set, path)), { recursive: true });
      await writeNewFile(join(set, path), file);
    }
    await options.beforeSwitch();
    await rm(join(directory, newDataLink), { force: true }); // left by a crash between the next two lines
    await symlink(name, join(directory, newDataLink));
    await rename(join(directory, newDataLink), join(directory, dataLink));
  } catch (err) {
    await options.removeTree(set).catch(() => {}); // the first failure tells more than this one
    throw err;
  }
}

/** `..2006_01_02_15_04_05.123456789`, in UTC. */
function setName(nowMs: number): string {
  const time = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-T:]/g, '_');
  return `..${time}.${randomInt(1, 2 ** 32)}`;
}

const isSetName = (name: string): boolean => /^\.\.\d{4}(_\d\d){5}\.\d+$/.test(name);

const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

async function writeNewFile(path: string, { data, mode, uid }: PayloadFile): Promise<void> {
  const file = await open(path, createFlags, 0o600);
  try {
    await file.writeFile(data);
    if (uid !== undefined) await file.chown(uid, (await file.stat()).gid);
    await file.chmod(mode & 0o7777); // last: a change of owner clears bits, and the umask has taken some
  } finally {
    await file.close();
  }
}

/** Whether a set has just these paths with just these bytes. */
async function showsSame(set: string, files: Payload): Promise<boolean> {
  const present = await pathsBelow(set);
  if (present === undefined || present.length !== files.size) return false;
  for (const path of present) {
    const file = files.get(path);
    if (file === undefined || !(await readFile(join(set, path))).equals(file.data)) return false;
  }
  return true;
}

/** Files below a set; undefined when the set is not there or holds what we never write. */
async function pathsBelow(set: string): Promise<string[] | undefined> {
  let entries: Dirent[];
  try {
    entries = await readdir(set, { recursive: true, withFileTypes: true });
  } catch (err) {
    if (errnoOf(err) === 'ENOENT') return undefined;
    throw err;
  }
  if (entries.some((entry) => !entry.isFile() && !entry.isDirectory())) return undefined;
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => posix.relative(set, join(entry.parentPath, entry.name)));
}

/** One link for the first element of every path; links of names that are gone are taken away. */
async function repairVisibleLinks(directory: string, files: Payload): Promise<void> {
  const owners = new Map<string, number | undefined>();
  for (const [path, { uid }] of files) owners.set(path.split('/')[0] ?? path, uid);
  const present = await readdir(directory, { withFileTypes: true });
  const names = new Set(present.map(({ name }) => name));
  for (const [name, uid] of owners) {
    if (names.has(name)) continue; // a link of ours, or a directory made for a mount inside this volume
    const link = join(directory, name);
    await symlink(`${dataLink}/${name}`, link);
    if (uid !== undefined) await lchown(link, uid, -1); // its group it has from the volume
  }
  for (const { name } of present.filter((entry) => entry.isSymbolicLink() && !entry.name.startsWith('..'))) {
    if (owners.has(name)) continue;
    const isOurs = (await linkTarget(join(directory, name))) === `${dataLink}/${name}`;
    if (isOurs) await unlink(join(directory, name));
  }
}

/** The set that was just replaced, and those that a crash left behind. */
async function removeOldSets(directory: string, removeTree: (path: string) => Promise<void>): Promise<void> {
  const current = await linkTarget(join(directory, dataLink));
  for (const name of await readdir(directory)) {
    if (isSetName(name) && name !== current) await removeTree(join(directory, name));
  }
}

/** Where `..data` leads, when it leads to a set of ours beside it; where any other link leads as it is written. */
async function linkTarget(link: string): Promise<string | undefined> {
  try {
    const target = await readlink(link);
    return link.endsWith(`/${dataLink}`) && !isSetName(target) ? undefined : target;
  } catch (err) {
    const code = errnoOf(err);
    if (code === 'ENOENT' || code === 'EINVAL') return undefined;
    throw err;
  }
}
