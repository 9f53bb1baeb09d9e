import { describe, expect, it } from 'vitest';
import type { OwnerReference } from '../../objects/generated/meta-v1.ts';
import { decideCollection } from './decide-collection.ts';
import { OwnerGraph, graphNodeOf } from './owner-graph.ts';

const resource = { prefix: '/api/v1', group: '', plural: 'pods', kind: 'Pod', namespaced: true, verbs: [] };
const owner = (uid: string): OwnerReference => ({ apiVersion: 'v1', kind: 'Pod', name: uid, uid });
const node = (uid: string, owners: string[] = [], finalizers?: string[]) =>
  graphNodeOf(resource, {
    name: uid,
    uid,
    ownerReferences: owners.map(owner),
    ...(finalizers === undefined ? {} : { finalizers, deletionTimestamp: 'x' }),
  });

describe('OwnerGraph names who is to be looked at', () => {
  it.each([
    { name: 'an object without owners: nobody', put: [node('a')], want: [] },
    { name: 'an owner that is there: nobody', put: [node('a'), node('b', ['a'])], want: [] },
    { name: 'an owner never seen: the object', put: [node('b', ['a'])], want: ['b'] },
    { name: 'an owner being deleted: the object', put: [node('a', [], []), node('b', ['a'])], want: ['b'] },
    {
      name: 'an owner that starts to wait: it and those that it owns',
      put: [node('a'), node('b', ['a']), node('a', [], ['foregroundDeletion'])],
      want: ['a', 'b'],
    },
    {
      name: 'an owner that lets go of what it owns: it',
      put: [node('a'), node('b', ['a']), node('a', [], ['orphan'])],
      want: ['a'],
    },
    {
      name: 'an object that leaves a waiting owner: the owner',
      put: [node('a', [], ['foregroundDeletion']), node('b', ['a']), node('b')],
      want: ['a'],
    },
  ])('$name', ({ put, want }) => {
    const graph = new OwnerGraph();
    let last: string[] = [];
    for (const each of put) last = graph.put(each);
    expect(last).toEqual(want);
  });

  it('when an owner is gone: those that it owned; when the last of them is gone: a waiting owner', () => {
    const graph = new OwnerGraph();
    for (const each of [node('a'), node('b', ['a']), node('c', ['a'])]) graph.put(each);
    expect(graph.remove('a')).toEqual(['b', 'c']);
    graph.put(node('a', [], ['foregroundDeletion']));
    expect(graph.remove('b')).toEqual(['a']);
    expect(graph.dependentsOf('a').map(({ uid }) => uid)).toEqual(['c']);
    expect(graph.remove('unknown')).toEqual([]);
  });
});

describe('decideCollection', () => {
  const owners = (...states: Array<'solid' | 'waiting' | 'dangling'>) =>
    states.map((state, i) => ({ uid: `o${i}`, state }));
  it.each([
    { name: 'no owners', owners: [], has: false, finalizers: [], want: { kind: 'keep' } },
    { name: 'a solid one', owners: owners('solid'), has: false, finalizers: [], want: { kind: 'keep' } },
    {
      name: 'a solid one and others: those are dropped',
      owners: owners('solid', 'dangling', 'waiting'),
      has: true,
      finalizers: [],
      want: { kind: 'drop-references', uids: ['o1', 'o2'] },
    },
    {
      name: 'gone',
      owners: owners('dangling'),
      has: true,
      finalizers: [],
      want: { kind: 'delete', propagationPolicy: 'Background' },
    },
    {
      name: 'waiting, with dependents',
      owners: owners('waiting'),
      has: true,
      finalizers: [],
      want: { kind: 'delete', propagationPolicy: 'Foreground' },
    },
    {
      name: 'waiting, without',
      owners: owners('waiting'),
      has: false,
      finalizers: [],
      want: { kind: 'delete', propagationPolicy: 'Background' },
    },
    {
      name: 'its own finalizer',
      owners: owners('dangling'),
      has: false,
      finalizers: ['orphan'],
      want: { kind: 'delete', propagationPolicy: 'Orphan' },
    },
  ])('$name', ({ owners: states, has, finalizers, want }) => {
    expect(decideCollection(states, has, finalizers)).toEqual(want);
  });
});
