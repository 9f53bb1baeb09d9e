import { describe, expect, it } from 'vitest';
import { parsePackets } from './packet-counters.ts';

describe('parsePackets', () => {
  const text = '{ pkts = 00000000000000000012, bytes = 00000000000000000720 } = dropped;\n';
  it.each([
    { name: 'dropped', want: 12 },
    { name: 'opped', want: undefined },
    { name: 'other', want: undefined },
  ])('reads $name as $want', ({ name, want }) => {
    expect(parsePackets(text, name)).toBe(want);
  });
});
