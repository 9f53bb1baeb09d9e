import { execFileSync } from 'node:child_process';
import { chmod, link, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { DiskUsage } from './disk-usage.ts';

const signal = new AbortController().signal;
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-usage-'));
});
afterEach(() => rm(root, { recursive: true }));

async function tree(name: string): Promise<string> {
  const directory = join(root, name);
  await mkdir(join(directory, 'deep/er'), { recursive: true });
  await writeFile(join(directory, 'big'), Buffer.alloc(300_000, 1));
  await writeFile(join(directory, 'deep/er/with a\nnewline'), 'x');
  await link(join(directory, 'big'), join(directory, 'deep/again'));
  await symlink('/', join(directory, 'link'));
  return directory;
}

const disk = (options: object = {}): DiskUsage => new DiskUsage({ clock: systemClock, ...options });

/** A program in the place of `find`. */
async function program(script: string): Promise<string> {
  const path = join(root, 'program');
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

describe('DiskUsage', () => {
  it('counts as du does: files of several names once, links not followed; what is not there is left out', async () => {
    const [a, b] = [await tree('a'), await tree('b')];
    const file = join(a, 'big');
    const { usages, failures } = await disk().measure([a, join(root, 'gone'), b, file, a], signal);
    expect([...failures]).toEqual([]);
    expect([...usages.keys()]).toEqual([a, b, file]);
    const du = (path: string, ...flags: string[]): number =>
      Number.parseInt(execFileSync('du', ['-s', '-x', ...flags, path]).toString(), 10);
    for (const path of [a, b, file]) {
      expect(usages.get(path)).toEqual({ bytes: du(path, '--block-size=1'), inodes: du(path, '--inodes') });
    }
    expect(usages.get(a)?.inodes).toBe(6);
    expect(usages.get(file)?.bytes).toBe((await stat(file)).blocks * 512);
  });

  it('more directories than one child takes', async () => {
    const paths = Array.from({ length: 1100 }, (_, i) => join(root, `d${i}`));
    for (const path of paths) await mkdir(path);
    const { usages } = await disk().measure(paths, signal);
    expect([...usages.keys()]).toEqual(paths);
    expect([...usages.values()].every(({ inodes }) => inodes === 1)).toBe(true);
  });

  it('one in which the walk hangs is given up, and the others are measured', async () => {
    const paths = Array.from({ length: 20 }, (_, i) => join(root, `d${i}`));
    for (const path of paths) await mkdir(path);
    const bad = paths[13] ?? '';
    // prints all at once, as a program does whose output is no terminal; hangs when the bad one is among its arguments
    const find = await program(`case " $* " in *" ${bad} "*) exec sleep 1000;; esac\nexec find "$@"`);
    const { usages, failures } = await disk({ program: find, stuckMs: 300 }).measure(paths, signal);
    expect([...failures.values()].map(({ message }) => message)).toEqual([
      `Cannot measure "${bad}": nothing came for 0.3s`,
    ]);
    expect([...usages.keys()].toSorted()).toEqual(paths.filter((path) => path !== bad).toSorted());
  });

  it('one that takes too long is given up, and the others are measured', async () => {
    const paths = ['a', 'b', 'c'].map((name) => join(root, name));
    for (const path of paths) await mkdir(path);
    const [, bad = ''] = paths;
    const find = await program(
      `for path in "$@"; do\n  case "$path" in -*) exit;; esac\n` +
        `  stat --printf 'd 0 %d %b 1 %i\\n' "$path"\n` +
        `  while [ "$path" = ${bad} ]; do echo 'f 1 0 0 1 1'; sleep 0.1; done\ndone`,
    );
    const { usages, failures } = await disk({ program: find, longMs: 1000 }).measure(paths, signal);
    expect([...failures.values()].map(({ message }) => message)).toEqual([
      `Cannot measure "${bad}": it took longer than 1s`,
    ]);
    expect([...usages.keys()]).toEqual([paths[0], paths[2]]);
  });

  it('says what is missing when there is no GNU find', async () => {
    await expect(disk({ program: join(root, 'none') }).measure([root], signal)).rejects.toThrow(/could not be run/);
    const busybox = await program(`echo "find: unrecognized: -printf" >&2; exit 1`);
    await expect(disk({ program: busybox }).measure([root], signal)).rejects.toThrow(/is not GNU find: find: unrecog/);
  });

  it('ends at once when nobody waits any more', async () => {
    const stop = new AbortController();
    const find = await program('exec sleep 1000');
    const measuring = disk({ program: find }).measure([root], stop.signal);
    stop.abort(new Error('over'));
    await expect(measuring).rejects.toThrow('over');
  });
});
