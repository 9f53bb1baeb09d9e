import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { hostResolverProblems, readHostResolver } from './host-resolver.ts';

let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-resolver-'));
  file = join(directory, 'resolv.conf');
});
afterEach(() => rm(directory, { recursive: true }));

it('reads the file anew each time; none when there is to be none', async () => {
  await writeFile(file, 'nameserver 192.0.2.1\n');
  expect((await readHostResolver(file))?.servers).toEqual(['192.0.2.1']);
  await writeFile(file, 'nameserver 192.0.2.2\n');
  expect((await readHostResolver(file))?.servers).toEqual(['192.0.2.2']);
  expect(await readHostResolver('')).toBeUndefined();
});

it.each([
  { name: 'is not there', put: () => Promise.resolve(), why: 'ENOENT' },
  { name: 'has a nameserver line without a name', put: () => writeFile(file, 'nameserver\n'), why: 'list is empty ' },
  {
    name: 'is larger than 10 MiB',
    put: async () => {
      await writeFile(file, '');
      await truncate(file, 10 * 1024 * 1024 + 1);
    },
    why: 'it is larger than 10485760 bytes',
  },
])('no pod gets a name service from a file that $name, and the node says so at its start', async ({ put, why }) => {
  await put();
  await expect(readHostResolver(file)).rejects.toThrow(`"${file}" (resolvConf)`);
  const [problem = '', ...more] = await hostResolverProblems(file, true);
  expect(problem).toContain(why);
  expect(more).toEqual([]);
});

it('a file of exactly 10 MiB is read', async () => {
  await writeFile(file, `nameserver 192.0.2.1\n#`);
  await truncate(file, 10 * 1024 * 1024);
  expect((await readHostResolver(file))?.servers).toEqual(['192.0.2.1']);
});

it('at the start: search lines that leave no room for those of pods, and none when there is no file', async () => {
  await writeFile(file, `search ${Array.from({ length: 30 }, (_, i) => `s${i}`).join(' ')}\n`);
  expect(await hostResolverProblems(file, false)).toEqual([]);
  expect(await hostResolverProblems(file, true)).toEqual([
    `Resolv.conf file '${file}' contains search line consisting of more than 29 domains!`,
  ]);
  expect(await hostResolverProblems('', true)).toEqual([]);
});
