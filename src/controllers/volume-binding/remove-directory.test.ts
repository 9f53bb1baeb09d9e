import { mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { removeDirectory } from './remove-directory.ts';

it('removeDirectory deletes a directory, and nothing that a link leads to', async () => {
  const top = await mkdtemp(join(await realpath(tmpdir()), 'gantry-remove-'));
  const { signal } = new AbortController();
  try {
    const precious = join(top, 'precious');
    await mkdir(join(precious, 'data'), { recursive: true });
    await writeFile(join(precious, 'data', 'file'), 'x');
    await mkdir(join(top, 'volumes', 'a', 'deep'), { recursive: true });
    await symlink(precious, join(top, 'volumes', 'a', 'link'));
    await removeDirectory(`${join(top, 'volumes', 'a')}/`, signal);
    expect(await readdir(join(top, 'volumes'))).toEqual([]);
    await symlink(precious, join(top, 'volumes', 'b'));
    await expect(removeDirectory(join(top, 'volumes', 'b', 'data'), signal)).rejects.toThrow('a link leads to');
    await expect(removeDirectory(join(top, 'volumes', 'b'), signal)).rejects.toThrow();
    expect(await readdir(join(precious, 'data'))).toEqual(['file']);
  } finally {
    await rm(top, { recursive: true });
  }
});
