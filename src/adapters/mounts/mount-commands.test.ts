import { chmod, mkdir, mkdtemp, readFile, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCommand } from '../processes/processes.ts';
import { formatArguments, parseDiskContent } from './block-devices.ts';
import { MountCommands, mountArguments } from './mount-commands.ts';
import { Mounts } from './mounts.ts';

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('mounts: tests that mount are skipped: they need root');

const signal = new AbortController().signal;
const mounts = new Mounts();
let dir = '';
const path = process.env['PATH'] ?? '';

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'gantry-mounts-')));
});
afterEach(async () => {
  process.env['PATH'] = path;
  const ours = (await mounts.listMounts()).filter(({ target }) => target.startsWith(`${dir}/`));
  for (const { target } of ours.toReversed()) await mounts.unmount(target, signal);
  await rm(dir, { recursive: true });
});

const textOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (err: unknown) => (err instanceof Error ? err.message : String(err)),
  );

it.each([
  [{ type: 'nfs', source: 's:/x', target: '/t', options: [] }, ['-t', 'nfs', '--', 's:/x', '/t']],
  [{ type: '', source: '/a', target: '/t', options: ['bind', 'ro'] }, ['-o', 'bind,ro', '--', '/a', '/t']],
  [{ type: 'nfs', source: '-evil', target: '/t', options: ['a b'] }, ['-t', 'nfs', '-o', 'a b', '--', '-evil', '/t']],
])('%j', (wanted, args) => {
  expect(mountArguments(wanted)).toEqual(args);
});

it.each([
  ['', { kind: 'nothing' }],
  ['DEVNAME=/dev/x\nTYPE=ext4\n', { kind: 'file system', type: 'ext4' }],
  ['DEVNAME=/dev/x\nPTTYPE=gpt\n', { kind: 'unknown', what: 'unknown data, probably partitions' }],
  ['TYPE=xfs\nPTTYPE=dos\n', { kind: 'unknown', what: 'unknown data, probably partitions' }],
  ['TYPE=odd=1\n', { kind: 'file system', type: 'odd=1' }],
])('what blkid says as %j', (output, want) => {
  expect(parseDiskContent(output)).toEqual(want);
});

it.each([
  ['ext4', ['-F', '-m0', '/dev/x']],
  ['ext3', ['-F', '-m0', '/dev/x']],
  ['xfs', ['-f', '/dev/x']],
  ['btrfs', ['/dev/x']],
])('mkfs.%s %j', (fsType, want) => {
  expect(formatArguments(fsType, '/dev/x')).toEqual(want);
});

describe('a mount command', () => {
  async function stub(name: string, script: string): Promise<void> {
    await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(dir, name), 0o755);
    process.env['PATH'] = `${dir}:${path}`;
  }
  const wanted = { type: 'nfs', source: 's:/x', target: '/t', options: ['ro'] };

  it('says what it was asked for when it fails', async () => {
    await stub('mount', 'echo "bad superblock" >&2; exit 32');
    expect(await textOf(new MountCommands().mount(wanted, signal))).toBe(
      'mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs -o ro s:/x /t\nOutput: bad superblock\n\n',
    );
  });

  it('that hangs is not started a second time for the same place; other places do not wait', async () => {
    await runCommand('mkfifo', [join(dir, 'gate')], { signal });
    await stub('mount', `echo "$*" >> ${dir}/calls; case "$*" in */t) cat ${dir}/gate;; esac`);
    const commands = new MountCommands();
    const both = [commands.mount(wanted, signal), commands.mount(wanted, signal)];
    await commands.mount({ ...wanted, target: '/other' }, signal);
    await writeFile(join(dir, 'gate'), 'go\n'); // waits for the one that reads it
    await Promise.all(both);
    expect((await readFile(join(dir, 'calls'), 'utf8')).trim().split('\n').toSorted()).toEqual([
      '-t nfs -o ro -- s:/x /other',
      '-t nfs -o ro -- s:/x /t',
    ]);
  });

  it.each([
    ['that cannot be read', 'exit 2', 'cannot format disk DISK: it cannot be read, and may hold data'],
    [
      'that could not be read before',
      'test -e LOG && echo TYPE=xfs && exit; touch LOG; exit 2',
      'it holds data by now',
    ],
  ])('formats no device %s', async (_, blkid, want) => {
    const disk = join(dir, 'disk');
    if (blkid.includes('xfs')) await writeFile(disk, 'data');
    await stub('blkid', blkid.replaceAll('LOG', join(dir, 'looked')));
    await stub('mkfs.ext4', `echo formatted > ${dir}/formatted`);
    await stub('mount', 'exit 0');
    const text = await textOf(mounts.formatAndMount({ device: disk, target: '/t', fsType: '', options: [] }, signal));
    expect(text).toContain(want.replace('DISK', disk));
    expect(await readdir(dir)).not.toContain('formatted');
  });

  it.each([
    ['umount: /t: not mounted.', 'done'],
    ['umount: /t: no mount point specified.', 'done'],
    [
      'umount: /t: target is busy.',
      'unmount failed: exit status 32\nUnmounting arguments: /t\nOutput: umount: /t: target is busy.\n\n',
    ],
  ])('an unmount that says %j', async (says, want) => {
    await stub('umount', `echo "${says}" >&2; exit 32`);
    expect(await textOf(new MountCommands().unmount('/t', { isForced: true }, signal))).toBe(want);
  });
});

describe.runIf(isRoot)('binds with options (need root)', () => {
  const optionsOf = async (target: string): Promise<string[]> =>
    (await mounts.listMounts()).find((entry) => entry.target === target)?.options ?? [];

  it('carry theirs and keep those of what they show', async () => {
    const [source, target] = [join(dir, 'source'), join(dir, 'target')];
    for (const one of [source, target]) await mkdir(one);
    await mounts.mountFileSystem(
      { type: 'tmpfs', source: 'tmpfs', target: source, options: ['nodev', 'nosuid'] },
      signal,
    );
    await mkdir(join(source, 'sub'));
    await mounts.bindWithOptions({ source: join(source, 'sub'), target, options: ['ro', 'noatime'] }, signal);
    expect(await optionsOf(target)).toEqual(expect.arrayContaining(['ro', 'noatime', 'nodev', 'nosuid']));
    // somebody died before the options came: they come later, and the bind is no second one
    await mounts.unmount(target, signal);
    await mounts.bind(join(source, 'sub'), target, signal);
    await mounts.bindWithOptions({ source: join(source, 'sub'), target, options: ['ro'] }, signal);
    expect(await optionsOf(target)).toEqual(expect.arrayContaining(['ro', 'nodev', 'nosuid']));
    expect((await mounts.listMounts()).filter((entry) => entry.target === target)).toHaveLength(1);
    await mounts.unmountFileSystem(target, {}, signal); // and then nothing is an end, too
    await symlink(join(source, 'sub'), join(dir, 'link'));
    await mounts.bindWithOptions({ source: join(dir, 'link'), target, options: ['ro'] }, signal);
    expect(await optionsOf(target)).toEqual(expect.arrayContaining(['ro', 'nodev', 'nosuid']));
    await mounts.unmountFileSystem(target, {}, signal);
    await mounts.unmountFileSystem(target, {}, signal);
    expect(await optionsOf(target)).toEqual([]);
    expect(await optionsOf(source)).toContain('nodev');
  });
});

describe.runIf(isRoot)('block devices (need root and a loop device)', () => {
  async function withDevice(work: (device: string) => Promise<void>): Promise<boolean> {
    const file = join(dir, 'disk');
    await runCommand('truncate', ['-s', '16M', file], { signal });
    const device = await runCommand('losetup', ['-f', '--show', file], { signal }).then(
      ({ stdout }) => stdout.trim(),
      () => undefined, // no loop devices here
    );
    if (device === undefined) return false;
    try {
      await work(device);
    } finally {
      await mounts.unmount(join(dir, 'at'), signal);
      await runCommand('losetup', ['-d', device], { signal });
    }
    return true;
  }

  it('are formatted once, and never when something is on them', async ({ skip }) => {
    const target = join(dir, 'at');
    await mkdir(target);
    const hasRun = await withDevice(async (device) => {
      const disk = { device, target, fsType: '', options: [] };
      expect(await textOf(mounts.formatAndMount({ ...disk, options: ['ro'] }, signal))).toBe(
        `cannot mount unformatted disk ${device} as we are manipulating it in read-only mode`,
      );
      await mounts.formatAndMount(disk, signal);
      await writeFile(join(target, 'f'), 'kept');
      await mounts.unmount(target, signal);
      await mounts.formatAndMount({ ...disk, fsType: 'ext4' }, signal);
      expect(await readFile(join(target, 'f'), 'utf8')).toBe('kept');
      await mounts.unmount(target, signal);
      expect(await textOf(mounts.formatAndMount({ ...disk, fsType: 'xfs' }, signal))).toBe(
        'failed to mount the volume as "xfs", it already contains ext4',
      );
      expect(await textOf(mounts.formatAndMount({ ...disk, fsType: '../x' }, signal))).toContain(
        'invalid file system type',
      );
      await mounts.formatAndMount(disk, signal);
      expect(await readFile(join(target, 'f'), 'utf8')).toBe('kept');
    });
    if (!hasRun) skip('this machine has no loop devices');
  });
});
