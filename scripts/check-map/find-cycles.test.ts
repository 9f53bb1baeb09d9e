import { describe, expect, it } from 'vitest';
import { findCycles } from './find-cycles.ts';

describe('findCycles', () => {
  it.each([
    { name: 'none in a line', imports: { a: ['b'], b: ['c'], c: [] }, want: [] },
    { name: 'none in a diamond', imports: { a: ['b', 'c'], b: ['d'], c: ['d'], d: [] }, want: [] },
    { name: 'two files', imports: { a: ['b'], b: ['a'] }, want: [['a', 'b']] },
    { name: 'a file that imports itself', imports: { a: ['a'] }, want: [['a']] },
    { name: 'a long way round', imports: { a: ['b'], b: ['c'], c: ['a'], d: ['a'] }, want: [['a', 'b', 'c']] },
    {
      name: 'two circles apart',
      imports: { a: ['b'], b: ['a'], c: ['d', 'a'], d: ['c'] },
      want: [
        ['a', 'b'],
        ['c', 'd'],
      ],
    },
  ])('$name', ({ imports, want }) => {
    expect(findCycles(new Map(Object.entries(imports)))).toEqual(want);
  });
});
