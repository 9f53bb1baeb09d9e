import { describe, expect, it } from 'vitest';
import type { Deployment, ReplicaSet } from '../../objects/generated/apps-v1.ts';
import { newReplicaSetSize, rolloutLimits, scaleAll, shrinkOld } from './compute-replica-counts.ts';

const deployment = (replicas: number, maxSurge?: number | string, maxUnavailable?: number | string): Deployment => ({
  metadata: { name: 'd' },
  spec: {
    replicas,
    selector: {},
    template: { spec: { containers: [] } },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
  },
});
const set = (
  name: string,
  replicas: number,
  available = replicas,
  maxReplicas?: number,
  desired?: number,
): ReplicaSet => ({
  metadata: {
    name,
    uid: name,
    creationTimestamp: `2026-01-0${name.length}T00:00:00Z`,
    annotations: {
      ...(maxReplicas === undefined ? {} : { 'deployment.kubernetes.io/max-replicas': String(maxReplicas) }),
      ...(desired === undefined ? {} : { 'deployment.kubernetes.io/desired-replicas': String(desired) }),
    },
  },
  spec: { replicas, selector: {} },
  status: { replicas, availableReplicas: available },
});
const sizes = (resizes: ReturnType<typeof scaleAll>) =>
  Object.fromEntries(resizes.map(({ replicaSet, size }) => [replicaSet.metadata.name, size]));

describe('rolloutLimits', () => {
  it.each([
    { replicas: 10, surge: undefined, unavailable: undefined, want: [3, 2] },
    { replicas: 3, surge: '25%', unavailable: '25%', want: [1, 0] },
    { replicas: 4, surge: 0, unavailable: 0, want: [0, 1] },
    { replicas: 1, surge: '0%', unavailable: '50%', want: [0, 1] },
    { replicas: 2, surge: 1, unavailable: 5, want: [1, 2] },
    { replicas: 0, surge: 1, unavailable: 1, want: [1, 0] },
  ])('$replicas replicas, surge $surge, unavailable $unavailable', ({ replicas, surge, unavailable, want }) => {
    const { maxSurge, maxUnavailable } = rolloutLimits(deployment(replicas, surge, unavailable));
    expect([maxSurge, maxUnavailable]).toEqual(want);
  });
});

describe('newReplicaSetSize', () => {
  it.each([
    { name: 'alone it gets everything', replicas: 3, old: 0, now: 0, want: 3 },
    { name: 'beside a full one it gets the surge', replicas: 4, old: 4, now: 0, want: 1 },
    { name: 'it grows as the old shrinks', replicas: 4, old: 2, now: 1, want: 3 },
    { name: 'no room', replicas: 4, old: 4, now: 1, want: 1 },
  ])('$name', ({ replicas, old, now, want }) => {
    const newSet = set('nn', now);
    expect(newReplicaSetSize(deployment(replicas, '25%', '25%'), [set('o', old), newSet], newSet)).toBe(want);
  });
});

describe('shrinkOld', () => {
  it.each([
    {
      name: 'as many as are available in the new',
      replicas: 4,
      old: [set('o', 4)],
      newSet: set('nn', 1, 1),
      want: { o: 2 },
    },
    { name: 'none while the new is not available', replicas: 3, old: [set('o', 3)], newSet: set('nn', 1, 0), want: {} },
    {
      name: 'unhealthy ones first, though the new is not available',
      replicas: 4,
      old: [set('o', 4, 2)],
      newSet: set('nn', 1, 0),
      want: { o: 3 },
    },
    {
      name: 'the oldest first',
      replicas: 4,
      old: [set('oo', 2), set('o', 2)],
      newSet: set('nnn', 1, 1),
      want: { o: 0 },
    },
    { name: 'all when the new is complete', replicas: 2, old: [set('o', 1)], newSet: set('nn', 2, 2), want: { o: 0 } },
  ])('$name', ({ replicas, old, newSet, want }) => {
    expect(sizes(shrinkOld(deployment(replicas, '25%', '25%'), [...old, newSet], old, newSet))).toEqual(want);
  });
});

describe('scaleAll', () => {
  it.each([
    {
      name: 'a single active one takes it all',
      replicas: 5,
      old: [set('o', 0)],
      newSet: set('nn', 3),
      want: { nn: 5 },
    },
    { name: 'none active: the new one', replicas: 2, old: [set('o', 0)], newSet: set('nn', 0), want: { nn: 2 } },
    {
      name: 'none active and none new: the newest',
      replicas: 2,
      old: [set('o', 0), set('oo', 0)],
      newSet: undefined,
      want: { oo: 2 },
    },
    {
      name: 'a saturated new one ends the old',
      replicas: 3,
      old: [set('o', 1)],
      newSet: set('nn', 3, 3, 4, 3),
      want: { o: 0 },
    },
    {
      name: 'in proportion, leftovers to the largest',
      replicas: 20,
      old: [set('o', 8, 8, 13, 10)],
      newSet: set('nn', 5, 5, 13, 10),
      want: { o: 15, nn: 10 },
    },
    {
      name: 'down to nothing',
      replicas: 0,
      old: [set('o', 3, 3, 4, 3)],
      newSet: set('nn', 1, 1, 4, 3),
      want: { o: 0, nn: 0 },
    },
  ])('$name', ({ replicas, old, newSet, want }) => {
    expect(sizes(scaleAll(deployment(replicas, '25%', '25%'), old, newSet))).toEqual(want);
  });
});
