import { appendFileSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, systemClock } from '../../../base/clock.ts';
import { isNotFound } from '../../../base/errors.ts';
import { silentLogger } from '../../../base/logger.ts';
import { ContainerLogs, type ContainerLogsNeed, type LogReadOptions } from './logs.ts';

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'logs-'));
  await mkdir(join(root, 'pods', 'web'), { recursive: true });
  path = join(root, 'pods', 'web', '0.log');
});
afterEach(() => rm(root, { recursive: true }));

const entry = (text: string, second = 0, tag = 'F'): string =>
  `2026-01-01T00:00:${String(second).padStart(2, '0')}.5Z stdout ${tag} ${text}\n`;

function logsWith(need: Partial<ContainerLogsNeed> = {}): ContainerLogs {
  return new ContainerLogs({
    logsDirectory: join(root, 'pods'),
    rotation: { maxSizeBytes: 100, maxFiles: 4, workersMax: 1, periodMs: 10_000 },
    runningContainers: () => Promise.resolve([]),
    reopen: () => Promise.resolve(),
    clock: systemClock,
    log: silentLogger,
    ...need,
  });
}

const never = new AbortController().signal;
const all: LogReadOptions = {
  follow: false,
  tailLines: undefined,
  sinceMs: undefined,
  timestamps: false,
  limitBytes: undefined,
};

async function readAll(options: Partial<LogReadOptions>): Promise<string> {
  let text = '';
  for await (const piece of await logsWith().read(path, { ...all, ...options }, () => Promise.resolve(false), never)) {
    text += piece.toString();
  }
  return text;
}

describe('ContainerLogs.read', () => {
  it.each([
    { name: 'everything', options: {}, want: 'one\ntwo\nthree\n' },
    { name: 'the last two', options: { tailLines: 2 }, want: 'two\nthree\n' },
    { name: 'none', options: { tailLines: 0 }, want: '' },
    { name: 'since a time', options: { sinceMs: Date.parse('2026-01-01T00:00:02.5Z') }, want: 'two\nthree\n' },
    { name: 'so many bytes', options: { limitBytes: 5 }, want: 'one\nt' },
    { name: 'with times', options: { tailLines: 1, timestamps: true }, want: '2026-01-01T00:00:03.500000000Z three\n' },
  ])('gives $name', async ({ options, want }) => {
    await writeFile(path, entry('one', 1) + entry('two', 2) + entry('three', 3));
    expect(await readAll(options)).toBe(want);
  });

  it('gives an unfinished last line, and skips lines that are none', async () => {
    await writeFile(path, `${entry('one')}garbage\n${entry('two').slice(0, -1)}`);
    expect(await readAll({})).toBe('one\ntwo');
  });

  it('joins a long line that the runtime cut, across blocks of the file', async () => {
    const long = 'x'.repeat(50_000);
    await writeFile(path, entry(long, 1, 'P') + entry(long, 1, 'P') + entry('end', 1));
    expect(await readAll({})).toBe(`${long}${long}end\n`);
  });

  it('says that there is no such file', async () => {
    const failure = await readAll({}).catch((err: unknown) => err);
    expect(isNotFound(failure)).toBe(true);
  });

  it('refuses a link out of the log directory', async () => {
    await writeFile(join(root, 'secret'), entry('secret'));
    await symlink(join(root, 'secret'), path);
    await expect(readAll({})).rejects.toThrow('leads out of');
  });
});

describe('ContainerLogs.read with follow', () => {
  it('goes on over a rename and a new file, and ends when the container has stopped', async () => {
    await writeFile(path, entry('one'));
    let isRunning = true;
    const pieces = await logsWith().read(path, { ...all, follow: true }, () => Promise.resolve(isRunning), never);
    let text = '';
    const expectNext = async (more: AsyncIterator<Buffer>, want: string): Promise<void> => {
      const start = text.length;
      while (text.length - start < want.length) text += (await more.next()).value?.toString() ?? 'END';
      expect(text.slice(start)).toBe(want);
    };
    const more = pieces[Symbol.asyncIterator]();
    await expectNext(more, 'one\n');
    await appendFile(path, entry('two'));
    await expectNext(more, 'two\n');
    await rename(path, `${path}.20260101-000000`);
    appendFileSync(`${path}.20260101-000000`, entry('three')); // written before the runtime opened the new file
    await writeFile(path, entry('four'));
    await expectNext(more, 'three\nfour\n');
    appendFileSync(path, entry('fi', 0, 'P'));
    appendFileSync(path, entry('ve'));
    await expectNext(more, 'five\n');
    isRunning = false;
    appendFileSync(path, entry('last'));
    await expectNext(more, 'last\n');
    expect((await more.next()).done).toBe(true);
  });

  it('loses nothing when the log is rotated twice before the first file is read', async () => {
    await writeFile(path, entry('one'));
    let isRunning = true;
    const pieces = await logsWith().read(path, { ...all, follow: true }, () => Promise.resolve(isRunning), never);
    await rename(path, `${path}.20260101-000000`);
    await writeFile(path, entry('two'));
    await rename(path, `${path}.20260101-000010`);
    await writeFile(path, entry('three'));
    isRunning = false;
    let text = '';
    for await (const piece of pieces) text += piece.toString();
    expect(text).toBe('one\ntwo\nthree\n');
  });

  it('stays with the old file while the new one is empty', async () => {
    await writeFile(path, entry('one'));
    let isRunning = true;
    const pieces = await logsWith().read(path, { ...all, follow: true }, () => Promise.resolve(isRunning), never);
    const more = pieces[Symbol.asyncIterator]();
    expect((await more.next()).value?.toString()).toBe('one\n');
    await rename(path, `${path}.20260101-000000`);
    await writeFile(path, '');
    const next = more.next();
    await appendFile(`${path}.20260101-000000`, entry('two'));
    expect((await next).value?.toString()).toBe('two\n');
    await appendFile(path, entry('three'));
    isRunning = false;
    expect((await more.next()).value?.toString()).toBe('three\n');
    expect((await more.next()).done).toBe(true);
  });

  it('ends when its signal aborts', async () => {
    await writeFile(path, entry('one'));
    const stop = new AbortController();
    const pieces = await logsWith().read(path, { ...all, follow: true }, () => Promise.resolve(true), stop.signal);
    const more = pieces[Symbol.asyncIterator]();
    expect((await more.next()).value?.toString()).toBe('one\n');
    const end = more.next();
    stop.abort();
    expect((await end).done).toBe(true);
  });
});

describe('ContainerLogs.run', () => {
  it('rotates what is too large, compresses the one before, and lets the runtime open the file again', async () => {
    const clock = new FakeClock(new Date(2026, 0, 1).getTime());
    const reopened: string[] = [];
    const logs = logsWith({
      clock,
      runningContainers: () => Promise.resolve([{ id: 'c1', logPath: path }]),
      reopen: async (id) => {
        await writeFile(path, '');
        reopened.push(id);
      },
    });
    const stop = new AbortController();
    await writeFile(path, entry('first'.repeat(30)));
    const run = logs.run(stop.signal);
    await expect.poll(() => reopened.length).toBe(1);
    await writeFile(path, entry('second'.repeat(30)));
    await expect.poll(() => clock.sleeping).toBe(1);
    await clock.advance(10_000);
    await expect.poll(() => reopened.length).toBe(2);
    stop.abort();
    await run;
    const names = (await readdir(join(root, 'pods', 'web'))).sort();
    expect(names).toEqual(['0.log', '0.log.20260101-000000.gz', '0.log.20260101-000010']);
    const packed = await readFile(join(root, 'pods', 'web', '0.log.20260101-000000.gz'));
    expect(gunzipSync(packed).toString()).toContain('firstfirst');
  });

  it('touches nothing that is no file of its own', async () => {
    await writeFile(path, 'x'.repeat(200));
    await mkdir(`${path}.folder.tmp`);
    await writeFile(join(root, 'secret'), 'secret');
    await symlink(join(root, 'secret'), `${path}.20250101-000000`);
    const logs = logsWith({ runningContainers: () => Promise.resolve([{ id: 'c1', logPath: path }]) });
    await logs.rotateAll(never);
    expect(await readFile(join(root, 'secret'), 'utf8')).toBe('secret');
    const names = (await readdir(join(root, 'pods', 'web'))).filter((name) => !/\.2026|\.20[3-9]/.test(name));
    expect(names.sort()).toEqual(['0.log.20250101-000000', '0.log.folder.tmp']);
  });

  it('gives the file its name back when the runtime does not open it', async () => {
    await writeFile(path, 'x'.repeat(200));
    const logs = logsWith({
      runningContainers: () => Promise.resolve([{ id: 'c1', logPath: path }]),
      reopen: () => Promise.reject(new Error('runtime away')),
    });
    await logs.rotateAll(never);
    expect((await stat(path)).size).toBe(200);
    expect(await readdir(join(root, 'pods', 'web'))).toEqual(['0.log']);
  });

  it('leaves a small file alone and has a missing one opened', async () => {
    const reopened: string[] = [];
    await writeFile(path, 'small');
    const logs = logsWith({
      runningContainers: () =>
        Promise.resolve([
          { id: 'small', logPath: path },
          { id: 'missing', logPath: join(root, 'pods', 'web', '1.log') },
        ]),
      reopen: (id) => {
        reopened.push(id);
        return Promise.resolve();
      },
    });
    await logs.rotateAll(never);
    expect(reopened).toEqual(['missing']);
  });

  it('a runtime that does not answer for one container keeps no other waiting, nor the next round', async () => {
    const clock = new FakeClock(new Date(2026, 0, 1).getTime());
    const reopened: string[] = [];
    const logs = logsWith({
      clock,
      runningContainers: () =>
        Promise.resolve(['stuck', 'fine'].map((id) => ({ id, logPath: join(root, 'pods', 'web', `${id}.log`) }))),
      reopen: (id, signal) => {
        reopened.push(id);
        if (id === 'fine') return Promise.resolve();
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('over'))));
      },
    });
    const stop = new AbortController();
    const run = logs.run(stop.signal);
    await expect.poll(() => reopened.toSorted()).toEqual(['fine', 'stuck']);
    await expect.poll(() => clock.sleeping).toBe(1);
    await clock.advance(10_000);
    await expect.poll(() => reopened.toSorted()).toEqual(['fine', 'fine', 'stuck']);
    stop.abort();
    await run;
  });
});
