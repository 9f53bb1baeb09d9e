import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { formatCheckpoint, parseCheckpoint } from './resource-checkpoint.ts';
import { ResourceRecords } from './resource-records.ts';

const web = { limits: { cpu: '1' }, requests: { cpu: '500m', memory: '64Mi' } };
let directory: string;
let path: string;
const open = async (): Promise<ResourceRecords> => {
  const records = new ResourceRecords({ path, clock: systemClock, log: silentLogger });
  await records.load();
  return records;
};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gantry-records-'));
  path = join(directory, 'allocated_pods_state');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('the checkpoint', () => {
  it('has the format that upstream reads', () => {
    const text = formatCheckpoint(new Map([['u1', { containers: { web }, pod: { limits: { cpu: '2' } } }]]));
    const { data } = JSON.parse(text) as { data: string };
    expect(JSON.parse(data)).toEqual({
      entries: { u1: { ContainerResources: { web }, PodLevelResources: { limits: { cpu: '2' } } } },
    });
    expect(parseCheckpoint(text).get('u1')).toEqual({ containers: { web }, pod: { limits: { cpu: '2' } } });
  });

  it('has the checksum that upstream computes', () => {
    const amounts = { requests: { cpu: '1Ki', memory: '1Ki' } };
    expect(formatCheckpoint(new Map([['pod1', { containers: { container1: amounts } }]]))).toBe(
      '{"data":"{\\"entries\\":{\\"pod1\\":{\\"ContainerResources\\":{\\"container1\\":{\\"requests\\":{\\"cpu\\":\\"1Ki\\",\\"memory\\":\\"1Ki\\"}}}}}}","checksum":1178570812}',
    );
  });

  it.each([
    ['no JSON', '{', /JSON/],
    ['another checksum', formatCheckpoint(new Map()).replace(/\d+}$/, '1}'), /its checksum is 1, but its data gives/],
    ['a list', '[]', /the file is no object/],
    ['no data', '{"checksum":1}', /no "data"/],
  ])('refuses %s', (_, text, want) => expect(() => parseCheckpoint(text)).toThrow(want));
});

describe('ResourceRecords', () => {
  it('keeps what was set across a restart, readable by nobody else', async () => {
    const records = await open();
    records.set('u1', { containers: { web } });
    records.setContainer('u2', 'a', { requests: { cpu: '1' } });
    records.setPod('u2', { limits: { cpu: '4' } });
    records.set('u3', { containers: {} });
    records.forget('u3');
    await records.flush();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const again = await open();
    expect(again.uids()).toEqual(['u1', 'u2']);
    expect(again.container('u1', 'web')).toEqual(web);
    expect(again.get('u2')).toEqual({ containers: { a: { requests: { cpu: '1' } } }, pod: { limits: { cpu: '4' } } });
    expect(await readdir(directory)).toEqual(['allocated_pods_state']);
  });

  it('sets a damaged file aside, and starts empty', async () => {
    await writeFile(path, '{"data":"{}","checksum":7}');
    const records = await open();
    expect(records.uids()).toEqual([]);
    expect(await readFile(`${path}.corrupt`, 'utf8')).toContain('"checksum":7');
    records.set('u1', { containers: { web } });
    await records.flush();
    expect((await open()).uids()).toEqual(['u1']);
  });

  it('writes by itself what nobody waits for, at the latest when it ends', async () => {
    const records = await open();
    const stop = new AbortController();
    const done = records.run(stop.signal);
    records.set('u1', { containers: { web } });
    stop.abort();
    await done;
    expect((await open()).uids()).toEqual(['u1']);
  });

  it('says that it cannot write, to those who wait', async () => {
    const records = await open();
    await rm(directory, { recursive: true });
    records.set('u1', { containers: {} });
    await expect(records.flush()).rejects.toThrow('ENOENT');
  });
});
