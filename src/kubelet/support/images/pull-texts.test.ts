import { expect, it } from 'vitest';
import { aggregateTexts, goMilliseconds } from './pull-texts.ts';

it.each([
  [0.4, '0s'],
  [532.9, '532ms'],
  [1000, '1s'],
  [1234.5, '1.234s'],
  [62_500, '1m2.5s'],
  [3_600_000, '1h0m0s'],
])('%d ms is %s', (ms, want) => {
  expect(goMilliseconds(ms)).toBe(want);
});

it.each([
  [['a'], 'a'],
  [['a', 'a'], 'a'],
  [['a', 'b', 'a'], '[a, b]'],
])('%j is told as %s', (texts, want) => {
  expect(aggregateTexts(texts)).toBe(want);
});
