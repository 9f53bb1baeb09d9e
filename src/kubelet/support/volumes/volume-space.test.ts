import { expect, it } from 'vitest';
import type { VolumeFigures } from '../../volume-model.ts';
import type { PodVolume } from './persistent-model.ts';
import { spaceOf } from './volume-space.ts';

const figures: VolumeFigures = {
  capacityBytes: 9,
  availableBytes: 5,
  usedBytes: 4,
  inodes: undefined,
  inodesFree: undefined,
  inodesUsed: undefined,
};
const volume = (kind: PodVolume['kind']): PodVolume => ({
  kind,
  name: 'data',
  specName: 'pv-1',
  pv:
    kind === 'csi'
      ? { metadata: { name: 'pv-1' }, spec: { csi: { driver: 'disks.example', volumeHandle: 'h1' } } }
      : undefined,
  claim: undefined,
  volume: { name: 'data' },
  isBlock: false,
  isReadOnly: false,
  uniqueName: 'x',
});

it.each([
  { kind: 'local-volume', plugin: 'kubernetes.io/local-volume', space: 'file system' },
  { kind: 'nfs', plugin: 'kubernetes.io/nfs', space: 'file system' },
  { kind: 'host-path', plugin: 'kubernetes.io/host-path', space: undefined },
] as const)('the space of $kind: $space', ({ kind, plugin, space }) => {
  expect(spaceOf(volume(kind), 'uid', undefined)).toEqual({ plugin, space });
});

it('a driver is asked for its volume', async () => {
  const asked: string[] = [];
  const csi = {
    figures: ({ driver, handle }: { driver: string; handle: string }, uid: string) => {
      asked.push(`${driver} ${handle} ${uid}`);
      return Promise.resolve(figures);
    },
  };
  const { plugin, space } = spaceOf(volume('csi'), 'uid', csi);
  expect(plugin).toBe('kubernetes.io/csi:disks.example');
  expect(typeof space === 'function' ? await space(new AbortController().signal) : space).toBe(figures);
  expect(asked).toEqual(['disks.example h1 uid']);
});
