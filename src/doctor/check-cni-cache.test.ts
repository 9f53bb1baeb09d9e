import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkCniCache } from './check-cni-cache.ts';

describe('checkCniCache', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gantry-cni-cache-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it.each<{ name: string; files: Record<string, string> | undefined; torn: string[] }>([
    { name: 'no folder', files: undefined, torn: [] },
    { name: 'nothing attached', files: {}, torn: [] },
    { name: 'whole files', files: { a: '{"kind":"cniCacheV1"}', b: '{}' }, torn: [] },
    { name: 'an empty file', files: { a: '', b: '{}' }, torn: ['a'] },
    { name: 'half a file, and zeros', files: { a: '{"kind":"cni', b: '{}', c: '\0\0' }, torn: ['a', 'c'] },
  ])('names what is torn: $name', async ({ files, torn }) => {
    if (files !== undefined) await mkdir(join(directory, 'results'));
    for (const [name, text] of Object.entries(files ?? {})) await writeFile(join(directory, 'results', name), text);
    const finding = await checkCniCache(directory, Date.now() + 60_000);
    expect((await checkCniCache(directory, Date.now())).status).toBe('ok'); // they may still be written
    expect(finding.status).toBe(torn.length === 0 ? 'ok' : 'fail');
    const paths = torn.map((name) => join(directory, 'results', name));
    if (torn.length > 0) expect(finding).toMatchObject({ fix: `rm ${paths.join(' ')}` });
  });
});
