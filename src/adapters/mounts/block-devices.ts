/**
 * Block devices that become file systems: what is on them, made when there is nothing, checked, mounted. A device that
 * holds anything at all is never formatted.
 */
import { CommandError, runCommand } from '../processes/processes.ts';
import type { MountCommands } from './mount-commands.ts';

export interface DiskMount {
  device: string;
  target: string;
  /** `ext4` when empty. */
  fsType: string;
  options: readonly string[];
}

/** What a device shows of itself. */
export type DiskContent =
  | { kind: 'nothing' }
  | { kind: 'file system'; type: string }
  | { kind: 'unknown'; what: string };

/** What `blkid -p -s TYPE -s PTTYPE -o export` says; exit code 2 means that it has found nothing. */
export function parseDiskContent(output: string): DiskContent {
  const values = new Map<string, string>();
  for (const line of output.split('\n')) {
    const [key = '', value = ''] = line.split(/=(.*)/s);
    if (key !== '') values.set(key, value);
  }
  if ((values.get('PTTYPE') ?? '') !== '') return { kind: 'unknown', what: 'unknown data, probably partitions' };
  const type = values.get('TYPE') ?? '';
  return type === '' ? { kind: 'nothing' } : { kind: 'file system', type };
}

export function formatArguments(fsType: string, device: string): string[] {
  if (fsType === 'ext3' || fsType === 'ext4') return ['-F', '-m0', device];
  return fsType === 'xfs' ? ['-f', device] : [device];
}

/** The device holds another file system than the one that was asked for. */
export class FileSystemMismatchError extends Error {
  override name = 'FileSystemMismatchError';
}

const englishOnly = { LC_ALL: 'C' };

/** Mounts a device, formatted first when it is empty. @throws {FileSystemMismatchError} when it holds another kind */
export async function formatAndMount(
  { device, target, fsType, options }: DiskMount,
  commands: MountCommands,
  signal: AbortSignal,
): Promise<void> {
  const isReadOnly = options.includes('ro');
  const wantedType = fsType === '' ? 'ext4' : fsType;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(wantedType)) throw new Error(`invalid file system type "${fsType}"`);
  const content = await contentOf(device, signal);
  const wanted = { type: wantedType, source: device, target, options: [...options, 'defaults'] };
  if (content.kind === 'nothing') {
    if (isReadOnly)
      throw new Error(`cannot mount unformatted disk ${device} as we are manipulating it in read-only mode`);
    await assertEmpty(device, signal);
    await runCommand(`mkfs.${wantedType}`, formatArguments(wantedType, device), { env: englishOnly, signal });
  } else if (!isReadOnly) {
    await check(device, signal);
  }
  try {
    await commands.mount(wanted, signal);
  } catch (cause) {
    if (content.kind !== 'file system' || content.type === wantedType) throw cause;
    const what = `failed to mount the volume as "${wantedType}", it already contains ${content.type}`;
    throw new FileSystemMismatchError(what, { cause });
  }
}

async function contentOf(device: string, signal: AbortSignal): Promise<DiskContent> {
  const args = ['-p', '-s', 'TYPE', '-s', 'PTTYPE', '-o', 'export', device];
  try {
    return parseDiskContent((await runCommand('blkid', args, { env: englishOnly, signal })).stdout);
  } catch (err) {
    if (err instanceof CommandError && err.exitCode === 2) return { kind: 'nothing' };
    throw err;
  }
}

/** `blkid` finds nothing on a device that cannot be read either: before it is formatted, it must be readable and empty. */
async function assertEmpty(device: string, signal: AbortSignal): Promise<void> {
  const args = [`if=${device}`, 'of=/dev/null', 'bs=64K', 'count=16'];
  await runCommand('dd', args, { env: englishOnly, signal }).catch((cause: unknown) => {
    throw new Error(`cannot format disk ${device}: it cannot be read, and may hold data`, { cause });
  });
  const { kind } = await contentOf(device, signal);
  if (kind !== 'nothing') throw new Error(`cannot format disk ${device}: it holds data by now`);
}

/** Repairs what can be repaired without asking. Only what it could not repair keeps the device from being mounted. */
async function check(device: string, signal: AbortSignal): Promise<void> {
  try {
    await runCommand('fsck', ['-a', device], { env: englishOnly, signal });
  } catch (err) {
    if (!(err instanceof CommandError)) throw err;
    if (err.exitCode === 4)
      throw new Error(`'fsck' found errors on device ${device} but could not correct them: ${err.stdout}.`);
    // 1: repaired; missing, or of a file system that it does not know: the mount will tell
    if (signal.aborted) throw err;
  }
}
