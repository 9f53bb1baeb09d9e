import { mkdir, mkdtemp, readFile, readdir, readlink, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cleanPayload, writeAtomically } from './atomic-writer.ts';
import type { Payload } from './file-payload.ts';

let dir = '';
beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'gantry-writer-')));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

const options = {
  nowMs: Date.UTC(2026, 0, 31, 23, 59, 58),
  beforeSwitch: () => Promise.resolve(),
  removeTree: (path: string) => rm(path, { recursive: true, force: true }),
};

const payload = (files: Record<string, string>, mode = 0o644): Payload =>
  new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode }]));

const write = (files: Record<string, string>): Promise<boolean> => writeAtomically(dir, payload(files), options);

describe('cleanPayload', () => {
  it.each([
    ['', 'invalid path: must not be empty: ""'],
    ['./', 'invalid path: must not be empty: "./"'],
    ['/etc/passwd', 'invalid path: must be relative path: /etc/passwd'],
    ['../x', "invalid path: must not contain '..': ../x"],
    ['a/../../x', "invalid path: must not contain '..': a/../../x"],
    ['a/..', "invalid path: must not contain '..': a/.."],
    ['..data', "invalid path: must not start with '..': ..data"],
    ['./..data', "invalid path: must not start with '..': ..data"],
    ['..2026/x', "invalid path: must not start with '..': ..2026/x"],
    ['a'.repeat(256), 'invalid path: filenames must be less than or equal to 255 characters'],
    [`${'a/'.repeat(2048)}b`, 'invalid path: must be less than or equal to 4096 characters'],
  ])('refuses %j', (path, want) => {
    expect(() => cleanPayload(payload({ [path]: '' }))).toThrow(new Error(want));
  });

  it.each([
    ['a//b/./c/', 'a/b/c'],
    ['a..b', 'a..b'],
    ['.hidden', '.hidden'],
    ['a/..b', 'a/..b'],
    ['a'.repeat(255), 'a'.repeat(255)],
  ])('takes %j', (path, want) => {
    expect([...cleanPayload(payload({ [path]: '' })).keys()]).toEqual([want]);
  });
});

describe('writeAtomically', () => {
  it('makes the links, the set and the exact modes', async () => {
    expect(await writeAtomically(dir, payload({ key: 'v', 'sub/x/y': 'deep' }, 0o466), options)).toBe(true);
    const set = await readlink(join(dir, '..data'));
    expect(set).toMatch(/^\.\.2026_01_31_23_59_58\.\d+$/);
    expect((await readdir(dir)).toSorted()).toEqual(['..data', set, 'key', 'sub'].toSorted());
    expect(await readlink(join(dir, 'key'))).toBe('..data/key');
    expect(await readlink(join(dir, 'sub'))).toBe('..data/sub');
    expect(await readFile(join(dir, 'sub/x/y'), 'utf8')).toBe('deep');
    expect((await stat(join(dir, 'key'))).mode & 0o7777).toBe(0o466);
    expect((await stat(join(dir, set))).mode & 0o7777).toBe(0o755);
  });

  it('leaves an equal set alone, even when modes differ, and repairs its links', async () => {
    await write({ key: 'v', other: 'w' });
    const set = await readlink(join(dir, '..data'));
    await rm(join(dir, 'key'));
    expect(await writeAtomically(dir, payload({ key: 'v', other: 'w' }, 0o400), options)).toBe(false);
    expect(await readlink(join(dir, '..data'))).toBe(set);
    expect(await readFile(join(dir, 'key'), 'utf8')).toBe('v');
  });

  it('replaces the set, removes what is gone, keeps what others put there', async () => {
    await write({ key: 'v', gone: 'x', 'sub/a': '1' });
    const old = await readlink(join(dir, '..data'));
    await mkdir(join(dir, 'nested'));
    await symlink('/elsewhere', join(dir, 'foreign'));
    expect(await write({ key: 'new', 'sub/b': '2' })).toBe(true);
    const set = await readlink(join(dir, '..data'));
    expect(set).not.toBe(old);
    expect((await readdir(dir)).toSorted()).toEqual(['..data', set, 'foreign', 'key', 'nested', 'sub'].toSorted());
    expect(await readdir(join(dir, 'sub'))).toEqual(['b']);
    expect(await readFile(join(dir, 'key'), 'utf8')).toBe('new');
  });

  it('an empty payload leaves an empty volume', async () => {
    await write({ key: 'v' });
    await write({});
    expect((await readdir(dir)).filter((name) => !name.startsWith('..'))).toEqual([]);
  });

  it('goes on after a crash at each step', async () => {
    await write({ key: 'v1' });
    await mkdir(join(dir, '..2026_01_01_00_00_00.1'));
    await writeFile(join(dir, '..2026_01_01_00_00_00.1/key'), 'half');
    await symlink('..2026_01_01_00_00_00.1', join(dir, '..data_tmp'));
    await write({ key: 'v2' });
    expect(await readFile(join(dir, 'key'), 'utf8')).toBe('v2');
    expect(await readdir(dir)).toHaveLength(3);
  });

  it('shows the old set when the new one cannot be finished', async () => {
    await write({ key: 'v1' });
    const failing = { ...options, beforeSwitch: () => Promise.reject(new Error('no space')) };
    await expect(writeAtomically(dir, payload({ key: 'v2' }), failing)).rejects.toThrow('no space');
    await expect(write({ a: 'file', 'a/b': 'and directory' })).rejects.toThrow();
    expect(await readFile(join(dir, 'key'), 'utf8')).toBe('v1');
    expect(await readdir(dir)).toHaveLength(3);
  });

  it('does not follow a planted ..data', async () => {
    await mkdir(join(dir, 'vol'));
    await mkdir(join(dir, 'outside'));
    await symlink('../outside', join(dir, 'vol/..data'));
    await writeAtomically(join(dir, 'vol'), payload({ key: 'v' }), options);
    expect(await readdir(join(dir, 'outside'))).toEqual([]);
    expect(await readFile(join(dir, 'vol/key'), 'utf8')).toBe('v');
  });

  it('readers see whole sets only, over many updates', async () => {
    const files = (n: number): Record<string, string> => ({ a: `${n}`, b: `${n}`, 'sub/c': `${n}` });
    await write(files(0));
    let isOver = false;
    const seen = new Set<string>();
    const read = async (): Promise<void> => {
      while (!isOver) {
        // One resolved directory is one set, as an application sees it that follows `..data` once.
        const set = await readlink(join(dir, '..data'));
        const texts = await Promise.all(
          ['a', 'b', 'sub/c'].map((name) => readFile(join(dir, set, name), 'utf8').catch(() => 'gone')),
        );
        // The old set is deleted after the switch: a slow reader may find it gone, never changed.
        const kinds = new Set(texts.filter((text) => text !== 'gone'));
        if (kinds.size > 1) throw new Error(`a mixture: ${texts.join()}`);
        for (const text of kinds) seen.add(text);
        await readFile(join(dir, 'a'), 'utf8').catch(() => {});
      }
    };
    const readers = Promise.all([read(), read()]);
    for (let n = 1; n <= 150; n++) await write(files(n));
    isOver = true;
    await readers;
    expect(seen.size).toBeGreaterThan(10);
    expect(await readFile(join(dir, 'sub/c'), 'utf8')).toBe('150');
  });
});
