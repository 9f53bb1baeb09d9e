import { describe, expect, it } from 'vitest';
import { NotFoundError } from '../../base/errors.ts';
import type { KubeObject } from '../../client/api-client.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import { reclaimVolume } from './reclaim-volume.ts';

const claimRef = { namespace: 'ns', name: 'c', uid: 'u' };
const volume = (spec: PersistentVolume['spec'] = {}, metadata: object = {}): PersistentVolume => ({
  metadata: { name: 'v', uid: 'v-uid', ...metadata },
  spec: { hostPath: { path: '/tmp/x' }, persistentVolumeReclaimPolicy: 'Delete', claimRef, ...spec },
});
const claim = (uid: string, volumeName: string): PersistentVolumeClaim => ({
  metadata: { name: 'c', namespace: 'ns', uid },
  spec: { volumeName },
});

describe('reclaimVolume', () => {
  const gone = { kind: 'gone', removed: ['/tmp/x'] };
  const left = { kind: 'left', removed: [] };
  it.each([
    { name: 'nobody needs it', now: volume(), itsClaim: undefined, want: gone },
    { name: 'another claim has the name', now: volume(), itsClaim: claim('other', ''), want: gone },
    { name: 'its claim has taken another volume', now: volume(), itsClaim: claim('u', 'w'), want: gone },
    { name: 'its claim is there after all', now: volume(), itsClaim: claim('u', 'v'), want: left },
    { name: 'its claim is about to take it', now: volume(), itsClaim: claim('u', ''), want: left },
    {
      name: 'somebody keeps it by now',
      now: volume({ persistentVolumeReclaimPolicy: 'Retain' }),
      itsClaim: undefined,
      want: left,
    },
    { name: 'somebody has freed it by now', now: volume({ claimRef: undefined }), itsClaim: undefined, want: left },
    { name: 'it is another volume by now', now: volume({}, { uid: 'other' }), itsClaim: undefined, want: left },
    { name: 'it is being deleted', now: volume({}, { deletionTimestamp: 't' }), itsClaim: undefined, want: left },
  ])('$name', async ({ now, itsClaim, want }) => {
    const removed: string[] = [];
    const found = (kind: string): KubeObject | undefined => (kind === 'PersistentVolume' ? now : itsClaim);
    const needs = {
      client: {
        get: async <T extends KubeObject>(type: { kind: string }): Promise<T> => {
          const object = found(type.kind);
          if (object === undefined) throw new NotFoundError('not found');
          return object as T; // the kind names the type
        },
        delete: async () => {},
      },
      removeDirectory: async (path: string) => void removed.push(path),
    };
    const outcome = await reclaimVolume(volume(), needs, new AbortController().signal);
    expect({ kind: outcome.kind, removed }).toEqual(want);
  });

  it('says why a directory stays', async () => {
    const removeDirectory = (): never => {
      throw new Error('something is mounted there');
    };
    const get = async <T extends KubeObject>(type: { kind: string }): Promise<T> => {
      if (type.kind !== 'PersistentVolume') throw new NotFoundError('not found');
      return volume() as KubeObject as T; // the kind names the type
    };
    const needs = { client: { get, delete: async () => {} }, removeDirectory };
    expect(await reclaimVolume(volume(), needs, new AbortController().signal)).toEqual({
      kind: 'failed',
      reason: 'VolumeFailedDelete',
      message: 'something is mounted there',
    });
  });
});
