import { existsSync } from 'node:fs';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errnoOf } from '../../base/errors.ts';
import { runCommand } from '../processes/processes.ts';
import { Mounts, kernelHasNoSwap } from './mounts.ts';
import { openBeneath, openDirectory } from './open-path.ts';

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('mounts: tests that mount are skipped: they need root');

const signal = new AbortController().signal;
const mounts = new Mounts();
let dir = '';

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'gantry-mounts-')));
});

afterEach(async () => {
  const ours = (await mounts.listMounts()).filter(({ target }) => target.startsWith(`${dir}/`) || target === dir);
  for (const { target } of ours.toReversed()) await mounts.unmount(target, signal);
  await rm(dir, { recursive: true });
});

describe('kernelHasNoSwap', () => {
  it.each([
    ['6.4.0', true],
    ['6.3.9-amd64', false],
    ['6.18.44-x', true],
    ['7.0.1', true],
    ['5.15.0-91-generic', false],
    ['odd', false],
  ])('%s: %s', (kernel, want) => {
    expect(kernelHasNoSwap(kernel)).toBe(want);
  });
});

describe.runIf(isRoot)('mounting (needs root)', () => {
  it('mounts a tmpfs of the asked size and takes it off', async () => {
    const target = join(dir, 'mem');
    await mkdir(target);
    expect(await mounts.isMountPoint(target, signal)).toBe(false);
    await mounts.mountTmpfs(target, { sizeBytes: 1024 * 1024 }, signal);
    expect(await mounts.isMountPoint(target, signal)).toBe(true);
    const entry = (await mounts.listMounts()).find((mount) => mount.target === target);
    expect(entry).toMatchObject({ fsType: 'tmpfs', source: 'tmpfs' });
    expect(entry?.superOptions).toContain('size=1024k');
    expect(entry?.superOptions.includes('noswap')).toBe(kernelHasNoSwap(release()));
    await expect(writeFile(join(target, 'big'), Buffer.alloc(2 * 1024 * 1024))).rejects.toMatchObject({
      code: 'ENOSPC',
    });
    await mounts.unmount(target, signal);
    expect(await mounts.isMountPoint(target, signal)).toBe(false);
  });

  it('unmounting takes off all layers, and succeeds where nothing is mounted', async () => {
    const target = join(dir, 'mem');
    await mkdir(target);
    await mounts.mountTmpfs(target, { sizeBytes: 4096 }, signal);
    await mounts.mountTmpfs(target, { sizeBytes: 4096 }, signal);
    await mounts.unmount(target, signal);
    expect(await mounts.isMountPoint(target, signal)).toBe(false);
    await mounts.unmount(target, signal);
    await mounts.unmount(join(dir, 'never'), signal);
  });

  it('says what failed, where and why', async () => {
    const target = join(dir, 'busy');
    await mkdir(target);
    await mounts.mountTmpfs(target, { sizeBytes: 1024 * 1024 }, signal);
    const file = await open(join(target, 'f'), 'w');
    const failure: unknown = await mounts.unmount(target, signal).catch((err: unknown) => err);
    await file.close();
    expect(errnoOf(failure)).toBe('EBUSY');
    expect(String(failure)).toBe(`SyscallError: Cannot umount2 "${target}": in use (EBUSY)`);
    await expect(mounts.mountTmpfs(join(dir, 'no'), { sizeBytes: 1 }, signal)).rejects.toMatchObject({
      code: 'ENOENT',
      syscall: 'mount',
    });
  });

  it('refuses bad arguments before the kernel sees them', async () => {
    await expect(mounts.mountTmpfs(dir, { sizeBytes: 0 }, signal)).rejects.toThrow(RangeError);
    await expect(mounts.mountTmpfs('relative', { sizeBytes: 1 }, signal)).rejects.toThrow(TypeError);
    await expect(mounts.bind('relative', dir, signal)).rejects.toThrow(TypeError);
    await expect(mounts.bind(`${dir}\0x`, dir, signal)).rejects.toThrow(TypeError);
  });

  it('recognises a bind of the same file system, of directories and of files', async () => {
    await mkdir(join(dir, 'a'));
    await mkdir(join(dir, 'b'));
    await writeFile(join(dir, 'f'), 'x');
    await writeFile(join(dir, 'g'), '');
    await mounts.bind(join(dir, 'a'), join(dir, 'b'), signal);
    await mounts.bind(join(dir, 'f'), join(dir, 'g'), signal);
    expect(await mounts.isMountPoint(join(dir, 'b'), signal)).toBe(true);
    expect(await mounts.isMountPoint(join(dir, 'g'), signal)).toBe(true);
    expect(await mounts.isMountPoint(join(dir, 'a'), signal)).toBe(false);
    expect(await readFile(join(dir, 'g'), 'utf8')).toBe('x');
  });

  it('makes a directory shared once', async () => {
    const root = join(dir, 'root');
    await mounts.ensureShared(root, signal);
    await mounts.ensureShared(root, signal);
    const found = (await mounts.listMounts()).filter(({ target }) => target === root);
    expect(found).toHaveLength(1);
    expect(found[0]?.propagation.join()).toMatch(/^shared:\d+$/);
  });

  it('runs many calls at once', async () => {
    const targets = Array.from({ length: 300 }, (_, i) => join(dir, `missing-${i}`));
    await Promise.all(targets.map((target) => mounts.unmount(target, signal)));
    expect(await mounts.isMountPoint(targets[0] ?? '', signal)).toBe(false);
  });
});

describe('opening below a directory', () => {
  it.each([
    { path: '../outside', links: 'inside', want: 'EXDEV' },
    { path: 'out/secret', links: 'inside', want: 'EXDEV' },
    { path: 'in/x', links: 'none', want: 'ELOOP' },
    { path: '/etc/passwd', links: 'inside', want: 'EXDEV' },
    { path: 'in/nothing', links: 'inside', want: 'ENOENT' },
  ] as const)('$path with links $links: $want', async ({ path, links, want }) => {
    await mkdir(join(dir, 'vol/real'), { recursive: true });
    await mkdir(join(dir, 'outside'));
    await writeFile(join(dir, 'vol/real/x'), '');
    await writeFile(join(dir, 'outside/secret'), '');
    await symlink('real', join(dir, 'vol/in'));
    await symlink(join(dir, 'outside'), join(dir, 'vol/out'));
    await using root = await openDirectory(join(dir, 'vol'));
    await expect(openBeneath(root, path, { links }, signal)).rejects.toMatchObject({ code: want });
    await using inside = await openBeneath(root, 'in/x', { links: 'inside' }, signal);
    expect((await stat(inside.path)).isFile()).toBe(true);
  });

  it('takes single names only', async () => {
    await using root = await openDirectory(dir);
    for (const name of ['', '.', '..', 'a/b', 'a\0b']) expect(() => root.at(name)).toThrow(TypeError);
  });
});

describe('deleting a tree', () => {
  it('deletes files, links, deep directories and names that are no UTF-8, but not what links lead to', async () => {
    await mkdir(join(dir, 'keep'));
    await writeFile(join(dir, 'keep/data'), 'precious');
    await mkdir(join(dir, 'tree', ...Array.from({ length: 130 }, () => 'deep')), { recursive: true });
    await symlink(join(dir, 'keep'), join(dir, 'tree/link'));
    const odd = Buffer.concat([Buffer.from(`${dir}/tree/`), Buffer.from([0xff, 0xfe])]);
    await writeFile(odd, 'x');
    await mkdir(Buffer.concat([odd, Buffer.from('d')]));
    await mounts.removeTree(join(dir, 'tree'), signal);
    expect(await readdir(dir)).toEqual(['keep']);
    expect(await readFile(join(dir, 'keep/data'), 'utf8')).toBe('precious');
    await mounts.removeTree(join(dir, 'tree'), signal);
    await mounts.removeTree(join(dir, 'gone/tree'), signal);
  });

  it('refuses a link in place of the tree', async () => {
    await mkdir(join(dir, 'keep'));
    await writeFile(join(dir, 'keep/data'), 'precious');
    await symlink('keep', join(dir, 'tree'));
    await expect(mounts.removeTree(join(dir, 'tree'), signal)).rejects.toMatchObject({ code: 'ELOOP' });
    expect(existsSync(join(dir, 'keep/data'))).toBe(true);
  });

  it.runIf(isRoot)('stops at a mount point, even a bind of the same file system (needs root)', async () => {
    await mkdir(join(dir, 'keep'));
    await writeFile(join(dir, 'keep/data'), 'precious');
    await mkdir(join(dir, 'tree/sub/bound'), { recursive: true });
    await mounts.bind(join(dir, 'keep'), join(dir, 'tree/sub/bound'), signal);
    const shown = join(dir, 'tree/sub/bound');
    await expect(mounts.removeTree(join(dir, 'tree'), signal)).rejects.toThrow(
      `cannot delete directory ${shown}: it is a mount point`,
    );
    await expect(mounts.removeTree(shown, signal)).rejects.toThrow('it is a mount point');
    expect(await readFile(join(dir, 'keep/data'), 'utf8')).toBe('precious');
    await mounts.unmount(shown, signal);
    await mounts.removeTree(join(dir, 'tree'), signal);
    expect(await readdir(dir)).toEqual(['keep']);
  });

  it('removes empty directories only', async () => {
    await mkdir(join(dir, 'tree/a/b'), { recursive: true });
    await writeFile(join(dir, 'tree/a/f'), '');
    await expect(mounts.removeEmptyDirectories(join(dir, 'tree'), signal)).rejects.toThrow('it holds a file');
    await unlink(join(dir, 'tree/a/f'));
    await mounts.removeEmptyDirectories(join(dir, 'tree'), signal);
    expect(existsSync(join(dir, 'tree'))).toBe(false);
  });
});

describe.runIf(isRoot)('giving a tree to a group (needs root)', () => {
  it('leaves what is mounted inside alone', async () => {
    for (const name of ['others', 'tree/inside']) await mkdir(join(dir, name), { recursive: true });
    await writeFile(join(dir, 'others/f'), '');
    await mounts.bind(join(dir, 'others'), join(dir, 'tree/inside'), signal);
    const change = { gid: 4242, fileBits: 0o660, directoryBits: 0o2770 };
    const { failures } = await mounts.changeGroup(join(dir, 'tree'), change, signal);
    expect(failures).toBe(1); // told in the log
    for (const [name, gid] of Object.entries({ tree: 4242, others: 0, 'others/f': 0 }))
      expect([name, (await stat(join(dir, name))).gid]).toEqual([name, gid]);
  });

  it('adds bits and the group, leaves links and what they lead to alone', async () => {
    await mkdir(join(dir, 'vol/sub'), { recursive: true });
    await writeFile(join(dir, 'vol/sub/f'), '', { mode: 0o400 });
    await writeFile(join(dir, 'outside'), '', { mode: 0o600 });
    await symlink(join(dir, 'outside'), join(dir, 'vol/link'));
    await chmod(join(dir, 'vol'), 0o777);
    let files = 0;
    const result = await mounts.changeGroup(
      join(dir, 'vol'),
      { gid: 4321, fileBits: 0o660, directoryBits: 0o2770, onEach: () => files++ },
      signal,
    );
    expect(files).toBe(4);
    expect(result).toEqual({ failures: 0, firstFailure: undefined });
    const seen = async (path: string): Promise<string> => {
      const { mode, gid } = await lstat(join(dir, path));
      return `${(mode & 0o7777).toString(8)} ${gid}`;
    };
    expect(await seen('vol')).toBe('2777 4321');
    expect(await seen('vol/sub')).toBe('2775 4321');
    expect(await seen('vol/sub/f')).toBe('660 4321');
    expect(await seen('vol/link')).toBe('777 4321');
    expect(await seen('outside')).toBe('600 0');
  });
});

describe.runIf(isRoot)('sub paths (need root)', () => {
  const bind = (subPath: string, index = 0): Promise<void> =>
    mounts.bindSubPath({ volumePath: join(dir, 'vol'), subPath, target: join(dir, `binds/v/c/${index}`) }, signal);

  beforeEach(async () => {
    await mkdir(join(dir, 'vol/a/b'), { recursive: true });
    await mkdir(join(dir, 'outside'));
    await writeFile(join(dir, 'outside/secret'), 'secret');
    await writeFile(join(dir, 'vol/a/file'), 'old');
    await symlink('a', join(dir, 'vol/inside'));
    await symlink(join(dir, 'vol/a'), join(dir, 'vol/absolute-inside'));
    await symlink(join(dir, 'outside'), join(dir, 'vol/escape'));
    await symlink('../outside/new', join(dir, 'vol/dangling'));
  });

  it.each([
    { subPath: '/etc', want: 'error SubPath `/etc` must not be an absolute path' },
    { subPath: 'a/../../outside', want: "unable to provision SubPath `a/../../outside`: must not contain '..'" },
    { subPath: 'escape', want: 'not within volume path' },
    { subPath: 'escape/secret', want: 'not within volume path' },
  ])('refuses $subPath', async ({ subPath, want }) => {
    await expect(bind(subPath)).rejects.toThrow(want);
    expect(existsSync(join(dir, 'binds'))).toBe(false);
  });

  it.each(['a', 'inside', 'absolute-inside', './a//'])('binds the directory %s', async (subPath) => {
    await bind(subPath);
    expect((await readdir(join(dir, 'binds/v/c/0'))).toSorted()).toEqual(['b', 'file']);
    await mounts.removeSubPathBinds(join(dir, 'binds/v'), signal);
    expect(await readdir(join(dir, 'binds'))).toEqual([]);
    expect(await readFile(join(dir, 'vol/a/file'), 'utf8')).toBe('old');
  });

  it('binds a file, keeps the bind while it is the same file, follows a new one at the next start', async () => {
    const shown = (): Promise<string> => readFile(join(dir, 'binds/v/c/0'), 'utf8');
    await bind('a/file');
    await bind('a/file');
    expect((await mounts.listMounts()).filter(({ target }) => target === join(dir, 'binds/v/c/0'))).toHaveLength(1);
    await writeFile(join(dir, 'vol/a/new'), 'new');
    await rename(join(dir, 'vol/a/new'), join(dir, 'vol/a/file'));
    expect(await shown()).toBe('old');
    await bind('a/file');
    expect(await shown()).toBe('new');
    await unlink(join(dir, 'vol/a/file'));
    await mkdir(join(dir, 'vol/a/file'));
    await bind('a/file');
    expect(await readdir(join(dir, 'binds/v/c/0'))).toEqual([]);
    await mounts.removeSubPathBinds(join(dir, 'binds/v'), signal);
  });

  it('makes missing directories with the mode of the volume', async () => {
    await chmod(join(dir, 'vol'), 0o3775);
    await mounts.makeSubPath({ volumePath: join(dir, 'vol'), subPath: 'inside/x/y' }, signal);
    expect((await stat(join(dir, 'vol/a/x/y'))).mode & 0o7777).toBe(0o3775);
    expect((await stat(join(dir, 'vol/a/x'))).mode & 0o7777).toBe(0o3775);
    expect((await stat(join(dir, 'vol/a'))).mode & 0o7777).toBe(0o755);
  });

  it.each(['dangling', 'dangling/x', 'escape/new', 'a/file/x'])('makes nothing at %s', async (subPath) => {
    await expect(mounts.makeSubPath({ volumePath: join(dir, 'vol'), subPath }, signal)).rejects.toThrow();
    expect(await readdir(join(dir, 'outside'))).toEqual(['secret']);
  });

  it('neither binds nor makes anything where a racing link leads', async () => {
    // Another container swaps a directory for a link to the outside, as fast as it can.
    let isOver = false;
    const attack = (async () => {
      const prepare = async (): Promise<void> => {
        await rm(join(dir, 'vol/target'), { recursive: true, force: true }); // made by the other side, between two steps
        await mkdir(join(dir, 'vol/swap-dir'), { recursive: true });
        await symlink(join(dir, 'outside'), join(dir, 'vol/swap-link')).catch(() => {}); // it is there
      };
      const swap = async (): Promise<void> => {
        await rename(join(dir, 'vol/swap-dir'), join(dir, 'vol/target'));
        await rename(join(dir, 'vol/target'), join(dir, 'vol/swap-dir'));
        await rename(join(dir, 'vol/swap-link'), join(dir, 'vol/target'));
        await rename(join(dir, 'vol/target'), join(dir, 'vol/swap-link'));
      };
      await prepare();
      while (!isOver) await swap().catch(prepare);
    })();
    const outcomes = new Map<string, number>();
    for (let i = 0; i < 300; i++) {
      const failure = await bind('target').then(
        () => undefined,
        (err: unknown) => err,
      );
      if (failure === undefined) expect(await readdir(join(dir, 'binds/v/c/0'))).not.toContain('secret');
      await mounts.makeSubPath({ volumePath: join(dir, 'vol'), subPath: 'target/made' }, signal).catch(() => {});
      const kind = failure === undefined ? 'bound' : (errnoOf(failure) ?? 'refused');
      outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
    }
    isOver = true;
    await attack;
    expect([...outcomes.values()].reduce((a, b) => a + b, 0)).toBe(300);
    expect(outcomes.size).toBeGreaterThan(1); // the race was run: not all ended alike
    expect(await readdir(join(dir, 'outside'))).toEqual(['secret']);
  });
});

describe('reading a file that others wrote', () => {
  const read = (path: string, maxBytes = 100): Promise<string> =>
    mounts.readFileIn({ root: join(dir, 'vol'), path, maxBytes }, signal).then((bytes) => bytes.toString());

  beforeEach(async () => {
    await mkdir(join(dir, 'vol/sub'), { recursive: true });
    await writeFile(join(dir, 'vol/sub/f'), 'inside');
    await writeFile(join(dir, 'secret'), 'outside');
    await symlink('/sub/f', join(dir, 'vol/absolute'));
    await symlink(join(dir, 'secret'), join(dir, 'vol/escape'));
    await symlink('../../../secret', join(dir, 'vol/climb'));
    await runCommand('mkfifo', [join(dir, 'vol/pipe')], { signal });
  });

  it('takes the directory for the root: links stay inside', async () => {
    expect(await read('sub/f')).toBe('inside');
    expect(await read('absolute')).toBe('inside');
    await expect(read('escape')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(read('climb')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(read('../secret')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('refuses what is no file, and what is too large', async () => {
    await expect(read('pipe')).rejects.toThrow('it is not a file');
    await expect(read('sub')).rejects.toThrow('it is not a file');
    await expect(read('sub/f', 5)).rejects.toThrow('it is larger than 5 bytes');
    expect(await read('sub/f', 6)).toBe('inside');
  });
});

it('opens no path through a FIFO', async () => {
  // O_PATH does not open the thing itself: a FIFO without a writer would block a worker for ever.
  await runCommand('mkfifo', [join(dir, 'pipe')], { signal });
  await using root = await openDirectory(dir);
  await using pipe = await openBeneath(root, 'pipe', { links: 'none' }, signal);
  expect((await stat(pipe.path)).isFIFO()).toBe(true);
});
