import { expect, it } from 'vitest';
import { goQuote } from './go-quote.ts';

it.each([
  ['plain', '"plain"'],
  ['say "hi" \\o/', '"say \\"hi\\" \\\\o/"'],
  ['a\nb\tc\rd', '"a\\nb\\tc\\rd"'],
  ['\x07\b\f\v', '"\\a\\b\\f\\v"'],
  ['\x00\x1f\x7f', '"\\x00\\x1f\\x7f"'],
  ['äöü 世界 €', '"äöü 世界 €"'],
  ['\u00a0\u200b\u0085', '"\\u00a0\\u200b\\u0085"'],
  ['😀\u{e0001}', '"😀\\U000e0001"'],
  ["it's", '"it\'s"'],
])('%j', (text, want) => {
  expect(goQuote(text)).toBe(want);
});
