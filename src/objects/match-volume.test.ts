import { describe, expect, it } from 'vitest';
import type { Node, PersistentVolume, PersistentVolumeClaim } from './generated/core-v1.ts';
import { matchVolume, mismatchReason } from './match-volume.ts';

type VolumeSpec = PersistentVolume['spec'];
const volume = (
  name: string,
  size: string,
  spec: VolumeSpec = {},
  more: Partial<PersistentVolume> = {},
): PersistentVolume => ({
  metadata: { name },
  spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: size }, ...spec },
  status: { phase: 'Available' },
  ...more,
});
const claim = (spec: PersistentVolumeClaim['spec'] = {}): PersistentVolumeClaim => ({
  metadata: { name: 'c', namespace: 'ns', uid: 'u' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } }, ...spec },
});
const node = (name: string): Node => ({ metadata: { name, labels: { host: name } }, spec: {} });
const onNode = (name: string): VolumeSpec => ({
  nodeAffinity: {
    required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'host', operator: 'In', values: [name] }] }] },
  },
});
const ref = { namespace: 'ns', name: 'c' };

interface Row {
  name: string;
  claim?: PersistentVolumeClaim;
  volumes: PersistentVolume[];
  node?: Node;
  isDelayed?: boolean;
  taken?: string[];
  want: string | undefined;
}

describe('matchVolume', () => {
  it.each<Row>([
    { name: 'nothing there', volumes: [], want: undefined },
    { name: 'too small', volumes: [volume('a', '1Gi')], want: undefined },
    {
      name: 'the smallest that is large enough',
      volumes: [volume('a', '5Gi'), volume('b', '2Gi'), volume('c', '3Gi')],
      want: 'b',
    },
    {
      name: 'fewer access modes before size',
      volumes: [volume('a', '2Gi', { accessModes: ['ReadWriteOnce', 'ReadWriteMany'] }), volume('b', '5Gi')],
      want: 'b',
    },
    {
      name: 'an access mode is missing',
      volumes: [volume('a', '2Gi', { accessModes: ['ReadOnlyMany'] })],
      want: undefined,
    },
    { name: 'of another class', volumes: [volume('a', '2Gi', { storageClassName: 's' })], want: undefined },
    {
      name: 'of its class',
      claim: claim({ storageClassName: 's' }),
      volumes: [volume('a', '2Gi'), volume('b', '2Gi', { storageClassName: 's' })],
      want: 'b',
    },
    { name: 'of another mode', volumes: [volume('a', '2Gi', { volumeMode: 'Block' })], want: undefined },
    {
      name: 'not selected',
      claim: claim({ selector: { matchLabels: { a: 'b' } } }),
      volumes: [volume('a', '2Gi'), volume('b', '2Gi', {}, { metadata: { name: 'b', labels: { a: 'b' } } })],
      want: 'b',
    },
    {
      name: 'somebody else has it',
      volumes: [volume('a', '2Gi', { claimRef: { ...ref, name: 'd' } })],
      want: undefined,
    },
    {
      name: 'it belonged to one of the same name',
      volumes: [volume('a', '2Gi', { claimRef: { ...ref, uid: 'old' } })],
      want: undefined,
    },
    {
      name: 'kept for it, whatever its class and phase',
      volumes: [
        volume('a', '2Gi'),
        volume('b', '9Gi', { claimRef: ref, storageClassName: 's' }, { status: { phase: 'Pending' } }),
      ],
      want: 'b',
    },
    {
      name: 'going',
      volumes: [volume('a', '2Gi', {}, { metadata: { name: 'a', deletionTimestamp: 't' } })],
      want: undefined,
    },
    { name: 'not looked at yet', volumes: [volume('a', '2Gi', {}, { status: { phase: 'Pending' } })], want: undefined },
    { name: 'a class that waits: not for the binder', volumes: [volume('a', '2Gi')], isDelayed: true, want: undefined },
    {
      name: 'a class that waits: but what is kept for the claim',
      volumes: [volume('a', '2Gi', { claimRef: ref })],
      isDelayed: true,
      want: 'a',
    },
    {
      name: 'for a node: only what it can use',
      volumes: [volume('a', '2Gi', onNode('m')), volume('b', '3Gi', onNode('n'))],
      node: node('n'),
      isDelayed: true,
      want: 'b',
    },
    {
      name: 'for a node: what is kept for the claim is elsewhere',
      volumes: [volume('a', '2Gi', { claimRef: ref, ...onNode('m') }), volume('b', '3Gi')],
      node: node('n'),
      isDelayed: true,
      want: undefined,
    },
    {
      name: 'for a node: taken already',
      volumes: [volume('a', '2Gi')],
      node: node('n'),
      taken: ['a'],
      want: undefined,
    },
  ])('$name', ({ claim: wanted = claim(), volumes, node: on, isDelayed = false, taken = [], want }) => {
    expect(matchVolume(wanted, volumes, { node: on, isDelayed, taken: new Set(taken) })?.metadata.name).toBe(want);
  });
});

describe('mismatchReason', () => {
  it.each([
    { spec: {}, want: undefined },
    { spec: { capacity: { storage: '1Gi' } }, want: 'requested PV is too small' },
    { spec: { storageClassName: 's' }, want: 'storageClassName does not match' },
    { spec: { volumeMode: 'Block' }, want: 'incompatible volumeMode' },
    { spec: { accessModes: ['ReadOnlyMany'] }, want: 'incompatible accessMode' },
  ])('$want', ({ spec, want }) => {
    expect(mismatchReason(volume('a', '2Gi', spec), claim())).toBe(want);
  });
});
