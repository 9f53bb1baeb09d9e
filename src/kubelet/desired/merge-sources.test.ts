import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import type { PodChange } from '../pod-model.ts';
import { classifyChange, dropDuplicates, inDeliveryOrder, withLocalAnnotations } from './merge-sources.ts';

const pod = testPod({}, { labels: { a: '1' }, annotations: { note: 'x' } });
const meta = (metadata: Partial<Pod['metadata']>): Pod => ({ ...pod, metadata: { ...pod.metadata, ...metadata } });

describe('classifyChange', () => {
  it.each([
    { name: 'nothing was and nothing is', old: undefined, now: undefined, want: undefined },
    { name: 'new', old: undefined, now: pod, want: 'add' },
    { name: 'gone', old: pod, now: undefined, want: 'remove' },
    { name: 'the same', old: pod, now: structuredClone(pod), want: undefined },
    { name: 'another version only', old: pod, now: meta({ resourceVersion: '2' }), want: undefined },
    { name: 'local annotations only', old: pod, now: withLocalAnnotations(pod, 'api', 'now'), want: undefined },
    { name: 'labels', old: pod, now: meta({ labels: {} }), want: 'update' },
    { name: 'other annotations', old: pod, now: meta({ annotations: { note: 'y' } }), want: 'update' },
    {
      name: 'a deletion',
      old: pod,
      now: meta({ deletionTimestamp: 'now', deletionGracePeriodSeconds: 3 }),
      want: 'update',
    },
    {
      name: 'a shorter grace',
      old: meta({ deletionTimestamp: 'now', deletionGracePeriodSeconds: 3 }),
      now: meta({ deletionTimestamp: 'now', deletionGracePeriodSeconds: 1 }),
      want: 'update',
    },
    {
      name: 'the spec',
      old: pod,
      now: { ...pod, spec: { ...pod.spec, containers: [testContainer('web', { image: 'y' })] } },
      want: 'update',
    },
    { name: 'the status', old: pod, now: { ...pod, status: { phase: 'Running' } }, want: 'reconcile' },
    {
      name: 'status and labels',
      old: pod,
      now: { ...meta({ labels: {} }), status: { phase: 'Running' } },
      want: 'update',
    },
  ])('$name', ({ old, now, want }) => expect(classifyChange(old, now)?.kind).toBe(want));
});

describe('withLocalAnnotations', () => {
  it("overwrites the source: a mirror's own says where the static pod came from", () => {
    const mirror = meta({ annotations: { note: 'x', 'kubernetes.io/config.source': 'file' } });
    expect(withLocalAnnotations(mirror, 'api', 'then').metadata.annotations).toEqual({
      note: 'x',
      'kubernetes.io/config.source': 'api',
      'kubernetes.io/config.seen': 'then',
    });
    expect(mirror.metadata.annotations).toEqual({ note: 'x', 'kubernetes.io/config.source': 'file' });
  });
});

it('dropDuplicates keeps the first of a full name', () => {
  const named = (uid: string, name: string, namespace: string): Pod => testPod({}, { uid, name, namespace });
  const { pods, duplicates } = dropDuplicates([named('1', 'a', 'x'), named('2', 'a', 'y'), named('3', 'a', 'x')]);
  expect(pods.map(({ metadata }) => metadata.uid)).toEqual(['1', '2']);
  expect(duplicates.map(({ metadata }) => metadata.uid)).toEqual(['3']);
});

it('inDeliveryOrder: removals, additions by age, updates, status changes', () => {
  const at = (uid: string, creationTimestamp: string): Pod => meta({ uid, creationTimestamp });
  const changes: PodChange[] = [
    { kind: 'reconcile', pod: at('r', '2026-01-01T00:00:00Z'), old: pod },
    { kind: 'update', pod: at('u', '2026-01-01T00:00:00Z'), old: pod },
    { kind: 'add', pod: at('young', '2026-01-02T00:00:00Z') },
    { kind: 'add', pod: at('old', '2026-01-01T00:00:00Z') },
    { kind: 'remove', pod: at('gone', '2026-01-03T00:00:00Z') },
  ];
  expect(inDeliveryOrder(changes).map(({ pod: { metadata } }) => metadata.uid)).toEqual([
    'gone',
    'old',
    'young',
    'u',
    'r',
  ]);
});
