import { describe, expect, it } from 'vitest';
import { computePodFigures, formatPodFigures } from '../bench/budgets.ts';
import { parseCpuSeconds, usageBetween } from '../bench/process-usage.ts';
import { formatSoak, judgeSoak } from '../bench/soak-verdict.ts';
import { type ProxyMeasurement, computeProxyFigures, formatProxyFigures } from '../bench/proxy-figures.ts';
import { soakPods, steadyProbePaths } from '../bench/soak-pods.ts';
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

describe('the proxy', () => {
  const measured: ProxyMeasurement = {
    mode: 'nftables',
    services: 10_000,
    startMs: 3000,
    syncMs: 1900,
    toolFullMs: 950,
    toolChangesMs: [15],
    spacedMs: [20, 49],
    backToBackMs: [1010],
    startCpuSeconds: 2,
    cpuSecondsPerChange: 0.004,
    restCpuPercent: 0.2,
    rssPeakBytes: 149e6,
    rssRestBytes: 120e6,
    loop: { p99Ms: 5, maxMs: 80, longestOwnMs: 40 },
  };
  const shown = (more: Partial<ProxyMeasurement>): string =>
    formatProxyFigures([computeProxyFigures({ ...measured, ...more })]);

  it.each<{ more: Partial<ProxyMeasurement>; want: string[] }>([
    {
      more: {},
      want: ['1.90 s (≤ 2: met)', '49 ms (≤ 50: met)', '149 MB (≤ 150: met)', '40 ms (≤ 50: met)', '2.00 x'],
    },
    { more: { syncMs: 2100 }, want: ['2.10 s (≤ 2: MISSED)'] },
    { more: { spacedMs: [20, 60] }, want: ['60 ms (≤ 50: MISSED)'] },
    { more: { rssPeakBytes: 160e6 }, want: ['160 MB (≤ 150: MISSED)'] },
    { more: { loop: { p99Ms: 1, maxMs: 51, longestOwnMs: 51 } }, want: ['51 ms (≤ 50: MISSED)'] },
    { more: { mode: 'iptables', spacedMs: [350, 900] }, want: ['350 ms (≤ 350: met)', ' 900 ms  '] },
    { more: { mode: 'iptables', spacedMs: [351] }, want: ['351 ms (≤ 350: MISSED)'] },
  ])('is held to $want', ({ more, want }) => {
    for (const text of want) expect(shown(more)).toContain(text);
  });

  it('has no budget for less Services', () => expect(shown({ services: 100 })).not.toContain('≤'));
});

describe('a long run', () => {
  const minute = (n: number, more = {}) => ({
    minute: n,
    rssBytes: 100_000_000,
    cpuPercent: 5,
    wakeUpsPerSecond: 100,
    loopDelayP99Ms: 10,
    lateProbes: 0,
    longestGapMs: 1100,
    probesPerSecond: 200,
    ...more,
  });
  const run = (more: Record<number, object> = {}, count = 15) => ({
    pods: 110,
    startMs: 1000,
    restarts: 3,
    minutes: Array.from({ length: count }, (_, i) => minute(i + 1, more[i + 1])),
  });
  const missed = (...args: Parameters<typeof run>): string[] =>
    judgeSoak(run(...args), 'kubelet')
      .filter(({ isMet }) => !isMet)
      .map(({ what, seen }) => `${what}: ${seen}`);

  it.each([
    { name: 'holds', more: {}, want: [] },
    {
      name: 'had a late probe',
      more: { 7: { lateProbes: 1, longestGapMs: 2100 } },
      want: ['probes later than their period and 1 s: 1, longest gap 2.10 s'],
    },
    {
      name: 'held the loop up',
      more: { 1: { loopDelayP99Ms: 51 } },
      want: ['event-loop delay p99 of each minute ≤ 50 ms: 51.0 ms at most, 15 minutes told'],
    },
    {
      name: 'did not tell its delay',
      more: { 1: { loopDelayP99Ms: undefined } },
      want: ['event-loop delay p99 of each minute ≤ 50 ms: 10.0 ms at most, 14 minutes told'],
    },
    {
      name: 'was too large once, without growing',
      more: { 8: { rssBytes: 111_000_000 } },
      want: ['resident memory ≤ 110 MB: 111 MB at most'],
    },
    {
      name: 'grew',
      more: { 13: { rssBytes: 104e6 }, 14: { rssBytes: 104e6 }, 15: { rssBytes: 104e6 } },
      want: ['no growth from minute 5 on (≤ 3 MB): 4.0 MB'],
    },
  ])('$name', ({ more, want }) => expect(missed(more)).toEqual(want));

  it('that is too short does not tell whether it grows', () => {
    expect(missed({}, 5)).toEqual(['no growth from minute 5 on (≤ 3 MB): too short to tell']);
    expect(formatSoak(run({}, 1), judgeSoak(run({}, 1), 'kubelet'))).toContain('110 pods, all up after 1.0 s');
  });

  it('has 110 pods, of which those that do not come and go are probed all the time', () => {
    const images = { pause: 'pause', busybox: 'busybox' };
    const pods = soakPods({ nodeName: 'node', images, probeHost: '10.0.0.1', probePort: 80 });
    expect(pods).toHaveLength(110);
    // two probes of each plain pod, three of one with a sidecar
    expect(steadyProbePaths(pods)).toHaveLength(2 * 70 + 3 * 20);
  });
});
