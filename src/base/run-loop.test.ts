import assert from 'node:assert/strict';
import { describe, expect, it } from 'vitest';
import { FakeClock } from './clock.ts';
import { silentLogger } from './logger.ts';
import { runLoop } from './run-loop.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('runLoop', () => {
  it('runs now and every period after the last run', async () => {
    const clock = new FakeClock(0);
    const stop = new AbortController();
    const atMs: number[] = [];
    const loop = runLoop(
      async () => {
        atMs.push(clock.nowMs());
        await clock.sleep(3, stop.signal);
      },
      { periodMs: 10, clock, log: silentLogger },
      stop.signal,
    );
    await clock.advance(30);
    stop.abort();
    await loop;
    expect(atMs).toEqual([0, 13, 26]);
  });

  it('comes back sooner after a failure', async () => {
    const clock = new FakeClock(0);
    const stop = new AbortController();
    const atMs: number[] = [];
    const loop = runLoop(
      () => {
        atMs.push(clock.nowMs());
        return atMs.length === 1 ? Promise.reject(new Error('broken')) : Promise.resolve();
      },
      { periodMs: 100, retryMs: 10, clock, log: silentLogger },
      stop.signal,
    );
    await clock.advance(110);
    stop.abort();
    await loop;
    expect(atMs).toEqual([0, 10, 110]);
  });

  it('ends after the run in progress, whatever that throws', async () => {
    const stop = new AbortController();
    let finish = (): void => {};
    let hasEnded = false;
    const loop = runLoop(
      () => new Promise((_, reject) => (finish = () => reject(new Error('stopped')))),
      { periodMs: 1, clock: new FakeClock(), log: silentLogger },
      stop.signal,
    ).then(() => (hasEnded = true));
    stop.abort();
    await turn();
    expect(hasEnded).toBe(false);
    finish();
    await loop;
  });

  it('does not run at all when it is over before it starts', async () => {
    let runs = 0;
    const reconcile = (): Promise<void> => Promise.resolve(void runs++);
    await runLoop(reconcile, { periodMs: 1, clock: new FakeClock(), log: silentLogger }, AbortSignal.abort());
    expect(runs).toBe(0);
  });

  it('does not retry a broken assumption', async () => {
    const loop = runLoop(
      async () => assert.equal(1, 2),
      { periodMs: 1, clock: new FakeClock(), log: silentLogger },
      new AbortController().signal,
    );
    await expect(loop).rejects.toThrow(assert.AssertionError);
  });
});
