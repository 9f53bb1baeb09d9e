import { describe, expect, it } from 'vitest';
import { computeRotation, rotationStamp } from './compute-rotation.ts';

const at = (second: number, suffix = ''): string => `0.log.20260101-00000${second}${suffix}`;

describe('computeRotation', () => {
  it.each([
    { name: 'nothing rotated yet', names: [], maxFiles: 5, remove: [], compress: [] },
    { name: 'the plain one is compressed', names: [at(1)], maxFiles: 5, remove: [], compress: [at(1)] },
    {
      name: 'compressed ones stay',
      names: [at(1, '.gz'), at(2)],
      maxFiles: 5,
      remove: [],
      compress: [at(2)],
    },
    {
      name: 'unfinished ones and originals of compressed ones go',
      names: [at(1, '.gz.tmp'), at(2), at(2, '.gz')],
      maxFiles: 5,
      remove: [at(1, '.gz.tmp'), at(2)],
      compress: [],
    },
    {
      name: 'room is left for the current and the next file',
      names: [at(3), at(1, '.gz'), at(2, '.gz')],
      maxFiles: 4,
      remove: [at(1, '.gz')],
      compress: [at(3)],
    },
    { name: 'two files: all rotated ones go', names: [at(1)], maxFiles: 2, remove: [at(1)], compress: [] },
  ])('$name', ({ names, maxFiles, remove, compress }) => {
    expect(computeRotation(names, maxFiles)).toEqual({ remove, compress });
  });
});

describe('rotationStamp', () => {
  it('is local time in 15 characters', () => {
    expect(rotationStamp(new Date(2026, 0, 2, 3, 4, 5).getTime())).toBe('20260102-030405');
  });
});
