import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../base/logger.ts';
import { CsiPaths, attachmentName, inlineHandle } from './csi-paths.ts';
import { VolumeFinder } from './find-volumes.ts';
import { readVolumeData, writeVolumeData } from './volume-data.ts';

let root: string;
let paths: CsiPaths;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-csi-'));
  paths = new CsiPaths(root);
});
afterEach(() => rm(root, { recursive: true }));

async function put(directory: string, data: Record<string, string> | string): Promise<void> {
  await mkdir(directory, { recursive: true });
  if (typeof data === 'string') await writeFile(join(directory, 'vol_data.json'), data);
  else await writeVolumeData(directory, data);
}

describe('VolumeFinder', () => {
  it('finds nothing where nothing is', async () => {
    const finder = new VolumeFinder(paths, silentLogger);
    expect([await finder.published(), await finder.staged()]).toEqual([[], []]);
  });

  it('reads what earlier kubelets left, also when a part of it is damaged', async () => {
    const pv = { driverName: 'd.io', volumeHandle: 'h', volumeLifecycleMode: 'Persistent' };
    await put(dirname(paths.target('pod-1', 'pv-1')), pv);
    await put(dirname(paths.target('pod-1', 'inline')), { ...pv, volumeLifecycleMode: 'Ephemeral' });
    await put(dirname(paths.target('pod-2', 'torn')), '{"driverName":');
    await put(dirname(paths.staging('d.io', 'h')), pv);
    await put(join(paths.plugin, 'd.io', 'not-a-hash'), pv);
    await put(paths.blockData('pv-b'), { driverName: 'd.io', volumeHandle: 'b' });
    await mkdir(paths.blockTargets('pv-b'), { recursive: true });
    await writeFile(paths.blockTarget('pv-b', 'pod-3'), '');
    await put(paths.blockData('pv-torn'), 'nonsense');
    const finder = new VolumeFinder(paths, silentLogger);
    const common = { driver: 'd.io', handle: 'h', isBlock: false };
    expect((await finder.published()).toSorted((a, b) => (a.specName < b.specName ? -1 : 1))).toEqual([
      { podUid: 'pod-1', specName: 'inline', ...common, isInline: true },
      { podUid: 'pod-1', specName: 'pv-1', ...common, isInline: false },
      { podUid: 'pod-3', specName: 'pv-b', driver: 'd.io', handle: 'b', isBlock: true, isInline: false },
      { podUid: 'pod-2', specName: 'torn', driver: '', handle: '', isBlock: false, isInline: true },
    ]);
    expect(await finder.staged()).toEqual([
      { ...common, pvName: undefined },
      { driver: 'd.io', handle: 'b', isBlock: true, pvName: 'pv-b' },
    ]);
  });

  it('writes one line with its keys in order', async () => {
    await put(root, { volumeHandle: 'h', driverName: 'd', attachmentID: 'a' });
    expect(Object.keys((await readVolumeData(root)) ?? {})).toEqual(['attachmentID', 'driverName', 'volumeHandle']);
  });
});

describe('CsiPaths', () => {
  it('makes no path of a name that leads elsewhere', () => {
    for (const name of ['', '.', '..', 'a/b', '../x', 'a\0', 'a'.repeat(256)]) {
      expect(() => paths.target('pod', name)).toThrow(TypeError);
      expect(() => paths.staging(name, 'h')).toThrow(TypeError);
      expect(() => paths.blockTarget(name, 'pod')).toThrow(TypeError);
    }
  });

  it('names by hashes as upstream does', () => {
    expect(paths.staging('d', '../evil').slice(root.length)).toBe(
      '/plugins/kubernetes.io/csi/d/2d6afc710923ce47ddbfb2dc8b851f633a91e032a2bfe3ec551e0ef4d1f4ed95/globalmount',
    );
    expect(attachmentName('h', 'd', 'n')).toMatch(/^csi-[0-9a-f]{64}$/);
    expect(inlineHandle('u', 'v')).toMatch(/^csi-[0-9a-f]{64}$/);
  });
});
