import { describe, expect, it } from 'vitest';
import { FakeClock, rfc3339Micros, rfc3339Nanos, rfc3339Seconds, systemClock } from './clock.ts';

const never = new AbortController().signal;

describe('the forms of a time', () => {
  const ms = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  it.each([
    [rfc3339Seconds, '2026-01-02T03:04:05Z'],
    [rfc3339Micros, '2026-01-02T03:04:05.678000Z'],
    [rfc3339Nanos, '2026-01-02T03:04:05.678000000Z'],
  ])('%o', (form, want) => expect(form(ms)).toBe(want));
});

describe('systemClock', () => {
  it('sleeps as long as it is told', async () => {
    const startMs = systemClock.monotonicMs();
    await systemClock.sleep(20, never);
    expect(systemClock.monotonicMs() - startMs).toBeGreaterThanOrEqual(19);
  });

  it('wakes at once when the signal aborts, or has', async () => {
    const stop = new AbortController();
    const sleep = systemClock.sleep(60_000, stop.signal);
    stop.abort();
    await sleep;
    await systemClock.sleep(60_000, stop.signal);
  });

  it('sleeps longer than a timer can, until it is woken', async () => {
    const stop = new AbortController();
    let awake = false;
    const sleep = systemClock.sleep(2 ** 40, stop.signal).then(() => (awake = true));
    await systemClock.sleep(5, never);
    expect(awake).toBe(false); // a timer beyond 2^31 ms would have fired after 1 ms
    stop.abort();
    await sleep;
  });
});

describe('FakeClock', () => {
  it('wakes sleepers in the order of their times, and sets the time that each expects', async () => {
    const clock = new FakeClock(1000);
    const woken: string[] = [];
    const sleeper = (name: string, ms: number): Promise<void> =>
      clock.sleep(ms, never).then(() => void woken.push(`${name} at ${clock.nowMs()}`));
    const all = [sleeper('late', 300), sleeper('early', 100)];
    await clock.advance(50);
    expect(woken).toEqual([]);
    expect(clock.sleeping).toBe(2);
    await clock.advance(500);
    await Promise.all(all);
    expect(woken).toEqual(['early at 1100', 'late at 1300']);
    expect(clock.nowMs()).toBe(1550);
    expect(clock.sleeping).toBe(0);
  });

  it('wakes those who fall asleep while it advances', async () => {
    const clock = new FakeClock(0);
    let turns = 0;
    const loop = (async () => {
      for (; turns < 3; turns++) await clock.sleep(10, never);
    })();
    await clock.advance(30);
    await loop;
    expect(turns).toBe(3);
  });

  it('lets an abort wake a sleeper', async () => {
    const clock = new FakeClock();
    const stop = new AbortController();
    const sleep = clock.sleep(10, stop.signal);
    stop.abort();
    await sleep;
    expect(clock.sleeping).toBe(0);
  });
});
