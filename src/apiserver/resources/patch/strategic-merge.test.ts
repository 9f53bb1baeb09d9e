import { describe, expect, it } from 'vitest';
import { typeOfKind } from '../schema.ts';
import { StrategicPatchError, strategicMerge } from './strategic-merge.ts';

const pod = typeOfKind('v1', 'Pod');
const named = (...names: string[]): Array<{ name: string }> => names.map((name) => ({ name }));
const withContainers = (containers: unknown, more: object = {}): { spec: object } => ({
  spec: { containers, ...more },
});

describe('strategicMerge', () => {
  it.each([
    {
      name: 'maps merge and null deletes',
      live: { metadata: { labels: { a: '1', b: '2' } } },
      patch: { metadata: { labels: { a: null, c: '3' } } },
      want: { metadata: { labels: { b: '2', c: '3' } } },
    },
    {
      name: 'a list with a key merges by key',
      live: withContainers([
        { name: 'a', image: 'x' },
        { name: 'b', image: 'y' },
      ]),
      patch: withContainers([{ name: 'b', image: 'z' }]),
      want: withContainers([
        { name: 'a', image: 'x' },
        { name: 'b', image: 'z' },
      ]),
    },
    {
      name: 'new items come as early as they can',
      live: withContainers(named('X1', 'X2', 'A')),
      patch: withContainers(named('N1', 'X2', 'N2')),
      want: withContainers(named('N1', 'X1', 'X2', 'N2', 'A')),
    },
    {
      name: 'a new item goes ahead of an old one',
      live: withContainers(named('A')),
      patch: withContainers(named('B')),
      want: withContainers(named('B', 'A')),
    },
    {
      name: 'the order list orders what it names',
      live: withContainers(named('a', 'b', 'c')),
      patch: { spec: { '$setElementOrder/containers': named('c', 'a') } },
      want: withContainers(named('b', 'c', 'a')),
    },
    {
      name: 'an element is deleted by its key',
      live: withContainers(named('a', 'b')),
      patch: withContainers([{ name: 'a', $patch: 'delete' }]),
      want: withContainers(named('b')),
    },
    {
      name: 'a list is replaced on request',
      live: withContainers(named('a', 'b')),
      patch: withContainers([{ $patch: 'replace' }, { name: 'c' }]),
      want: withContainers(named('c')),
    },
    {
      name: 'lists without a strategy are replaced',
      live: withContainers([], { tolerations: [{ key: 'a' }] }),
      patch: { spec: { tolerations: [{ key: 'b' }] } },
      want: withContainers([], { tolerations: [{ key: 'b' }] }),
    },
    {
      name: 'primitive lists are united, and what is named is removed',
      live: { metadata: { finalizers: ['a/x', 'b/x'] } },
      patch: { metadata: { finalizers: ['c/x'], '$deleteFromPrimitiveList/finalizers': ['a/x'] } },
      want: { metadata: { finalizers: ['c/x', 'b/x'] } },
    },
    {
      name: 'retainKeys drops the other arms of a union',
      live: { spec: { volumes: [{ name: 'v', emptyDir: {} }] } },
      patch: { spec: { volumes: [{ name: 'v', hostPath: { path: '/x' }, $retainKeys: ['name', 'hostPath'] }] } },
      want: { spec: { volumes: [{ name: 'v', hostPath: { path: '/x' } }] } },
    },
    {
      name: 'a map is replaced on request',
      live: { metadata: { labels: { a: '1' } } },
      patch: { metadata: { labels: { $patch: 'replace', b: '2' } } },
      want: { metadata: { labels: { b: '2' } } },
    },
  ])('$name', ({ live, patch, want }) => {
    expect(strategicMerge(live, patch, pod)).toEqual(want);
  });

  it.each([
    {
      name: 'an unknown directive',
      patch: { metadata: { $patch: 'foo' } },
      text: 'unknown patch type: foo in map: map[$patch:foo]',
    },
    {
      name: 'an element without its key',
      patch: withContainers([{ image: 'x' }]),
      text: 'map: map[image:x] does not contain declared merge key: name',
    },
  ])('$name is refused', ({ patch, text }) => {
    expect(() => strategicMerge({}, patch, pod)).toThrow(new StrategicPatchError(text));
  });
});
