/** Checks of hostPath volumes. The kubelet mounts nothing for them: the runtime gets the path itself. */
import { constants } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { errnoOf } from '../../../base/errors.ts';
import type { HostPathVolumeSource } from '../../../objects/generated/core-v1.ts';

const fileTypes: Record<string, { bits: number; name: string }> = {
  Directory: { bits: constants.S_IFDIR, name: 'directory' },
  DirectoryOrCreate: { bits: constants.S_IFDIR, name: 'directory' },
  File: { bits: constants.S_IFREG, name: 'file' },
  FileOrCreate: { bits: constants.S_IFREG, name: 'file' },
  Socket: { bits: constants.S_IFSOCK, name: 'socket file' },
  CharDevice: { bits: constants.S_IFCHR, name: 'character device' },
  BlockDevice: { bits: constants.S_IFBLK, name: 'block device' },
};

/**
 * Makes sure that the path is what its type says, and makes what may be made.
 *
 * @param modeOf type and permissions of what a path leads to, undefined when there is nothing
 * @throws {Error} in upstream's words
 */
export async function checkHostPath(
  { path, type = '' }: HostPathVolumeSource,
  modeOf: (path: string) => Promise<number | undefined>,
): Promise<void> {
  if (path.split('/').includes('..')) throw new Error(`invalid HostPath \`${path}\`: must not contain '..'`);
  if (type === '') return;
  const wanted = fileTypes[type];
  if (wanted === undefined) throw new Error(`${type} is an invalid volume type`);
  let mode = await modeOf(path);
  if (mode === undefined && type.endsWith('OrCreate')) {
    if (type === 'DirectoryOrCreate') await mkdir(path, { recursive: true, mode: 0o755 });
    else await createEmpty(path);
    mode = await modeOf(path);
  }
  if (mode === undefined || (mode & constants.S_IFMT) !== wanted.bits) {
    throw new Error(`hostPath type check failed: ${path} is not a ${wanted.name}`);
  }
}

async function createEmpty(path: string): Promise<void> {
  try {
    await (await open(path, 'wx', 0o644)).close();
  } catch (err) {
    if (errnoOf(err) !== 'EEXIST') throw err; // somebody was faster: the next look tells what it is
  }
}
