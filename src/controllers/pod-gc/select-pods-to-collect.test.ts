import { describe, expect, it } from 'vitest';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { computeDeletionConditions, podGraceSeconds } from '../namespace/compute-deletion-conditions.ts';
import { selectControllers } from '../controller-manager.ts';
import { selectPodsToCollect } from './select-pods-to-collect.ts';

const pod = (
  name: string,
  nodeName: string,
  { deleting = false, phase = 'Running', reason = '', created = 'b' } = {},
): Pod => ({
  metadata: { name, creationTimestamp: created, ...(deleting ? { deletionTimestamp: 'x' } : {}) },
  spec: { nodeName, containers: [] },
  status: { phase, reason },
});
const outOfService: Node = {
  metadata: { name: 'out' },
  spec: { taints: [{ key: 'node.kubernetes.io/out-of-service', effect: 'NoExecute' }] },
  status: { conditions: [{ type: 'Ready', status: 'Unknown' }] },
};

describe('selectPodsToCollect', () => {
  it.each([
    { name: 'a running one stays', pods: [pod('a', 'n')], want: {} },
    { name: 'deleted before it had a node', pods: [pod('a', '', { deleting: true })], want: { a: 'unscheduled' } },
    { name: 'on a lost node', pods: [pod('a', 'lost')], want: { a: 'orphaned' } },
    {
      name: 'going, on a node out of service',
      pods: [pod('a', 'out', { deleting: true }), pod('b', 'out')],
      want: { a: 'out-of-service' },
    },
    {
      name: 'too many finished ones: evicted first, then the oldest',
      pods: [
        pod('young', 'n', { phase: 'Succeeded', created: 'c' }),
        pod('old', 'n', { phase: 'Failed', created: 'a' }),
        pod('evicted', 'n', { phase: 'Failed', reason: 'Evicted', created: 'd' }),
      ],
      want: { evicted: 'finished', old: 'finished' },
    },
  ])('$name', ({ pods, want }) => {
    const nodes = new Map([['out', outOfService]]);
    const found = selectPodsToCollect({ pods, nodes, lostNodes: new Set(['lost']), finishedMax: 1 });
    expect(Object.fromEntries(found.map(({ pod: p, why }) => [p.metadata.name, why]))).toEqual(want);
  });
});

describe('computeDeletionConditions', () => {
  it('says what is left', () => {
    const state = {
      discoveryFailures: [],
      contentFailures: [],
      remaining: new Map([
        ['pods.', 2],
        ['configmaps.', 1],
      ]),
      finalizers: new Map([['example.com/x', 1]]),
    };
    const conditions = computeDeletionConditions(undefined, state, 'now');
    expect(conditions.map(({ type, status }) => `${type}=${status}`)).toEqual([
      'NamespaceDeletionDiscoveryFailure=False',
      'NamespaceDeletionGroupVersionParsingFailure=False',
      'NamespaceDeletionContentFailure=False',
      'NamespaceContentRemaining=True',
      'NamespaceFinalizersRemaining=True',
    ]);
    expect(conditions[3]?.message).toBe(
      'Some resources are remaining: configmaps. has 1 resource instances, pods. has 2 resource instances',
    );
    expect(conditions[4]?.message).toBe(
      'Some content in the namespace has finalizers remaining: example.com/x in 1 resource instances',
    );
  });

  it.each([
    { name: 'the longest grace', nowMs: 1000, phases: ['Running', 'Running'], want: 60 },
    { name: 'finished pods need none', nowMs: 1000, phases: ['Succeeded', 'Failed'], want: 0 },
    { name: 'their time is over', nowMs: 61_000, phases: ['Running', 'Running'], want: 0 },
  ])('podGraceSeconds: $name', ({ nowMs, phases, want }) => {
    const pods = phases.map((phase, i) => ({ phase, graceSeconds: i === 0 ? 30 : 60 }));
    expect(podGraceSeconds(pods, 0, nowMs)).toBe(want);
  });
});

describe('selectControllers', () => {
  it.each([
    { wanted: ['deployment', 'replicaset-controller'], want: ['deployment-controller', 'replicaset-controller'] },
    { wanted: ['namespace', '-deployment'], want: ['namespace-controller'] },
  ])('$wanted', ({ wanted, want }) => {
    expect(selectControllers(wanted)).toEqual(want);
  });

  it('all but one, with what kubeadm asks for beside', () => {
    const selected = selectControllers(['*', '-nodeipam', 'bootstrapsigner', 'tokencleaner']);
    expect(selected).not.toContain('node-ipam-controller');
    expect(selected).toContain('deployment-controller');
  });

  it('refuses what it does not know', () => {
    expect(() => selectControllers(['nonsense'])).toThrow('"nonsense"');
  });
});
