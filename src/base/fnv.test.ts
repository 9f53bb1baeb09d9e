import { describe, expect, it } from 'vitest';
import { fnv1a128Hex, fnv1a32 } from './fnv.ts';

// the published test vectors of FNV-1a
describe('fnv1a32', () => {
  it.each([
    ['', 0x811c9dc5],
    ['a', 0xe40c292c],
    ['foobar', 0xbf9cf968],
  ])('"%s"', (text, want) => expect(fnv1a32(text)).toBe(want));
});

describe('fnv1a128Hex', () => {
  it.each([
    ['', '6c62272e07bb014262b821756295c58d'],
    ['a', 'd228cb696f1a8caf78912b704e4a8964'],
    ['foobar', '343e1662793c64bf6f0d3597ba446f18'],
  ])('"%s"', (text, want) => expect(fnv1a128Hex(Buffer.from(text))).toBe(want));
});
