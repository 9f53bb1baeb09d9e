import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { watchRules } from './watch-rules.ts';

describe('watchRules', () => {
  /** How many looks and losses there are in 21 s, of a look every 5 s. */
  const watch = async (
    look: (sync: () => void) => Promise<string[]>,
    isInstalled = true,
    rules = 0,
  ): Promise<{ looks: number; losses: number }> => {
    const clock = new FakeClock();
    const stop = new AbortController();
    let looks = 0;
    let losses = 0;
    let syncNumber = 1;
    const options = {
      looks: [{ look: () => (looks++, look(() => syncNumber++)), ruleCount: () => rules, periodMs: 5000 }],
      syncNumber: () => (isInstalled && losses === 0 ? syncNumber : undefined),
      onLost: () => void losses++,
      clock,
      log: silentLogger,
    };
    const done = watchRules(options, stop.signal);
    await clock.advance(21_000);
    stop.abort();
    await done;
    return { looks, losses };
  };

  it('says nothing while all is well', async () => {
    expect(await watch(async () => [])).toEqual({ looks: 4, losses: 0 });
  });

  it('tells a loss once', async () => {
    expect(await watch(async () => ['nat KUBE-SERVICES'])).toEqual({ looks: 1, losses: 1 });
  });

  it('learns nothing from a look that fails', async () => {
    expect(await watch(() => Promise.reject(new Error('lock')))).toEqual({ looks: 4, losses: 0 });
  });

  it('learns nothing from a look that a sync came into', async () => {
    const look = async (sync: () => void): Promise<string[]> => (sync(), ['half of it']);
    expect(await watch(look)).toEqual({ looks: 4, losses: 0 });
  });

  it('misses nothing before there is something to lose', async () => {
    expect(await watch(async () => ['all'], false)).toEqual({ looks: 0, losses: 0 });
  });

  it('looks seldom where there are many rules', async () => {
    expect(await watch(async () => [], true, 10_000)).toEqual({ looks: 1, losses: 0 });
  });
});
