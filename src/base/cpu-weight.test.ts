import { expect, it } from 'vitest';
import { cpuWeightOf } from './cpu-weight.ts';

it.each([
  [2, 1],
  [0, 1],
  [102, 4],
  [1024, 39],
  [262_144, 10_000],
  [300_000, 10_000],
])('%d shares weigh %d', (shares, weight) => expect(cpuWeightOf(shares)).toBe(weight));
