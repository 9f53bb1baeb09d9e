import { describe, expect, it } from 'vitest';
import {
  formatLabelSelector,
  formatRequirements,
  labelSelectorRequirements,
  matchesLabelSelector,
  matchesRequirements,
  parseLabelSelector,
} from './label-selector.ts';

describe('parseLabelSelector', () => {
  it.each([
    { text: '', labels: {}, want: true },
    { text: 'a=b', labels: { a: 'b' }, want: true },
    { text: 'a==b', labels: { a: 'c' }, want: false },
    { text: 'a!=b', labels: {}, want: true },
    { text: 'a != b', labels: { a: 'b' }, want: false },
    { text: 'a', labels: { a: '' }, want: true },
    { text: '!a', labels: { a: '' }, want: false },
    { text: 'a in (b, c),!d', labels: { a: 'c' }, want: true },
    { text: 'a notin (b,c)', labels: { a: 'c' }, want: false },
    { text: 'a notin (b,c)', labels: {}, want: true },
    { text: 'a=', labels: { a: '' }, want: true },
    { text: 'a in (,x)', labels: { a: '' }, want: true },
    { text: 'size>3', labels: { size: '10' }, want: true },
    { text: 'size<3', labels: { size: 'big' }, want: false },
    { text: 'example.com/role=web', labels: { 'example.com/role': 'web' }, want: true },
    { text: 'toString', labels: {}, want: false },
  ])('"$text" on $labels is $want', ({ text, labels, want }) => {
    expect(matchesRequirements(parseLabelSelector(text), labels)).toBe(want);
  });

  it.each(['a=b,', ',a', 'a in b', 'a in (b', '=b', 'a b', 'a>x', '-a=b', `a=${'x'.repeat(64)}`, 'a/b/c=d', '!'])(
    'refuses "%s"',
    (text) => {
      expect(() => parseLabelSelector(text)).toThrow(/unable to parse requirement/);
    },
  );

  it.each(['a=b', 'a!=b', 'a in (b,c)', 'a notin (b,c)', 'a', '!a', 'a>3', 'a=b,c in (d,e),f'])(
    '"%s" survives being formatted',
    (text) => {
      expect(formatRequirements(parseLabelSelector(text))).toBe(text);
    },
  );
});

describe('matchesLabelSelector', () => {
  it.each([
    { name: 'an absent selector matches nothing', selector: undefined, labels: {}, want: false },
    { name: 'an empty selector matches everything', selector: {}, labels: { a: 'b' }, want: true },
    { name: 'matchLabels', selector: { matchLabels: { a: 'b' } }, labels: { a: 'b', c: 'd' }, want: true },
    {
      name: 'all parts must hold',
      selector: { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'c', operator: 'DoesNotExist' }] },
      labels: { a: 'b', c: 'd' },
      want: false,
    },
  ])('$name', ({ selector, labels, want }) => {
    expect(matchesLabelSelector(selector, labels)).toBe(want);
  });

  it('refuses an unknown operator and values that do not fit', () => {
    expect(() => labelSelectorRequirements({ matchExpressions: [{ key: 'a', operator: 'Near' }] })).toThrow('Near');
    expect(() => labelSelectorRequirements({ matchExpressions: [{ key: 'a', operator: 'In' }] })).toThrow('values');
  });

  it('is formatted for a query', () => {
    expect(formatLabelSelector({ matchLabels: { b: 'x' }, matchExpressions: [{ key: 'a', operator: 'Exists' }] })).toBe(
      'a,b=x',
    );
  });
});
