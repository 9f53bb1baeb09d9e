import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import { watchCanary } from './canary.ts';

const alive = ['-N KUBE-PROXY-CANARY', '-A KUBE-PROXY-CANARY -j RETURN'];

describe('watchCanary', () => {
  const watch = (chains: Record<string, string[] | undefined | Error>, isInstalled = true) => {
    const clock = new FakeClock();
    const stop = new AbortController();
    let losses = 0;
    const iptables = {
      chain: async (table: string) => {
        const rules = chains[table];
        if (rules instanceof Error) throw rules;
        return rules;
      },
    };
    const onLost = (): void => {
      losses++;
    };
    const options = {
      iptables,
      periodMs: 5000,
      isInstalled: () => isInstalled && losses === 0,
      onLost,
      clock,
      log: silentLogger,
    };
    const done = watchCanary(options, stop.signal);
    return async () => {
      await clock.advance(21_000);
      stop.abort();
      await done;
      return losses;
    };
  };

  it.each([
    { name: 'all is well', chains: { nat: alive, filter: alive }, want: 0 },
    {
      name: 'a flushed table keeps the chain, not its rule',
      chains: { nat: ['-N KUBE-PROXY-CANARY'], filter: alive },
      want: 1,
    },
    { name: 'a reloaded table has no chain', chains: { nat: alive, filter: undefined }, want: 1 },
    { name: 'a tool that fails tells nothing', chains: { nat: new Error('lock'), filter: undefined }, want: 0 },
  ])('$name: reports $want losses', async ({ chains, want }) => {
    expect(await watch(chains)()).toBe(want);
  });

  it('misses nothing before there is something to lose', async () => {
    expect(await watch({ nat: undefined, filter: undefined }, false)()).toBe(0);
  });
});
