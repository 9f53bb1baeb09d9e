import { describe, expect, it } from 'vitest';
import type { Node, PersistentVolumeSpec } from '../../../objects/generated/core-v1.ts';
import {
  type MountState,
  type NodeVolume,
  affinityProblem,
  afterFailure,
  attachState,
  isUnused,
  readWriteOncePodProblem,
  volumesInUse,
} from './node-volume-state.ts';

const volume = (more: Partial<NodeVolume> = {}): NodeVolume => ({
  uniqueName: 'kubernetes.io/csi/d^h',
  kind: 'csi',
  specName: 'pv',
  isBlock: false,
  device: 'none',
  isDeviceFound: false,
  pods: new Map(),
  wanted: new Set(),
  isAttachable: true,
  ...more,
});
const inPod = (
  state: MountState,
): [string, { state: MountState; specName: string; isBlock: boolean; isFound: boolean }] => [
  'other',
  { state, specName: 'pv', isBlock: false, isFound: false },
];
const withSpec = (spec: PersistentVolumeSpec): { pv: { metadata: { name: string }; spec: PersistentVolumeSpec } } => ({
  pv: { metadata: { name: 'pv' }, spec },
});

it.each<[MountState, 'uncertain' | 'transient' | 'final', boolean, MountState]>([
  ['none', 'uncertain', false, 'uncertain'],
  ['mounted', 'uncertain', false, 'uncertain'],
  ['none', 'transient', false, 'none'],
  ['uncertain', 'transient', false, 'uncertain'],
  ['mounted', 'transient', false, 'mounted'],
  ['none', 'final', false, 'none'],
  ['uncertain', 'final', false, 'none'],
  ['uncertain', 'final', true, 'uncertain'], // it was found: its pod may run
  ['mounted', 'final', false, 'mounted'], // a refresh that fails takes nothing away
])('%s, then a failure that is %s (found: %s): %s', (before, outcome, isFound, want) => {
  expect(afterFailure(before, outcome, isFound)).toBe(want);
});

describe('ReadWriteOncePod', () => {
  const taken = 'volume uses the ReadWriteOncePod access mode and is already in use by another pod';
  it.each<[string[], MountState | undefined, string | undefined]>([
    [['ReadWriteOncePod'], undefined, undefined],
    [['ReadWriteOncePod'], 'mounted', taken],
    [['ReadWriteOncePod'], 'uncertain', taken],
    [['ReadWriteOncePod'], 'none', undefined],
    [['ReadWriteOnce'], 'mounted', undefined],
    [['ReadWriteOncePod', 'ReadWriteOnce'], 'mounted', undefined],
  ])('%j, in another pod %s', (accessModes, state, want) => {
    const pods = new Map(state === undefined ? [] : [inPod(state)]);
    expect(readWriteOncePodProblem(withSpec({ accessModes }), volume({ pods }), 'mine')).toBe(want);
    expect(readWriteOncePodProblem(withSpec({ accessModes }), volume({ pods }), 'other')).toBeUndefined();
  });
});

it.each([
  ['node-1', undefined],
  ['node-2', 'no matching NodeSelectorTerms'],
])('a volume that is on %s', (where, want) => {
  const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'In', values: [where] }];
  const spec = { nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } } };
  const node: Node = { metadata: { name: 'n', labels: { 'kubernetes.io/hostname': 'node-1' } }, spec: {} };
  expect(affinityProblem(withSpec(spec), node)).toBe(want);
  expect(affinityProblem(withSpec({}), undefined)).toBeUndefined();
});

describe('what the node says of volumes', () => {
  const node: Node = {
    metadata: { name: 'n', uid: 'n' },
    spec: {},
    status: { volumesInUse: ['a', 'b'], volumesAttached: [{ name: 'b', devicePath: '' }] },
  };
  it.each([
    ['b', 'attached'],
    ['a', 'waits'],
    ['c', 'not reported'],
  ] as const)('%s: %s', (name, want) => {
    expect(attachState(name, node)).toBe(want);
    expect(attachState(name, undefined)).toBe('not reported');
  });

  it('in use is what somebody attaches, sorted; of what was found, what the node says', () => {
    const all = [
      volume({ uniqueName: 'z' }),
      volume({ uniqueName: 'local', isAttachable: false }),
      volume({ uniqueName: 'b', isAttachable: undefined }),
      volume({ uniqueName: 'never-attached', isAttachable: undefined }),
    ];
    expect(volumesInUse(all, node)).toEqual(['b', 'z']);
    expect(volumesInUse(all, undefined)).toBeUndefined(); // nothing that was found may be left out
    expect(volumesInUse(all, { metadata: { name: 'n' }, spec: {} })).toBeUndefined(); // our own words, before any answer
    expect(volumesInUse(all.slice(0, 2), undefined)).toEqual(['z']);
  });
});

it.each<[string, Partial<NodeVolume>, boolean]>([
  ['nobody has it', {}, true],
  ['a pod is to have it', { wanted: new Set(['u']) }, false],
  ['a pod has it', { pods: new Map([inPod('mounted')]) }, false],
  ['a pod may have it', { pods: new Map([inPod('uncertain')]) }, false],
])('%s', (_, more, want) => {
  expect(isUnused(volume(more))).toBe(want);
});
