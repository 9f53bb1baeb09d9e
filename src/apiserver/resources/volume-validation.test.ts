import { describe, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import type { ApiObject } from './api-object.ts';
import type { FieldError } from './field-errors.ts';
import { storageStrategies } from './storage-kinds.ts';
import { validateClaim, validateClaimUpdate, validateVolume, validateVolumeUpdate } from './volume-validation.ts';

const texts = (errors: readonly FieldError[]): string[] => errors.map(({ field, phrase }) => `${field}: ${phrase}`);

const volume = (spec: PersistentVolume['spec'] = {}): PersistentVolume => ({
  metadata: { name: 'v' },
  spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, hostPath: { path: '/tmp/x' }, ...spec },
});
const noSource = { hostPath: undefined };
const csi = { driver: 'd.example.com', volumeHandle: 'h' };

describe('validateVolume', () => {
  it.each<{ name: string; spec: PersistentVolume['spec']; want: string[] }>([
    { name: 'good', spec: {}, want: [] },
    { name: 'no modes', spec: { accessModes: [] }, want: ['spec.accessModes: Required value'] },
    {
      name: 'an unknown mode',
      spec: { accessModes: ['X'] },
      want: [
        'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
      ],
    },
    {
      name: 'one pod and others',
      spec: { accessModes: ['ReadWriteOncePod', 'ReadOnlyMany'] },
      want: ['spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes'],
    },
    {
      name: 'no size',
      spec: { capacity: undefined },
      want: ['spec.capacity: Required value', 'spec.capacity: Unsupported value: null: supported values: "storage"'],
    },
    {
      name: 'of size 0',
      spec: { capacity: { storage: '0' } },
      want: ['spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
    },
    { name: 'no source', spec: noSource, want: ['spec: Required value: must specify a volume type'] },
    { name: 'two sources', spec: { csi }, want: ['spec.csi: Forbidden: may not specify more than 1 volume type'] },
    {
      name: 'up the tree',
      spec: { hostPath: { path: '/a/../b' } },
      want: ['spec.hostPath.path: Invalid value: "/a/../b": must not contain \'..\''],
    },
    {
      name: 'local anywhere',
      spec: { ...noSource, local: { path: '/a' } },
      want: ['spec.nodeAffinity: Required value: Local volume requires node affinity'],
    },
    {
      name: 'CSI without a handle',
      spec: { ...noSource, csi: { driver: 'd_', volumeHandle: '', nodeStageSecretRef: { name: 's' } } },
      want: [
        expect.stringContaining('spec.csi.driver: Invalid value: "d_"'),
        'spec.csi.volumeHandle: Required value',
        'spec.csi.nodeStageSecretRef.namespace: Required value',
      ],
    },
    {
      name: 'policy and mode',
      spec: { persistentVolumeReclaimPolicy: 'Keep', volumeMode: 'Tape' },
      want: [
        'spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": supported values: "Delete", "Recycle", "Retain"',
        'spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"',
      ],
    },
  ])('$name', ({ spec, want }) => {
    expect(texts(validateVolume(volume(spec)))).toEqual(want);
  });

  const affinity = (value: string): PersistentVolume['spec'] => ({
    nodeAffinity: {
      required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'k', operator: 'In', values: [value] }] }] },
    },
  });
  it.each<{ name: string; old: PersistentVolume['spec']; now: PersistentVolume['spec']; want: string[] }>([
    {
      name: 'policy, class and size may change',
      old: {},
      now: { storageClassName: 's', capacity: { storage: '2Gi' } },
      want: [],
    },
    {
      name: 'the source may not',
      old: {},
      now: { hostPath: { path: '/tmp/y' } },
      want: ['spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation'],
    },
    {
      name: 'but for a secret that was not there',
      old: { ...noSource, csi },
      now: { ...noSource, csi: { ...csi, controllerExpandSecretRef: { name: 's', namespace: 'n' } } },
      want: [],
    },
    { name: 'affinity may come', old: {}, now: affinity('a'), want: [] },
    {
      name: 'affinity may not change',
      old: affinity('a'),
      now: affinity('b'),
      want: [expect.stringContaining('nodeAffinity: Invalid value')],
    },
    {
      name: 'nor may the mode',
      old: { volumeMode: 'Block' },
      now: { volumeMode: 'Filesystem' },
      want: ['volumeMode: Invalid value: "Filesystem": field is immutable'],
    },
  ])('update: $name', ({ old, now, want }) => {
    expect(texts(validateVolumeUpdate(volume(now), volume(old)))).toEqual(want);
  });
});

const claim = (
  spec: PersistentVolumeClaim['spec'] = {},
  status: PersistentVolumeClaim['status'] = {},
): PersistentVolumeClaim => ({
  metadata: { name: 'c', namespace: 'default' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } }, ...spec },
  status,
});
const sized = (storage: string): PersistentVolumeClaim['spec'] => ({ resources: { requests: { storage } } });
const immutableSpec =
  'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
const bound = { phase: 'Bound', capacity: { storage: '2Gi' } };

describe('validateClaim', () => {
  it.each<{ name: string; spec: PersistentVolumeClaim['spec']; want: string[] }>([
    { name: 'good', spec: {}, want: [] },
    {
      name: 'without modes and size',
      spec: { accessModes: undefined, resources: undefined },
      want: [
        'spec.accessModes: Required value: at least 1 access mode is required',
        'spec.resources[storage]: Required value',
      ],
    },
    {
      name: 'of size 0',
      spec: sized('0'),
      want: ['spec.resources[storage]: Invalid value: "0": must be greater than zero'],
    },
    {
      name: 'a copy of something unknown',
      spec: { dataSource: { kind: 'Pod', name: 'p' } },
      want: [
        'spec.dataSource: Invalid value: "Pod": must be \'PersistentVolumeClaim\' when referencing the default apiGroup',
      ],
    },
    {
      name: 'a selector that is none',
      spec: { selector: { matchExpressions: [{ key: 'a', operator: 'Like', values: ['b'] }] } },
      want: ['spec.selector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator'],
    },
  ])('$name', ({ spec, want }) => {
    expect(texts(validateClaim(claim(spec)))).toEqual(want);
  });

  it.each<{ name: string; old: PersistentVolumeClaim; now: PersistentVolumeClaim['spec']; want: string[] }>([
    { name: 'a volume is given once', old: claim(), now: { volumeName: 'v' }, want: [] },
    { name: 'and not another', old: claim({ volumeName: 'v' }), now: { volumeName: 'w' }, want: [immutableSpec] },
    { name: 'a class may be given later', old: claim(), now: { storageClassName: 's' }, want: [] },
    {
      name: 'and is not taken back',
      old: claim({ storageClassName: '' }),
      now: { storageClassName: 's' },
      want: [immutableSpec],
    },
    { name: 'an unbound one does not grow', old: claim(), now: sized('3Gi'), want: [immutableSpec] },
    { name: 'a bound one does', old: claim({}, bound), now: sized('3Gi'), want: [] },
    {
      name: 'growth that failed is taken back',
      old: claim(sized('9Gi'), bound),
      now: sized('3Gi'),
      want: [],
    },
    {
      name: 'no further than to what it has',
      old: claim(sized('9Gi'), bound),
      now: sized('2Gi'),
      want: ['spec.resources.requests.storage: Forbidden: field can not be less than status.capacity'],
    },
  ])('update: $name', ({ old, now, want }) => {
    expect(texts(validateClaimUpdate(claim(now), old))).toEqual(want);
  });
});

const object = (more: object): ApiObject => ({
  apiVersion: 'v1',
  kind: 'K',
  metadata: { name: 'a.example.com' },
  ...more,
});

describe('the kinds around volumes', () => {
  it.each([
    {
      kind: 'storageclasses.storage.k8s.io',
      body: { reclaimPolicy: 'Recycle', volumeBindingMode: 'Later', parameters: { '': 'x' } },
      want: [
        'provisioner: Required value',
        'parameters: Invalid value: "": field can not be empty',
        'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
        'volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"',
      ],
    },
    {
      kind: 'csidrivers.storage.k8s.io',
      body: {
        spec: {
          fsGroupPolicy: 'Some',
          volumeLifecycleModes: ['Eternal'],
          tokenRequests: [{ audience: 'a', expirationSeconds: 1 }, { audience: 'a' }],
          nodeAllocatableUpdatePeriodSeconds: 9,
        },
      },
      want: [
        'spec.fsGroupPolicy: Unsupported value: "Some": supported values: "ReadWriteOnceWithFSType", "File", "None"',
        'spec.volumeLifecycleModes: Unsupported value: "Eternal": supported values: "Persistent", "Ephemeral"',
        'spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes',
        'spec.tokenRequests[1].audience: Duplicate value: "a"',
        'spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds',
      ],
    },
    {
      kind: 'csinodes.storage.k8s.io',
      body: {
        spec: {
          drivers: [
            { name: 'd', nodeID: '' },
            { name: 'd', nodeID: 'n', allocatable: { count: -1 } },
          ],
        },
      },
      want: [
        'spec.drivers[0].nodeID: Required value',
        'spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0',
        'spec.drivers[1].name: Duplicate value: "d"',
      ],
    },
    {
      kind: 'volumeattachments.storage.k8s.io',
      body: { spec: { attacher: '', nodeName: '', source: {} } },
      want: [
        'spec.attacher: Required value',
        'spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName',
        'spec.nodeName: Required value',
      ],
    },
  ])('$kind: what is wrong', ({ kind, body, want }) => {
    expect(texts(storageStrategies[kind]?.validate?.(object(body)) ?? [])).toEqual(want);
  });

  const driver = { name: 'd', nodeID: 'n' };
  it.each([
    {
      kind: 'storageclasses.storage.k8s.io',
      old: { provisioner: 'a', volumeBindingMode: 'Immediate', allowVolumeExpansion: false },
      now: { provisioner: 'b', volumeBindingMode: 'WaitForFirstConsumer', allowVolumeExpansion: true },
      want: [
        'provisioner: Forbidden: updates to provisioner are forbidden.',
        'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
      ],
    },
    {
      kind: 'csidrivers.storage.k8s.io',
      old: { spec: { attachRequired: true, podInfoOnMount: false } },
      now: { spec: { attachRequired: false, podInfoOnMount: true } },
      want: ['spec.attachedRequired: Invalid value: false: field is immutable'],
    },
    {
      kind: 'csinodes.storage.k8s.io',
      old: { spec: { drivers: [driver, { ...driver, name: 'e' }] } },
      now: {
        spec: {
          drivers: [
            { ...driver, allocatable: { count: 3 } },
            { name: 'e', nodeID: 'other' },
          ],
        },
      },
      want: ['CSINodeDriver: Invalid value: {"name":"e","nodeID":"other"}: field is immutable'],
    },
    {
      kind: 'volumeattachments.storage.k8s.io',
      old: { spec: { nodeName: 'a' } },
      now: { spec: { nodeName: 'b' } },
      want: ['spec: Invalid value: {"nodeName":"b"}: field is immutable'],
    },
  ])('$kind: what may not change', ({ kind, old, now, want }) => {
    expect(texts(storageStrategies[kind]?.validateUpdate?.(object(now), object(old)) ?? [])).toEqual(want);
  });
});
