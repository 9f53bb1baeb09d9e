import { describe, expect, it } from 'vitest';
import { compareVersions, highestVersion, parseVersion } from './driver-version.ts';

describe('highestVersion', () => {
  it.each([
    { versions: ['1.0.0'], want: [1, 0, 0] },
    { versions: ['1.2.0', '1.10.0', '1.9.9'], want: [1, 10, 0] },
    { versions: ['v1.3.0-rc1', 'nonsense', '2.0.0', '0.3.0'], want: [1, 3, 0] },
    { versions: ['1.0'], want: [1, 0, 0] },
    { versions: ['1.0.0.4'], want: [1, 0, 0] },
  ])('$versions', ({ versions, want }) => {
    expect(highestVersion(versions)).toEqual(want);
  });

  it.each([[['0.3.0']], [['2.0.0']], [['x', '']], [['1']]])('refuses %s', (versions) => {
    expect(() => highestVersion(versions)).toThrow('highest supported version');
  });

  it('compares numbers, not texts', () => {
    expect(compareVersions([1, 10, 0], [1, 9, 0])).toBeGreaterThan(0);
    expect(parseVersion('1.99999999999.0')).toBeUndefined();
  });
});
