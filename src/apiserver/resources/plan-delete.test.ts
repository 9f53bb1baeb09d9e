import { describe, expect, it } from 'vitest';
import { planDelete } from './plan-delete.ts';
import { ResourceTable } from './resource-table.ts';
import { ServiceAllocator } from './service-allocator.ts';
import type { ApiObject } from './api-object.ts';

const table = new ResourceTable(new ServiceAllocator('10.96.0.0/24', { first: 30_000, last: 30_100 }));
const nowMs = Date.parse('2026-01-01T00:01:00Z');

function pod(metadata: object, nodeName = 'n1', phase = 'Running'): ApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', generation: 1, ...metadata },
    spec: { nodeName, terminationGracePeriodSeconds: 20, containers: [] },
    status: { phase },
  };
}
const dying = { deletionTimestamp: '2026-01-01T00:01:10Z', deletionGracePeriodSeconds: 20 };

describe('planDelete', () => {
  it.each([
    { name: 'a running pod gets its own grace', object: pod({}), options: {}, want: { kind: 'mark', grace: 20 } },
    {
      name: 'or the one asked for',
      object: pod({}),
      options: { gracePeriodSeconds: 5 },
      want: { kind: 'mark', grace: 5 },
    },
    {
      name: 'a negative grace is one second',
      object: pod({}),
      options: { gracePeriodSeconds: -1 },
      want: { kind: 'mark', grace: 1 },
    },
    { name: 'a pod on no node goes at once', object: pod({}, ''), options: {}, want: { kind: 'remove', grace: 0 } },
    {
      name: 'a finished pod goes at once',
      object: pod({}, 'n1', 'Failed'),
      options: {},
      want: { kind: 'remove', grace: 0 },
    },
    {
      name: 'grace 0 goes at once',
      object: pod({}),
      options: { gracePeriodSeconds: 0 },
      want: { kind: 'remove', grace: 0 },
    },
    {
      name: 'a longer grace changes nothing',
      object: pod(dying),
      options: { gracePeriodSeconds: 60 },
      want: { kind: 'keep' },
    },
    { name: 'the same delete changes nothing', object: pod(dying), options: {}, want: { kind: 'keep' } },
    {
      name: 'a shorter grace counts from the first delete',
      object: pod(dying),
      options: { gracePeriodSeconds: 15 },
      want: { kind: 'mark', grace: 15, at: '2026-01-01T00:01:05Z' },
    },
    {
      name: 'but never ends in the past',
      object: pod(dying),
      options: { gracePeriodSeconds: 1 },
      want: { kind: 'mark', grace: 1, at: '2026-01-01T00:01:00Z' },
    },
    {
      name: 'a dying pod with grace 0 goes',
      object: pod(dying),
      options: { gracePeriodSeconds: 0 },
      want: { kind: 'remove', grace: 0 },
    },
    {
      name: 'a finalizer holds even then',
      object: pod({ ...dying, finalizers: ['a.b/c'] }),
      options: { gracePeriodSeconds: 0 },
      want: { kind: 'mark', grace: 0 },
    },
  ] as const)('$name', ({ object, options, want }) => {
    const plan = planDelete(table.must('v1', 'pods'), object, options, nowMs);
    expect(plan.kind).toBe(want.kind);
    if (plan.kind !== 'keep' && 'grace' in want) {
      expect(plan.object.metadata.deletionGracePeriodSeconds).toBe(want.grace);
      if ('at' in want) expect(plan.object.metadata.deletionTimestamp).toBe(want.at);
    }
  });

  it.each([
    { resource: ['apps/v1', 'deployments'], options: {}, finalizers: [], kind: 'remove', left: undefined },
    {
      resource: ['apps/v1', 'deployments'],
      options: { propagationPolicy: 'Foreground' },
      finalizers: [],
      kind: 'mark',
      left: ['foregroundDeletion'],
    },
    {
      resource: ['apps/v1', 'deployments'],
      options: { propagationPolicy: 'Orphan' },
      finalizers: ['a/b'],
      kind: 'mark',
      left: ['a/b', 'orphan'],
    },
    {
      resource: ['apps/v1', 'deployments'],
      options: { propagationPolicy: 'Background' },
      finalizers: ['orphan'],
      kind: 'remove',
      left: undefined,
    },
    { resource: ['batch/v1', 'jobs'], options: {}, finalizers: [], kind: 'mark', left: ['orphan'] },
    {
      resource: ['v1', 'events'],
      options: { propagationPolicy: 'Foreground' },
      finalizers: [],
      kind: 'remove',
      left: undefined,
    },
  ] as const)(
    '$resource with $options and finalizers $finalizers: $kind',
    ({ resource, options, finalizers, kind, left }) => {
      const object: ApiObject = { apiVersion: '', kind: '', metadata: { name: 'x', finalizers: [...finalizers] } };
      const plan = planDelete(table.must(resource[0], resource[1]), object, options, nowMs);
      expect(plan.kind).toBe(kind);
      if (plan.kind !== 'keep') expect(plan.object.metadata.finalizers).toEqual(left);
    },
  );
});
