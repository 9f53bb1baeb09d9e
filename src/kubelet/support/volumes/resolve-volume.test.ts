import { describe, expect, it } from 'vitest';
import { NotFoundError, UnavailableError, describeError } from '../../../base/errors.ts';
import type {
  Container,
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeSpec,
  Pod,
  Volume,
} from '../../../objects/generated/core-v1.ts';
import type { PodVolume } from './persistent-model.ts';
import { mountOptions, userMountOptions } from './persistent-model.ts';
import { type ClaimSources, resolveVolume, volumeGroup } from './resolve-volume.ts';

const signal = new AbortController().signal;
const byClaim: Volume = { name: 'v', persistentVolumeClaim: { claimName: 'c' } };

function podWith(container: Partial<Container> = { volumeMounts: [{ name: 'v', mountPath: '/v' }] }): Pod {
  return {
    metadata: { name: 'web', namespace: 'ns', uid: 'u' },
    spec: { containers: [{ name: 'm', image: 'i', ...container }] },
  };
}

function claim(more: Partial<PersistentVolumeClaim> = {}, metadata: object = {}): PersistentVolumeClaim {
  return {
    metadata: { name: 'c', namespace: 'ns', uid: 'claim-uid', ...metadata },
    spec: { volumeName: 'pv' },
    status: { phase: 'Bound' },
    ...more,
  };
}

const pv = (spec: PersistentVolumeSpec, metadata: object = {}): PersistentVolume => ({
  metadata: { name: 'pv', ...metadata },
  spec: { claimRef: { uid: 'claim-uid' }, ...spec },
});
const local = pv({ local: { path: '/data' } });

const sources = (one: PersistentVolumeClaim | Error, two: PersistentVolume | Error): ClaimSources => ({
  getClaim: () => (one instanceof Error ? Promise.reject(one) : Promise.resolve(one)),
  getVolume: () => (two instanceof Error ? Promise.reject(two) : Promise.resolve(two)),
});

const owned = { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'web', uid: 'u', controller: true }] };
const missing = new NotFoundError('persistentvolumeclaims "c" not found');

describe('what a claim does not lead to, in words', () => {
  it.each<
    [
      string,
      string,
      { claim?: PersistentVolumeClaim | Error; pv?: PersistentVolume | Error; volume?: Volume; pod?: Pod },
    ]
  >([
    [
      'no claim',
      'error processing PVC ns/c: failed to fetch PVC from API server: persistentvolumeclaims "c" not found',
      { claim: missing },
    ],
    [
      'no API',
      'error processing PVC ns/c: failed to fetch PVC from API server: connection refused',
      { claim: new UnavailableError('connection refused') },
    ],
    [
      'a claim on its way out that nothing protects',
      'error processing PVC ns/c: PVC is being deleted',
      { claim: claim({}, { deletionTimestamp: 'now' }) },
    ],
    [
      'an unbound claim',
      'error processing PVC ns/c: PVC is not bound',
      { claim: claim({ status: { phase: 'Pending' } }) },
    ],
    ['a lost claim', 'error processing PVC ns/c: PVC is not bound', { claim: claim({ status: { phase: 'Lost' } }) }],
    [
      'a bound claim without a name',
      'error processing PVC ns/c: PVC has empty pvc.Spec.VolumeName',
      { claim: claim({ spec: {} }) },
    ],
    [
      'no PersistentVolume',
      'error processing PVC ns/c: failed to fetch PV pv from API server: persistentvolumes "pv" not found',
      { pv: new NotFoundError('persistentvolumes "pv" not found') },
    ],
    [
      'a PersistentVolume that is nobody’s',
      'error processing PVC ns/c: found PV object pv but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim',
      { pv: pv({ local: { path: '/' }, claimRef: undefined }) },
    ],
    [
      'a PersistentVolume of another claim',
      'error processing PVC ns/c: found PV object pv but its pv.Spec.ClaimRef.UID other does not point to claim.UID claim-uid',
      { pv: pv({ local: { path: '/' }, claimRef: { uid: 'other' } }) },
    ],
    [
      'a device to be mounted',
      'volume v has volumeMode Block, but is specified in volumeMounts',
      { pv: pv({ local: { path: '/dev/x' }, volumeMode: 'Block' }) },
    ],
    [
      'a file system to be had as a device',
      'volume v has volumeMode Filesystem, but is specified in volumeDevices',
      { pod: podWith({ volumeDevices: [{ name: 'v', devicePath: '/dev/x' }] }) },
    ],
    [
      'a kind that is not served',
      'PersistentVolume "pv" is of type awsElasticBlockStore, which this node does not support',
      { pv: pv({ capacity: { storage: '1Gi' }, awsElasticBlockStore: { volumeID: 'x' } }) },
    ],
    [
      'an ephemeral volume whose claim is missing',
      'error processing PVC ns/web-v: failed to fetch PVC from API server: persistentvolumeclaims "c" not found',
      { volume: { name: 'v', ephemeral: {} }, claim: missing },
    ],
    [
      'an ephemeral volume whose claim is somebody else’s',
      'PVC ns/web-v was not created for pod ns/web (pod is not owner)',
      { volume: { name: 'v', ephemeral: {} } },
    ],
    [
      'an ephemeral volume whose claim the pod owns without controlling it',
      'PVC ns/web-v was not created for pod ns/web (pod is not owner)',
      {
        volume: { name: 'v', ephemeral: {} },
        claim: claim({}, { ownerReferences: [{ ...owned.ownerReferences[0], controller: false }] }),
      },
    ],
  ])('%s', async (_, want, { claim: one = claim(), pv: two = local, volume = byClaim, pod = podWith() }) => {
    const failure: unknown = await resolveVolume(pod, volume, sources(one, two), signal).catch((err: unknown) => err);
    expect(describeError(failure)).toBe(want);
  });
});

describe('what a volume is', () => {
  it.each<
    [string, Partial<PodVolume>, { pv?: PersistentVolume; claim?: PersistentVolumeClaim; volume?: Volume; pod?: Pod }]
  >([
    [
      'local',
      { kind: 'local-volume', specName: 'pv', uniqueName: 'kubernetes.io/local-volume/pv', isReadOnly: false },
      {},
    ],
    [
      'a claim that is protected while it is deleted',
      { kind: 'local-volume' },
      { claim: claim({}, { deletionTimestamp: 'now', finalizers: ['kubernetes.io/pvc-protection'] }) },
    ],
    [
      'hostPath, read-only by claim',
      { kind: 'host-path', uniqueName: 'kubernetes.io/host-path/u-pv', isReadOnly: true },
      {
        pv: pv({ hostPath: { path: '/x' } }),
        volume: { name: 'v', persistentVolumeClaim: { claimName: 'c', readOnly: true } },
      },
    ],
    [
      'nfs, whose own readOnly does not count',
      { kind: 'nfs', uniqueName: 'kubernetes.io/nfs/u-pv', isReadOnly: false },
      { pv: pv({ nfs: { server: 's', path: '/', readOnly: true } }) },
    ],
    [
      'CSI: the same for all pods',
      { kind: 'csi', uniqueName: 'kubernetes.io/csi/d.example^h^1', isBlock: false },
      { pv: pv({ csi: { driver: 'd.example', volumeHandle: 'h^1' } }) },
    ],
    [
      'a device',
      { kind: 'csi', isBlock: true },
      {
        pv: pv({ csi: { driver: 'd', volumeHandle: 'h' }, volumeMode: 'Block' }),
        pod: podWith({ volumeDevices: [{ name: 'v', devicePath: '/dev/x' }] }),
      },
    ],
    [
      'an ephemeral one of its own',
      { kind: 'local-volume', name: 'v', specName: 'pv' },
      { volume: { name: 'v', ephemeral: {} }, claim: claim({}, owned) },
    ],
    [
      'nfs in the pod',
      { kind: 'nfs', specName: 'v', uniqueName: 'kubernetes.io/nfs/u-v', isReadOnly: true, pv: undefined },
      { volume: { name: 'v', nfs: { server: 's', path: '/', readOnly: true } } },
    ],
    [
      'CSI in the pod',
      { kind: 'csi', specName: 'v', uniqueName: 'kubernetes.io/csi/u-v', isReadOnly: false },
      { volume: { name: 'v', csi: { driver: 'd' } } },
    ],
  ])('%s', async (_, want, { pv: two = local, claim: one = claim(), volume = byClaim, pod = podWith() }) => {
    expect(await resolveVolume(pod, volume, sources(one, two), signal)).toMatchObject(want);
  });
});

it.each<[string | undefined, number | undefined]>([
  ['1234', 1234],
  [undefined, undefined],
  ['', undefined],
  ['x1', undefined],
  ['-1', undefined],
  ['4294967296', undefined],
])('the group of annotation %j is %j', (text, want) => {
  const annotations = text === undefined ? {} : { 'pv.beta.kubernetes.io/gid': text };
  expect(volumeGroup(pv({}, { annotations }))).toBe(want);
});

describe('mount options', () => {
  const old = { 'volume.beta.kubernetes.io/mount-options': 'sync,noatime' };
  it.each([
    [
      'of the spec, sorted, each once',
      pv({ mountOptions: ['vers=4', 'ro', 'hard'] }),
      'nfs',
      true,
      ['hard', 'ro', 'vers=4'],
    ],
    ['the annotation wins', pv({ mountOptions: ['hard'] }, { annotations: old }), 'nfs', false, ['noatime', 'sync']],
    ['none', pv({}), 'local-volume', false, []],
  ] as const)('%s', (_, one, kind, isReadOnly, want) => {
    expect(mountOptions({ kind, pv: one, isReadOnly })).toEqual(want);
  });

  it('CSI drivers are told those of the spec alone', () => {
    expect(userMountOptions({ kind: 'csi', pv: pv({ mountOptions: ['b', 'a'] }, { annotations: old }) })).toEqual([
      'b',
      'a',
    ]);
  });
});
