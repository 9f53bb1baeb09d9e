import { describe, expect, it } from 'vitest';
import { computePodFigures, formatPodFigures } from '../bench/budgets.ts';
import { parseCpuSeconds, usageBetween } from '../bench/process-usage.ts';
import { formatTable, median, percentile, spreadOfRounds } from '../bench/statistics.ts';

describe('statistics', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  it.each([
    { values: [3], fraction: 0.5, want: 3 },
    { values: [1, 2], fraction: 0.5, want: 1 },
    { values: [3, 1, 2], fraction: 0.5, want: 2 },
    { values: hundred, fraction: 0.99, want: 99 },
    { values: hundred, fraction: 1, want: 100 },
    { values: [], fraction: 0.5, want: Number.NaN },
  ])('percentile $fraction is $want', ({ values, fraction, want }) => expect(percentile(values, fraction)).toBe(want));

  it.each([
    { values: [5], want: 5 },
    { values: [9, 1, 5], want: 5 },
    { values: [4, 1, 2, 9], want: 3 },
    { values: [], want: Number.NaN },
  ])('median of $values is $want', ({ values, want }) => expect(median(values)).toBe(want));

  it('one disturbed round does not count', () => {
    expect(
      spreadOfRounds([
        [1, 2, 3],
        [100, 200, 300],
        [2, 3, 4],
      ]),
    ).toEqual({ p50: 3, p99: 4 });
  });

  it('tables have numbers to the right', () => {
    expect(
      formatTable(
        ['n', 'what'],
        [
          ['10', 'a'],
          ['5', 'bc'],
        ],
      ),
    ).toBe(' n  what\n--  ----\n10  a\n 5  bc'.replace(' n', 'n '));
  });
});

describe('usage of a process', () => {
  it('reads times behind a name with blanks and brackets', () => {
    expect(parseCpuSeconds(`7 (a) b (c) S ${'0 '.repeat(10)}150 50 0 0`)).toBe(2);
  });

  it('is what was used between two looks', () => {
    const from = { atMs: 1000, cpuSeconds: 1, rssBytes: 5, wakeUps: 10 };
    expect(usageBetween(from, { atMs: 3000, cpuSeconds: 1.5, rssBytes: 7, wakeUps: 30 })).toEqual({
      seconds: 2,
      cpuSeconds: 0.5,
      cpuPercent: 25,
      rssBytesEnd: 7,
      wakeUpsPerSecond: 10,
    });
  });
});

describe('budgets', () => {
  const start = { seconds: 1, cpuSeconds: 0.1, cpuPercent: 10, rssBytesEnd: 100_000_000, wakeUpsPerSecond: 1 };
  const measured = (readyMs: number): Parameters<typeof computePodFigures>[1] => ({
    rounds: [{ count: 1, results: [{ readyMs: [readyMs], goneMs: [500], start }] }],
    rest: [],
  });
  const floors = [{ count: 1, rounds: [[100]] }];

  it.each([
    { readyMs: 140, want: '1.40 x (≤ 1.5: met)' },
    { readyMs: 160, want: '1.60 x (≤ 1.5: MISSED)' },
  ])('say whether they are met: $want', ({ readyMs, want }) => {
    const text = formatPodFigures(computePodFigures(floors, measured(readyMs)), 'kubelet');
    expect(text).toContain(want);
    expect(text).toContain('100 MB (≤ 110: met)');
  });

  it('leave out what was not measured', () => {
    expect(computePodFigures(floors, undefined)).toEqual([{ count: 1, floor: { p50: 100, p99: 100 } }]);
  });
});
