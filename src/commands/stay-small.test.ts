import { expect, it } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { staySmall } from './stay-small.ts';

it('gives back when the start is over, and every ten minutes, also after a failure', async () => {
  const clock = new FakeClock(0);
  const stop = new AbortController();
  const atSeconds: number[] = [];
  const giveBack = (): Promise<number> => {
    atSeconds.push(clock.nowMs() / 1000);
    return atSeconds.length === 2 ? Promise.reject(new Error('no')) : Promise.resolve(0);
  };
  const living = staySmall({ clock, log: silentLogger, giveBack }, stop.signal);
  await clock.advance(29_000);
  expect(atSeconds).toEqual([]);
  await clock.advance(1_300_000);
  stop.abort();
  await living;
  expect(atSeconds).toEqual([30, 630, 1230]);
});

it('gives back nothing when the daemon ends before', async () => {
  const stop = new AbortController();
  stop.abort();
  const giveBack = (): Promise<number> => Promise.reject(new Error('asked'));
  await staySmall({ clock: new FakeClock(0), log: silentLogger, giveBack }, stop.signal);
});
