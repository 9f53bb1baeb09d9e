import { describe, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import { volumeForClaim } from '../../objects/bind-volume.ts';
import { boundClaimStatus, claimForVolume, freeClaimStatus, volumeInPhase } from './bind-writes.ts';
import { decideReclaim, decideVolume } from './decide-volume.ts';

const byController = { 'pv.kubernetes.io/bound-by-controller': 'yes' };
const provisionedBy = (name: string): Record<string, string> => ({ 'pv.kubernetes.io/provisioned-by': name });
const ref = { namespace: 'ns', name: 'c', uid: 'u' };
const volume = (spec: PersistentVolume['spec'] = {}, annotations: Record<string, string> = {}): PersistentVolume => ({
  metadata: { name: 'v', annotations },
  spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '2Gi' }, claimRef: ref, ...spec },
});
const claim = (
  spec: PersistentVolumeClaim['spec'] = {},
  status: PersistentVolumeClaim['status'] = {},
): PersistentVolumeClaim => ({
  metadata: { name: 'c', namespace: 'ns', uid: 'u', resourceVersion: '7' },
  spec,
  status,
});

describe('decideVolume', () => {
  it.each([
    {
      name: 'free',
      volume: volume({ claimRef: undefined }),
      claim: undefined,
      want: { kind: 'set-phase', phase: 'Available' },
    },
    {
      name: 'kept for a claim by name',
      volume: volume({ claimRef: { ...ref, uid: undefined } }),
      claim: undefined,
      want: { kind: 'set-phase', phase: 'Available' },
    },
    { name: 'its claim is gone', volume: volume(), claim: undefined, want: { kind: 'reclaim' } },
    { name: 'its claim does not know', volume: volume(), claim: claim(), want: { kind: 'ask-claim', claim: claim() } },
    {
      name: 'its claim wants another mode',
      volume: volume({ volumeMode: 'Block' }),
      claim: claim(),
      want: { kind: 'tell-mismatch', claim: claim() },
    },
    { name: 'bound', volume: volume(), claim: claim({ volumeName: 'v' }), want: { kind: 'set-phase', phase: 'Bound' } },
    {
      name: 'its claim has another: free again',
      volume: volume({}, byController),
      claim: claim({ volumeName: 'w' }),
      want: {
        kind: 'unbind',
        volume: { metadata: { name: 'v', annotations: {} }, spec: expect.not.objectContaining({ claimRef: ref }) },
      },
    },
    {
      name: 'its claim has another: a user keeps it for the claim',
      volume: volume(),
      claim: claim({ volumeName: 'w' }),
      want: { kind: 'unbind', volume: volume({ claimRef: { namespace: 'ns', name: 'c' } }) },
    },
    {
      name: 'its claim has another: what was made for it goes',
      volume: volume({ persistentVolumeReclaimPolicy: 'Delete' }, provisionedBy('p')),
      claim: claim({ volumeName: 'w' }),
      want: { kind: 'reclaim' },
    },
  ])('$name', ({ volume: of, claim: its, want }) => {
    expect(decideVolume(of, its)).toEqual(want);
  });
});

describe('decideReclaim', () => {
  const hostPath = (path: string): PersistentVolume['spec'] => ({
    hostPath: { path },
    persistentVolumeReclaimPolicy: 'Delete',
  });
  const failed = (message: string): object => ({ kind: 'fail', reason: 'VolumeFailedDelete', message });
  const noPlugin = 'error getting deleter volume plugin for volume "v": ';
  const deleted = { persistentVolumeReclaimPolicy: 'Delete' };
  const csi = { driver: 'd', volumeHandle: 'h' };
  it.each([
    { name: 'kept', spec: { persistentVolumeReclaimPolicy: 'Retain' }, want: { kind: 'leave' } },
    {
      name: 'made outside',
      spec: { ...deleted, csi },
      annotations: provisionedBy('csi.example.com'),
      want: { kind: 'leave' },
    },
    { name: 'a directory', spec: hostPath('/tmp/x'), want: { kind: 'remove-directory', path: '/tmp/x' } },
    {
      name: 'all of /tmp',
      spec: hostPath('/tmp/'),
      want: failed('host_path deleter only supports /tmp/.+ but received provided /tmp/'),
    },
    {
      name: 'elsewhere',
      spec: hostPath('/var/tmp/x'),
      want: failed('host_path deleter only supports /tmp/.+ but received provided /var/tmp/x'),
    },
    {
      name: 'out of /tmp',
      spec: hostPath('/tmp/../etc'),
      want: failed('host_path deleter only supports /tmp/.+ but received provided /tmp/../etc'),
    },
    {
      name: 'local',
      spec: { ...deleted, local: { path: '/x' } },
      want: failed(`${noPlugin}no deletable volume plugin matched`),
    },
    { name: 'CSI by hand', spec: { ...deleted, csi }, want: failed(`${noPlugin}no volume plugin matched`) },
    {
      name: 'recycled',
      spec: { persistentVolumeReclaimPolicy: 'Recycle' },
      want: { kind: 'fail', reason: 'VolumeFailedRecycle', message: 'No recycler plugin found for the volume!' },
    },
  ])('$name', ({ spec, annotations, want }) => {
    expect(decideReclaim(volume(spec, annotations))).toEqual(want);
  });
});

describe('the four writes', () => {
  it('bind, and are nothing when they are done', () => {
    const one = volumeForClaim(volume({ claimRef: undefined }), claim());
    expect(one).toMatchObject({
      metadata: { annotations: byController },
      spec: { claimRef: { kind: 'PersistentVolumeClaim', apiVersion: 'v1', ...ref, resourceVersion: '7' } },
    });
    const bound = one ?? volume();
    expect(volumeForClaim(bound, claim())).toBeUndefined();
    const two = volumeInPhase(bound, 'Bound') ?? bound;
    expect(two.status).toEqual({ phase: 'Bound' });
    expect(volumeInPhase(two, 'Bound')).toBeUndefined();
    const three = claimForVolume(claim(), two) ?? claim();
    expect(three).toMatchObject({
      metadata: { annotations: { ...byController, 'pv.kubernetes.io/bind-completed': 'yes' } },
      spec: { volumeName: 'v' },
    });
    expect(claimForVolume(three, two)).toBeUndefined();
    const four = boundClaimStatus(three, two) ?? three;
    expect(four.status).toEqual({ phase: 'Bound', accessModes: ['ReadWriteOnce'], capacity: { storage: '2Gi' } });
    expect(boundClaimStatus(four, two)).toBeUndefined();
    expect(freeClaimStatus(four, 'Lost')?.status).toEqual({ phase: 'Lost' });
  });

  it('leave what a user has kept for the claim marked as such', () => {
    const kept = volumeForClaim(volume({ claimRef: { namespace: 'ns', name: 'c' } }), claim());
    expect(kept?.metadata.annotations).toEqual({});
    expect(kept?.spec?.claimRef?.uid).toBe('u');
  });

  const pending = { allocatedResourceStatuses: { storage: 'NodeResizePending' } };
  const before = { 'volume.alpha.kubernetes.io/pre-resize-capacity': '1Gi' };
  it.each([
    { name: 'larger by hand', asks: '1Gi', status: {}, annotations: {}, want: '2Gi' },
    { name: 'it has grown, and nobody has said so yet', asks: '2Gi', status: {}, annotations: {}, want: '1Gi' },
    { name: 'growing', asks: '1Gi', status: pending, annotations: {}, want: '1Gi' },
    { name: 'growing, as older resizers say', asks: '1Gi', status: {}, annotations: before, want: '1Gi' },
  ])('do not tell a claim that its volume has grown before it has: $name', ({ asks, status, annotations, want }) => {
    const has = { phase: 'Bound', accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, ...status };
    const asking = claim({ volumeName: 'v', resources: { requests: { storage: asks } } }, has);
    const after = boundClaimStatus(asking, volume({}, annotations)) ?? asking;
    expect(after.status?.capacity).toEqual({ storage: want });
  });
});
