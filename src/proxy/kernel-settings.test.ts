import { describe, expect, it } from 'vitest';
import { conntrackMax } from './kernel-settings.ts';

describe('conntrackMax', () => {
  it.each([
    { name: 'so many per CPU', maxPerCore: 32_768, min: 131_072, cpus: 8, want: 262_144 },
    { name: 'the minimum on a small machine', maxPerCore: 32_768, min: 131_072, cpus: 2, want: 131_072 },
    { name: 'the limit on a large one', maxPerCore: 32_768, min: 131_072, cpus: 64, want: 1_048_576 },
    { name: 'the limit wins over a greater minimum', maxPerCore: 1_000_000, min: 2_000_000, cpus: 2, want: 1_048_576 },
    { name: '0 leaves the kernel alone', maxPerCore: 0, min: 131_072, cpus: 8, want: 0 },
  ])('$name', ({ maxPerCore, min, cpus, want }) => {
    expect(conntrackMax({ maxPerCore, min }, cpus)).toBe(want);
  });
});
