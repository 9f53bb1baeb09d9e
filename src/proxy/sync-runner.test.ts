import { describe, expect, it } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { SyncRunner } from './sync-runner.ts';

describe('SyncRunner', () => {
  const start = (results: Array<{ retryMs?: number }> = []) => {
    const clock = new FakeClock(0);
    const runs: number[] = [];
    const stop = new AbortController();
    const runner = new SyncRunner({ minIntervalMs: 1000, maxIntervalMs: 60_000, clock });
    const sync = async (): Promise<{ retryMs?: number }> => {
      runs.push(clock.nowMs());
      return results.shift() ?? {};
    };
    return { clock, runs, stop, runner, done: runner.run(sync, stop.signal) };
  };

  it('serves the first request at once and later ones a pause after the last run', async () => {
    const { clock, runs, stop, runner, done } = start();
    await clock.advance(5000);
    runner.request();
    await clock.advance(100);
    runner.request();
    runner.request();
    await clock.advance(5000);
    expect(runs).toEqual([5000, 6000]);
    stop.abort();
    await done;
  });

  it('runs without a request when the longest interval is over', async () => {
    const { clock, runs, stop, done } = start();
    await clock.advance(60_000);
    expect(runs).toEqual([60_000]);
    stop.abort();
    await done;
  });

  it('comes back after a failure, sooner when asked', async () => {
    const { clock, runs, stop, runner, done } = start([{ retryMs: 30_000 }, {}]);
    runner.request();
    await clock.advance(40_000);
    expect(runs).toEqual([0, 30_000]);
    stop.abort();
    await done;
  });
});
