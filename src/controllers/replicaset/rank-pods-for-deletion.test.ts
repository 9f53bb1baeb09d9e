import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { decideClaim } from '../claim-objects.ts';
import { Expectations } from '../expectations.ts';
import { slowStart } from '../slow-start.ts';
import { computeReplicaSetStatus, nextAvailableMs } from './compute-replicaset-status.ts';
import { rankPodsForDeletion } from './rank-pods-for-deletion.ts';

const nowMs = Date.parse('2026-01-02T00:00:00Z');
interface Shape {
  node?: string;
  phase?: string;
  readySince?: string;
  cost?: string;
  restarts?: number;
  created?: string;
  deleting?: boolean;
  labels?: Record<string, string>;
}
const pod = (name: string, shape: Shape = {}): Pod => {
  const { node = 'n', phase = 'Running', readySince, cost, restarts = 0, created = '2026-01-01T00:00:00Z' } = shape;
  return {
    metadata: {
      name,
      uid: name,
      namespace: 'ns',
      creationTimestamp: created,
      labels: shape.labels ?? { app: 'x' },
      ...(cost === undefined ? {} : { annotations: { 'controller.kubernetes.io/pod-deletion-cost': cost } }),
      ...(shape.deleting === true ? { deletionTimestamp: 'x' } : {}),
    },
    spec: { nodeName: node, containers: [] },
    status: {
      phase,
      conditions: [
        { type: 'Ready', status: readySince === undefined ? 'False' : 'True', lastTransitionTime: readySince },
      ],
      containerStatuses: [{ name: 'c', ready: false, restartCount: restarts, image: '', imageID: '' }],
    },
  };
};
const since = '2026-01-01T00:00:00Z';

describe('rankPodsForDeletion: the first goes first', () => {
  it.each([
    { name: 'without a node before with', pods: [pod('a', { readySince: since }), pod('b', { node: '' })], want: 'b' },
    { name: 'pending before running', pods: [pod('a'), pod('b', { phase: 'Pending' })], want: 'b' },
    { name: 'not ready before ready', pods: [pod('a', { readySince: since }), pod('b')], want: 'b' },
    { name: 'cheaper before dearer', pods: [pod('a', { cost: '5' }), pod('b', { cost: '-5' })], want: 'b' },
    {
      name: 'a cost that is no number counts as none',
      pods: [pod('a', { cost: 'x' }), pod('b', { cost: '-1' })],
      want: 'b',
    },
    { name: 'on the crowded node', pods: [pod('a'), pod('b', { node: 'crowded' })], want: 'b' },
    {
      name: 'ready for a much shorter time',
      pods: [pod('a', { readySince: since }), pod('b', { readySince: '2026-01-01T23:00:00Z' })],
      want: 'b',
    },
    { name: 'more restarts', pods: [pod('a'), pod('b', { restarts: 3 })], want: 'b' },
    { name: 'much younger', pods: [pod('a'), pod('b', { created: '2026-01-01T23:00:00Z' })], want: 'b' },
    { name: 'about as old: by uid', pods: [pod('b'), pod('a', { created: '2026-01-01T01:00:00Z' })], want: 'a' },
  ])('$name', ({ pods, want }) => {
    const related = new Map([
      ['n', 1],
      ['crowded', 3],
    ]);
    expect(rankPodsForDeletion(pods, related, nowMs)[0]?.metadata.name).toBe(want);
  });
});

describe('computeReplicaSetStatus', () => {
  const rs = {
    metadata: { name: 'rs', generation: 3 },
    spec: {
      minReadySeconds: 60,
      selector: {},
      template: { metadata: { name: '', labels: { app: 'x' } }, spec: { containers: [] } },
    },
  };
  const pods = [
    pod('a', { readySince: since }),
    pod('b', { readySince: '2026-01-01T23:59:30Z', labels: { app: 'y' } }),
    pod('c', { deleting: true }),
    pod('d', { phase: 'Failed' }),
  ];

  it('counts active, labelled, ready, available and terminating pods', () => {
    expect(computeReplicaSetStatus(rs, pods, undefined, nowMs, 'now')).toEqual({
      replicas: 2,
      fullyLabeledReplicas: 1,
      readyReplicas: 2,
      availableReplicas: 1,
      terminatingReplicas: 1,
      observedGeneration: 3,
    });
    expect(nextAvailableMs(rs, pods, nowMs)).toBe(nowMs + 30_000);
  });

  it('shows a failure until it is over', () => {
    const failure = { reason: 'FailedCreate', message: 'quota' } as const;
    const failed = computeReplicaSetStatus(rs, pods, failure, nowMs, 'now');
    expect(failed.conditions).toEqual([
      { type: 'ReplicaFailure', status: 'True', lastTransitionTime: 'now', ...failure },
    ]);
    expect(
      computeReplicaSetStatus({ ...rs, status: failed }, pods, undefined, nowMs, 'now').conditions,
    ).toBeUndefined();
  });
});

describe('decideClaim', () => {
  const selector = [{ key: 'app', operator: 'In', values: ['x'] }] as const;
  const owned = (uid: string, labels: Record<string, string>) => ({
    metadata: {
      name: 'p',
      labels,
      ownerReferences: [{ apiVersion: 'v1', kind: 'X', name: 'o', uid, controller: true }],
    },
  });
  const me = { metadata: { name: 'o', uid: 'me' } };
  const going = { metadata: { name: 'o', uid: 'me', deletionTimestamp: 'x' } };
  it.each([
    { name: 'mine and matching', owner: me, object: owned('me', { app: 'x' }), want: 'keep' },
    { name: 'mine, no longer matching', owner: me, object: owned('me', {}), want: 'release' },
    { name: 'mine, no longer matching, and I am going', owner: going, object: owned('me', {}), want: 'ignore' },
    { name: 'of another with the same name', owner: me, object: owned('you', { app: 'x' }), want: 'ignore' },
    { name: 'an orphan that matches', owner: me, object: pod('p'), want: 'adopt' },
    { name: 'an orphan on its way out', owner: me, object: pod('p', { deleting: true }), want: 'ignore' },
    { name: 'an orphan, and I am going', owner: going, object: pod('p'), want: 'ignore' },
    { name: 'an orphan that does not match', owner: me, object: pod('p', { labels: {} }), want: 'ignore' },
  ])('$name: $want', ({ owner, object, want }) => {
    expect(decideClaim(owner, selector, object)).toBe(want);
  });
});

describe('Expectations', () => {
  it('are met when everything was seen, or after five minutes', async () => {
    const clock = new FakeClock();
    const expectations = new Expectations(clock);
    expect(expectations.areMet('k')).toBe(true);
    expectations.expectAdds('k', 2);
    expectations.lowerAdds('k');
    expect(expectations.areMet('k')).toBe(false);
    expectations.lowerAdds('k');
    expect(expectations.areMet('k')).toBe(true);
    expectations.expectDeletes('k', ['a']);
    expectations.lowerDeletes('k', 'b');
    expectations.lowerDeletes('k', 'b');
    expect(expectations.areMet('k')).toBe(false);
    await clock.advance(300_001);
    expect(expectations.areMet('k')).toBe(true);
  });
});

describe('slowStart', () => {
  it.each([
    { count: 10, failAt: 100, want: { calls: 10, succeeded: 10 } },
    { count: 10, failAt: 1, want: { calls: 1, succeeded: 0 } },
    { count: 10, failAt: 4, want: { calls: 7, succeeded: 6 } },
    { count: 0, failAt: 1, want: { calls: 0, succeeded: 0 } },
  ])('$count, failing at $failAt', async ({ count, failAt, want }) => {
    let calls = 0;
    const { succeeded, failure } = await slowStart(count, async () => {
      if (++calls === failAt) throw new Error('no');
    });
    expect({ calls, succeeded }).toEqual(want);
    expect(failure === undefined).toBe(succeeded === count);
  });
});
