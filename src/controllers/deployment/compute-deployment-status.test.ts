import { describe, expect, it } from 'vitest';
import { findCondition } from '../../objects/conditions.ts';
import type { Deployment, DeploymentStatus, ReplicaSet } from '../../objects/generated/apps-v1.ts';
import { rolloutStatus } from './compute-deployment-status.ts';

const nowMs = Date.parse('2026-01-01T01:00:00Z');
const now = '2026-01-01T01:00:00Z';
const deployment = (status: DeploymentStatus, deadline: number | undefined = 600): Deployment => ({
  metadata: { name: 'd', generation: 2 },
  spec: { replicas: 2, selector: {}, template: { spec: { containers: [] } }, progressDeadlineSeconds: deadline },
  status,
});
const set = (name: string, replicas: number, available: number): ReplicaSet => ({
  metadata: { name },
  spec: { replicas, selector: {} },
  status: {
    replicas,
    readyReplicas: available,
    availableReplicas: available,
    terminatingReplicas: 0,
    observedGeneration: 1,
  },
});
const progressing = (reason: string, lastUpdateTime: string, status = 'True') => ({
  conditions: [{ type: 'Progressing', status, reason, lastUpdateTime, lastTransitionTime: lastUpdateTime }],
});

describe('rolloutStatus', () => {
  it('counts', () => {
    expect(
      rolloutStatus(deployment({}), [set('old', 1, 1), set('new', 1, 0)], set('new', 1, 0), nowMs, now),
    ).toMatchObject({
      observedGeneration: 2,
      replicas: 2,
      updatedReplicas: 1,
      readyReplicas: 1,
      availableReplicas: 1,
      unavailableReplicas: 1,
      terminatingReplicas: 0,
    });
  });

  it.each([
    { name: 'done', before: {}, available: 2, want: ['True', 'NewReplicaSetAvailable'] },
    { name: 'moving', before: { updatedReplicas: 1 }, available: 1, want: ['True', 'ReplicaSetUpdated'] },
    {
      name: 'stuck past the deadline',
      before: { updatedReplicas: 2, replicas: 2, ...progressing('ReplicaSetUpdated', '2026-01-01T00:49:00Z') },
      available: 0,
      want: ['False', 'ProgressDeadlineExceeded'],
    },
    {
      name: 'still, but within the deadline',
      before: { updatedReplicas: 2, replicas: 2, ...progressing('ReplicaSetUpdated', '2026-01-01T00:55:00Z') },
      available: 0,
      want: ['True', 'ReplicaSetUpdated'],
    },
    {
      name: 'complete before: a lost pod does not start the clock',
      before: {
        updatedReplicas: 2,
        replicas: 2,
        availableReplicas: 2,
        ...progressing('NewReplicaSetAvailable', '2026-01-01T00:00:00Z'),
      },
      available: 1,
      want: ['True', 'NewReplicaSetAvailable'],
    },
  ])('$name', ({ before, available, want }) => {
    const newSet = set('new', 2, available);
    const { conditions } = rolloutStatus(deployment(before), [newSet], newSet, nowMs, now);
    const found = findCondition(conditions, 'Progressing');
    expect([found?.status, found?.reason]).toEqual(want);
  });

  it.each([
    { name: 'enough', available: 2, want: 'MinimumReplicasAvailable' },
    { name: 'too few', available: 1, want: 'MinimumReplicasUnavailable' },
  ])('Available: $name', ({ available, want }) => {
    const { conditions } = rolloutStatus(deployment({}), [set('new', 2, available)], undefined, nowMs, now);
    expect(findCondition(conditions, 'Available')?.reason).toBe(want);
  });

  it('without a deadline there is no Progressing; other conditions are kept; failures are shown', () => {
    const before = { conditions: [{ type: 'Custom', status: 'True' }, ...progressing('x', now).conditions] };
    const failing: ReplicaSet = {
      ...set('new', 1, 0),
      status: {
        replicas: 0,
        conditions: [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'quota' }],
      },
    };
    const { conditions } = rolloutStatus(deployment(before, 2 ** 31 - 1), [failing], failing, nowMs, now);
    expect(conditions?.map(({ type }) => type).toSorted()).toEqual(['Available', 'Custom', 'ReplicaFailure']);
    expect(findCondition(conditions, 'ReplicaFailure')).toMatchObject({ reason: 'FailedCreate', message: 'quota' });
  });
});
