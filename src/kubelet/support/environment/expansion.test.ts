import { describe, expect, it } from 'vitest';
import { expand, expandAll, expandStrictly } from './expansion.ts';

const values = new Map([
  ['A', 'one'],
  ['B', 'two'],
  ['EMPTY', ''],
  ['REF', '$(A)'],
  ['odd.name-1', 'odd'],
]);

describe('expand', () => {
  it.each([
    ['plain', 'plain'],
    ['$(A)', 'one'],
    ['$(A);;$(B)', 'one;;two'],
    ['x$(A)y', 'xoney'],
    ['$(EMPTY)', ''],
    ['$(odd.name-1)', 'odd'],
    ['$(UNKNOWN)', '$(UNKNOWN)'],
    ['$(REF)', '$(A)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$one'],
    ['$$$$(A)', '$$(A)'],
    ['$A', '$A'],
    ['$', '$'],
    ['a$', 'a$'],
    ['$$', '$'],
    ['$(', '$('],
    ['$(A', '$(A'],
    ['$($(A)', '$($(A)'],
    ['$(A))', 'one)'],
    ['$()', '$()'],
    ['', ''],
    ['$-$(A)', '$-one'],
  ])('%j becomes %j', (text, want) => {
    expect(expand(text, (name) => values.get(name))).toBe(want);
  });
});

const environment = [...values].map(([name, value]) => ({ name, value }));

it('expandAll leaves what is absent absent', () => {
  expect(expandAll(undefined, environment)).toBeUndefined();
  expect(expandAll(['sh', '-c', 'echo $(B) $(NO)'], environment)).toEqual(['sh', '-c', 'echo two $(NO)']);
});

describe('expandStrictly', () => {
  it('names all that is missing or empty, sorted', () => {
    expect(() => expandStrictly('$(Z)/$(A)/$(EMPTY)/$(Z)', environment)).toThrow(
      new Error('missing value for EMPTY, Z'),
    );
  });
  it('expands', () => {
    expect(expandStrictly('$(A)/x', environment)).toBe('one/x');
  });
});
