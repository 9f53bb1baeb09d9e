import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { NodeCredentials } from './node-credentials.ts';

let dir: string;
let clock: FakeClock;
let credentials: NodeCredentials;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gantry-docker-'));
  clock = new FakeClock();
  const places = { rootDir: join(dir, 'root'), workingDirectory: join(dir, 'cwd'), home: join(dir, 'home'), top: dir };
  credentials = new NodeCredentials({ places, clock, log: silentLogger });
});
afterEach(() => rm(dir, { recursive: true }));

async function write(path: string, content: string): Promise<void> {
  await mkdir(dirname(join(dir, path)), { recursive: true });
  await writeFile(join(dir, path), content);
}
const users = async (): Promise<string[]> => (await credentials.entries()).map(({ credential }) => credential.username);
const auths = (username: string): string => `{"r.test":{"username":"${username}","password":"x"}}`;

describe('node credentials', () => {
  const json = ['root/config.json', 'cwd/config.json', 'home/.docker/config.json', '.docker/config.json'];
  const flat = ['root/.dockercfg', 'cwd/.dockercfg', 'home/.dockercfg', '.dockercfg'];

  it.each(json.map((_, i) => json.slice(i)))('of config.json the first counts: %s', async (...paths) => {
    for (const path of paths) await write(path, `{"auths":${auths(path)}}`);
    expect(await users()).toEqual(paths.slice(0, 1));
  });

  it.each(flat.map((_, i) => flat.slice(i)))('of .dockercfg the first counts: %s', async (...paths) => {
    for (const path of paths) await write(path, auths(path));
    expect(await users()).toEqual(paths.slice(0, 1));
  });

  it('both forms count, a broken file does not, and all is the node’s', async () => {
    await write('root/config.json', '{');
    await write('cwd/config.json', `{"auths":${auths('json')}}`);
    await write('.dockercfg', auths('flat'));
    expect(await users()).toEqual(['json', 'flat']);
    expect((await credentials.entries()).map(({ origin }) => origin)).toEqual([{ kind: 'node' }, { kind: 'node' }]);
  });

  it('are there for all pods that start at once, not only for the one that has them read', async () => {
    await write('root/config.json', `{"auths":${auths('node')}}`);
    expect(await Promise.all([users(), users(), users()])).toEqual([['node'], ['node'], ['node']]);
    await write('root/config.json', `{"auths":${auths('new')}}`);
    await clock.advance(300_000);
    expect(await Promise.all([users(), users()])).toEqual([['new'], ['new']]);
  });

  it('are read again after five minutes', async () => {
    expect(await users()).toEqual([]);
    await write('root/config.json', `{"auths":${auths('new')}}`);
    await clock.advance(299_000);
    expect(await users()).toEqual([]);
    await clock.advance(1000);
    expect(await users()).toEqual(['new']);
  });
});
