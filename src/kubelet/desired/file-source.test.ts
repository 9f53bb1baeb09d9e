import { mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { awaitUntil } from '../../../test/await-until.ts';
import { systemClock } from '../../base/clock.ts';
import { FileSource } from './file-source.ts';

let root: string;
let directory: string;
let sets: string[];
let errors: Array<{ path: string; problems: string[]; fix: string }>;
let stop: AbortController;
let done: Promise<void>;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-manifests-'));
  directory = join(root, 'd');
  await mkdir(directory);
  sets = [];
  errors = [];
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await done;
  await rm(root, { recursive: true, force: true });
});

const manifest = (name: string, image = 'x'): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { containers: [{ name: 'c', image }] } });
const write = (file: string, text: string): Promise<void> => writeFile(join(directory, file), text);

function start(path = directory, periodMs = 60_000): void {
  const log = pino(
    { level: 'error' },
    new Writable({ write: (line: Buffer, _, next) => next(void errors.push(JSON.parse(line.toString()))) }),
  );
  const onPods = (
    pods: ReadonlyArray<{ metadata: { name: string }; spec: { containers: Array<{ image: string }> } }>,
  ): void => {
    sets.push(pods.map(({ metadata, spec }) => `${metadata.name} ${spec.containers[0]?.image}`).join(', '));
  };
  done = new FileSource({ path, nodeName: 'n', periodMs, onPods, clock: systemClock, log }).run(stop.signal);
}
const untilSet = (want: string): Promise<true> =>
  awaitUntil(`the set "${want}" (last: "${sets.at(-1)}")`, () => sets.at(-1) === want);

describe('FileSource', () => {
  it('reads regular files in order of their names, none beginning with a dot, none of folders', async () => {
    await write('b.yaml', manifest('b'));
    await write('a.json', manifest('a'));
    await write('.hidden.yaml', manifest('hidden'));
    await mkdir(join(directory, 'sub'));
    await write('sub/c.yaml', manifest('c'));
    start();
    await untilSet('a-n x, b-n x');
    expect(errors).toEqual([]);
  });

  it('sees files come, change and go without waiting for the next period', async () => {
    start();
    await untilSet('');
    await write('a.yaml', manifest('a'));
    await untilSet('a-n x');
    await write('a.yaml', manifest('a', 'y'));
    await untilSet('a-n y');
    await rename(join(directory, 'a.yaml'), join(directory, '.a.yaml'));
    await untilSet('');
  });

  it('follows links, as mounted configuration has them', async () => {
    await writeFile(join(root, 'real.yaml'), manifest('a'));
    await symlink(join(root, 'real.yaml'), join(directory, 'a.yaml'));
    start();
    await untilSet('a-n x');
  });

  it('says that there is nothing when the path is not there, and reads it when it is', async () => {
    start(join(root, 'later'), 50);
    await untilSet('');
    await mkdir(join(root, 'later'));
    await writeFile(join(root, 'later', 'a.yaml'), manifest('a'));
    await untilSet('a-n x');
  });

  it('reads a single file', async () => {
    await write('a.yaml', manifest('a'));
    await write('b.yaml', manifest('b'));
    start(join(directory, 'a.yaml'));
    await untilSet('a-n x');
  });

  it('names a file that cannot be used, once, and goes on with the others', async () => {
    await write('a.yaml', 'kind: Nonsense');
    await write('b.yaml', manifest('b'));
    start(directory, 20);
    await awaitUntil('some scans', () => sets.length >= 4);
    expect(sets.every((set) => set === 'b-n x')).toBe(true);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatchObject({
      path: join(directory, 'a.yaml'),
      problems: [expect.stringContaining('expected apiVersion "v1"')],
      fix: 'mend the file or remove it',
    });
  });

  it('keeps what ran from the last good content of a file that broke, until it is mended or removed', async () => {
    await write('a.yaml', manifest('a'));
    start(directory, 20);
    await untilSet('a-n x');
    await write('a.yaml', '{');
    await awaitUntil('the complaint', () => errors.length > 0);
    expect(errors.at(-1)?.fix).toMatch(/^its last good content goes on running/);
    expect(sets.at(-1)).toBe('a-n x');
    await write('a.yaml', manifest('a', 'y'));
    await untilSet('a-n y');
    await write('a.yaml', '{');
    await rm(join(directory, 'a.yaml'));
    await untilSet('');
  });

  it('refuses a file of more than 10 MiB without reading it', async () => {
    await write('big.yaml', '');
    await truncate(join(directory, 'big.yaml'), 10 * 1024 * 1024 + 1);
    start();
    await awaitUntil('the complaint', () => errors.length > 0);
    expect(errors[0]?.problems).toEqual(['the file has 10485761 bytes, more than 10485760']);
    expect(sets.at(-1)).toBe('');
  });
});
