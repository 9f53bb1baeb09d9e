import { expect, it } from 'vitest';
import { findSimilar } from './find-similar.ts';

it.each([
  { name: 'a slip', wanted: 'default/wbe-1', known: ['default/web-1', 'default/db'], want: ['default/web-1'] },
  { name: 'the name in another namespace', wanted: 'default/web', known: ['shop/web'], want: ['shop/web'] },
  {
    name: 'the name of the workload instead of its pod',
    wanted: 'default/hello',
    known: ['default/hello-56d64d6b54-dvh6j', 'default/other'],
    want: ['default/hello-56d64d6b54-dvh6j'],
  },
  { name: 'nothing like it', wanted: 'default/web', known: ['default/database'], want: [] },
  {
    name: 'five at most, the nearest first',
    wanted: 'a/web',
    known: ['b/web-9', 'a/web-1', 'a/web-2', 'a/web-3', 'a/web-4', 'c/web', 'a/web-1'],
    want: ['c/web', 'a/web-1', 'a/web-2', 'a/web-3', 'a/web-4'],
  },
])('findSimilar: $name', ({ wanted, known, want }) => {
  expect(findSimilar(wanted, known)).toEqual(want);
});
