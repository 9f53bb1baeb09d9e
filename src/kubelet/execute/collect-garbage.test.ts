import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../base/logger.ts';
import {
  collectGarbage,
  removeContainerLogs,
  removeDanglingLinks,
  removeLogDirectories,
  uidsWithLogs,
} from './collect-garbage.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-garbage-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const signal = new AbortController().signal;

describe('collectGarbage', () => {
  it('removes containers with their logs and what was rotated, then sandboxes; a failure holds up nobody', async () => {
    const calls: string[] = [];
    const say =
      (what: string) =>
      (id: string): Promise<void> => {
        calls.push(`${what} ${id}`);
        return id === 'stuck' ? Promise.reject(new Error('busy')) : Promise.resolve();
      };
    const cri = {
      removeContainer: say('remove'),
      stopPodSandbox: say('stop sandbox'),
      removePodSandbox: say('remove sandbox'),
    };
    const logPath = join(root, '0.log');
    for (const name of ['0.log', '0.log.20260101-000000', '0.log.20250101-000000.gz', '1.log'])
      await writeFile(join(root, name), '');
    const touched = await collectGarbage(
      { cri, podLogsDir: dirname(root), log: silentLogger },
      {
        containers: [
          { uid: 'a', id: 'stuck', logPath: '', isUnknown: false },
          { uid: 'b', id: 'c1', logPath, isUnknown: false },
        ],
        sandboxes: [
          { uid: 'c', id: 'stuck' },
          { uid: 'd', id: 's1' },
        ],
      },
      signal,
    );
    expect(calls).toEqual(['remove stuck', 'remove c1', 'stop sandbox stuck', 'stop sandbox s1', 'remove sandbox s1']);
    expect([...touched]).toEqual(['b', 'd']);
    expect(await readdir(root)).toEqual(['1.log']);
  });
});

describe('removeContainerLogs', () => {
  it('follows no link out of the logs', async () => {
    for (const folder of ['pods', 'elsewhere', 'pods/p']) await mkdir(join(root, folder));
    await writeFile(join(root, 'elsewhere/0.log'), '');
    await symlink(join(root, 'elsewhere'), join(root, 'pods/p/c'));
    await removeContainerLogs(join(root, 'pods/p/c/0.log'), join(root, 'pods'));
    expect(existsSync(join(root, 'elsewhere/0.log'))).toBe(true);
    await removeContainerLogs(join(root, 'pods/p/c/0.log'), root);
    expect(existsSync(join(root, 'elsewhere/0.log'))).toBe(false);
  });
});

describe('log directories', () => {
  it('are found and taken by pod; what is not a pod’s stays', async () => {
    for (const name of ['ns_web_gone', 'ns_web_here', 'other', 'ns_web_', 'two_parts', 'ns_web_UP_case'])
      await mkdir(join(root, name, 'c'), { recursive: true });
    expect((await uidsWithLogs(root)).toSorted()).toEqual(['UP_case', 'gone', 'here']);
    for (const uid of ['gone', 'case', 'UP_case']) await removeLogDirectories(root, uid);
    expect((await readdir(root)).toSorted()).toEqual(['ns_web_', 'ns_web_here', 'other', 'two_parts']);
    expect(await uidsWithLogs(join(root, 'missing'))).toEqual([]);
    await removeLogDirectories(join(root, 'missing'), 'gone');
  });
});

describe('removeDanglingLinks', () => {
  it('takes links whose log is gone, unless the container runs', async () => {
    const [running, ended] = ['a'.repeat(64), 'b'.repeat(64)];
    await writeFile(join(root, '0.log'), '');
    await symlink(join(root, '0.log'), join(root, `p_ns_c-${'c'.repeat(64)}.log`));
    await symlink(join(root, 'gone.log'), join(root, `p_ns_c-${running}.log`));
    await symlink(join(root, 'gone.log'), join(root, `p_ns_c-${ended}.log`));
    await symlink(join(root, 'gone.log'), join(root, 'p_ns_cut-aaaaaaaa.log'));
    await symlink(join(root, 'gone.log'), join(root, 'p_ns_cut-short-aaaa.log'));
    await removeDanglingLinks(root, (start) => running.startsWith(start));
    expect((await readdir(root)).toSorted()).toEqual([
      '0.log',
      `p_ns_c-${running}.log`,
      `p_ns_c-${'c'.repeat(64)}.log`,
      'p_ns_cut-aaaaaaaa.log',
    ]);
    expect(existsSync(join(root, '0.log'))).toBe(true);
  });
});
