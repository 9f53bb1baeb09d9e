import { describe, expect, it } from 'vitest';
import { supportedVersion } from './ipset.ts';

describe('supportedVersion', () => {
  it.each([
    ['ipset v7.17, protocol version: 7\n', '7.17'],
    ['ipset v6.0, protocol version: 6\n', '6.0'],
    ['ipset v10.1, protocol version: 7\n', '10.1'],
  ])('%s: %s', (printed, want) => {
    expect(supportedVersion(printed)).toBe(want);
  });

  it.each(['ipset v4.5, protocol version: 4\n', 'what?'])('%s is refused', (printed) => {
    expect(() => supportedVersion(printed)).toThrow('expected 6.0 or newer; upgrade the package ipset');
  });
});
