import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endWhenChanged } from './end-when-changed.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-config-'));
});
afterEach(() => rm(directory, { recursive: true }));

describe('endWhenChanged', () => {
  const at = (...parts: string[]): string => join(directory, ...parts);

  const layouts = {
    'a file': () => writeFile(at('config.conf'), 'one'),
    'a file of a ConfigMap': async () => {
      await mkdir(at('..v1'));
      await writeFile(at('..v1', 'config.conf'), 'one');
      await symlink('..v1', at('..data'));
      await symlink('..data/config.conf', at('config.conf'));
    },
  };
  const replace = async (): Promise<void> => {
    await writeFile(at('new'), 'two');
    await rename(at('new'), at('config.conf'));
  };
  const turn = async (): Promise<void> => {
    await mkdir(at('..v2'));
    await writeFile(at('..v2', 'config.conf'), 'two');
    await symlink('..v2', at('..data_tmp'));
    await rename(at('..data_tmp'), at('..data'));
    await rm(at('..v1'), { recursive: true });
  };

  it.each([
    { layout: 'a file', name: 'is written', change: () => writeFile(at('config.conf'), 'two') },
    { layout: 'a file', name: 'is replaced', change: replace },
    { layout: 'a file of a ConfigMap', name: 'is written', change: () => writeFile(at('config.conf'), 'two') },
    { layout: 'a file of a ConfigMap', name: 'is updated', change: turn },
  ] as const)('ends when $layout $name, and not when it is touched', async ({ layout, change }) => {
    await layouts[layout]();
    const stop = new AbortController();
    let isOver = false;
    const done = endWhenChanged(at('config.conf'), 'it was updated', stop.signal).finally(() => (isOver = true));
    const seen = expect(done).rejects.toThrow('it was updated');
    for (let i = 1; i <= 20; i++) await utimes(at('config.conf'), i, i);
    expect(isOver).toBe(false);
    await change();
    await seen;
  });

  it('ends quietly with its signal', async () => {
    await layouts['a file']();
    const stop = new AbortController();
    const done = endWhenChanged(at('config.conf'), 'it was updated', stop.signal);
    stop.abort();
    await expect(done).resolves.toBeUndefined();
  });
});
