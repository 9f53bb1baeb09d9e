import { appendFile, mkdtemp, readFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { awaitUntil } from '../../../../test/await-until.ts';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { TimelineFile, adoptTimelines, gatherMs, gatherRepeatsMs, readTimelines } from './timeline-file.ts';
import type { PodRecord } from './timeline-model.ts';

let directory: string;
let path: string;
let clock: FakeClock;
let records: Map<string, PodRecord>;
let file: TimelineFile;
let stop: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-timeline-'));
  path = join(directory, 'pods.jsonl');
  clock = new FakeClock();
  records = new Map();
  stop = new AbortController();
  running = Promise.resolve();
});
afterEach(async () => {
  stop.abort();
  await running;
  await rm(directory, { recursive: true });
});

async function run(): Promise<void> {
  file = new TimelineFile({
    path,
    record: (uid) => records.get(uid),
    uids: () => [...records.keys()],
    starts: () => [1],
    forgetOld: () => {},
    clock,
    log: silentLogger,
  });
  running = file.run(stop.signal);
  await asleep();
}

/** It waits for something to do. */
const asleep = (): Promise<unknown> => awaitUntil('the file to be quiet', () => clock.sleeping > 0);

function change(uid: string, text: string, isRepeat = false): void {
  const spans = [{ name: 'sandbox', startMs: 5, durationMs: 1, outcome: 'failed' as const, text }];
  records.set(uid, { uid, namespace: 'default', name: uid, spans, dropped: 0 });
  file.mark(uid, isRepeat);
}

const texts = async (): Promise<unknown[]> =>
  (await readTimelines(path)).records.map(({ uid, spans }) => [uid, spans[0]?.text]);
const lines = async (): Promise<number> => (await readFile(path, 'utf8')).split('\n').length - 1;

async function settle(ms: number): Promise<void> {
  await clock.advance(ms);
  await asleep();
}

describe('TimelineFile', () => {
  it('gathers changes for a second, and repeats for longer; nothing is written while nothing happens', async () => {
    await run();
    expect(await lines()).toBe(1);
    change('a', 'one');
    await settle(gatherMs / 2);
    change('a', 'two');
    change('b', 'one');
    expect(await lines()).toBe(1);
    await settle(gatherMs);
    expect(await texts()).toEqual([
      ['a', 'two'],
      ['b', 'one'],
    ]);
    expect(await lines()).toBe(3);
    change('a', 'three', true);
    await settle(gatherRepeatsMs - 1);
    expect(await lines()).toBe(3);
    await settle(1);
    expect(await texts()).toContainEqual(['a', 'three']);
    const before = await stat(path);
    await settle(10 * gatherRepeatsMs);
    expect((await stat(path)).mtimeMs).toBe(before.mtimeMs);
  });

  it('belongs to its owner alone, and what is left is written at the end', async () => {
    await run();
    change('a', 'last words');
    stop.abort();
    await running;
    expect(await texts()).toEqual([['a', 'last words']]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is written anew when it has grown, with what counts only', async () => {
    await run();
    const long = 'x'.repeat(100_000);
    for (let i = 0; i < 12; i++) {
      change('a', `${i} ${long}`);
      await settle(gatherMs);
    }
    expect((await stat(path)).size).toBeLessThan(1.2 * 1024 * 1024);
    expect(await texts()).toEqual([['a', `11 ${long}`]]);
    expect(await readdir(directory)).toEqual(['pods.jsonl']);
  });

  it('a torn tail and a damaged line cost what they held', async () => {
    await run();
    for (const uid of ['a', 'b', 'c']) {
      change(uid, 'kept');
      await settle(gatherMs);
    }
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('"uid":"b"', '"uid":"B"'));
    await truncate(path, text.length - 20);
    await appendFile(path, '\nno line of ours\n');
    expect(await readTimelines(path)).toMatchObject({ records: [{ uid: 'a' }], starts: [1], damaged: 3 });
  });

  it('a file of another version is set aside; none is an empty one', async () => {
    expect(await adoptTimelines(path, silentLogger)).toEqual({ records: [], starts: [] });
    await run();
    const { crc32 } = await import('node:zlib');
    const json = '{"version":2,"starts":[]}';
    await writeFile(path, `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`);
    await expect(readTimelines(path)).rejects.toThrow('it is of version 2, expected 1');
    expect(await adoptTimelines(path, silentLogger)).toEqual({ records: [], starts: [] });
    expect(await readdir(directory)).toEqual(['pods.jsonl.bad']);
  });

  it('a disk that cannot be written to is no reason to stop, and all is there when it can', async () => {
    await run();
    await rm(directory, { recursive: true });
    change('a', 'lost at first');
    await settle(gatherMs);
    const { mkdir } = await import('node:fs/promises');
    await mkdir(directory);
    change('b', 'later');
    await settle(gatherMs);
    expect(await texts()).toEqual([
      ['a', 'lost at first'],
      ['b', 'later'],
    ]);
  });
});
