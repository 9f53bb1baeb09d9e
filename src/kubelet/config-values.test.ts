import { describe, expect, it } from 'vitest';
import { formatDuration, parseDurationMs } from './config-values.ts';

describe('durations', () => {
  it.each([
    ['0', 0],
    ['0s', 0],
    ['100ms', 100],
    ['1.5s', 1500],
    ['1m30s', 90_000],
    ['1h0m0s', 3_600_000],
    ['-1s', -1000],
    ['+2s', 2000],
    ['500us', 0.5],
  ])('%s is %d ms', (text, ms) => expect(parseDurationMs(text)).toBe(ms));

  it.each(['', '1', 's', '1 s', '1d', '1s1', '--1s'])('"%s" is none', (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  });

  it.each([
    [0, '0s'],
    [100, '100ms'],
    [1500, '1.5s'],
    [90_000, '1m30s'],
    [300_000, '5m0s'],
    [14_400_000, '4h0m0s'],
  ])('%d ms is written %s', (ms, text) => expect(formatDuration(ms)).toBe(text));
});
