import { chmod, mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { VolumeSpaces } from './volume-space.ts';

const signal = new AbortController().signal;
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-space-'));
});
afterEach(() => rm(root, { recursive: true }));

async function program(script: string): Promise<string> {
  const path = join(root, 'program');
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

it('tells what the kernel tells of a file system', async () => {
  const { bsize, blocks, files } = await statfs('/proc/self'); // one that does not change meanwhile
  const space = await new VolumeSpaces().at('/proc/self', signal);
  expect([space.capacityBytes, space.inodes]).toEqual([bsize * blocks, files]);
  const real = await new VolumeSpaces().at(root, signal);
  expect(real.capacityBytes).toBeGreaterThan(0);
  expect(real.usedBytes).toBeGreaterThan(0);
});

it('used is what is not free, available what is left for others than root', async () => {
  const stat = await program(`case "$*" in *%f\\ %t*) echo '41ed 0 0';; *) echo '4096 1000 400 300 50 20';; esac`);
  expect(await new VolumeSpaces({ program: stat }).at('/x', signal)).toEqual({
    capacityBytes: 4_096_000,
    availableBytes: 1_228_800,
    usedBytes: 2_457_600,
    inodes: 50,
    inodesFree: 20,
    inodesUsed: 30,
  });
});

it('of a block device only its size', async () => {
  await mkdir(join(root, 'dev/block/253:18'), { recursive: true });
  await writeFile(join(root, 'dev/block/253:18/size'), '2048\n');
  const stat = await program("echo '61b0 fd 12'");
  expect(await new VolumeSpaces({ program: stat, sys: root }).at('/x', signal)).toMatchObject({
    capacityBytes: 1024 ** 2,
    usedBytes: undefined,
    inodes: undefined,
  });
});

it('one look at a path at a time', async () => {
  const stop = new AbortController();
  const spaces = new VolumeSpaces({ program: await program('exec sleep 1000') });
  const hangs = spaces.at('/x', stop.signal);
  await expect(spaces.at('/x', signal)).rejects.toThrow('an earlier look still hangs');
  stop.abort();
  await expect(hangs).rejects.toThrow();
  await expect(spaces.at(join(root, 'none'), AbortSignal.abort())).rejects.toThrow();
});

it('says what is not there', async () => {
  await expect(new VolumeSpaces().at(join(root, 'none'), signal)).rejects.toThrow(/No such file/);
});
