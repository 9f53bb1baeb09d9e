import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import { ConfigError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { ServiceManager } from './service-manager.ts';

const socket = { NOTIFY_SOCKET: '/run/systemd/notify' };

function open(environment: Record<string, string>, notify?: (state: string) => Promise<void>) {
  const said: string[] = [];
  const clock = new FakeClock();
  const manager = new ServiceManager({
    environment,
    pid: 7,
    notify: async (state) => {
      said.push(state);
      await notify?.(state);
    },
    clock,
    log: silentLogger,
  });
  return { said, clock, manager };
}

describe('ServiceManager', () => {
  it.each([
    { name: 'nobody listens', environment: {}, want: [] },
    { name: 'an empty socket is none', environment: { NOTIFY_SOCKET: '', WATCHDOG_USEC: '30000000' }, want: [] },
    { name: 'it has started', environment: socket, want: ['READY=1'] },
    {
      name: 'it works, twice per period',
      environment: { ...socket, WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' },
      want: ['READY=1', 'WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1'],
    },
    {
      name: 'another process is watched',
      environment: { ...socket, WATCHDOG_USEC: '9', WATCHDOG_PID: '8' },
      want: ['READY=1'],
    },
    { name: 'a watchdog of 0 is none', environment: { ...socket, WATCHDOG_USEC: '0' }, want: ['READY=1'] },
  ])('says what is asked for: $name', async ({ environment, want }) => {
    const { said, clock, manager } = open(environment);
    const stop = new AbortController();
    const run = manager.run(() => undefined, stop.signal);
    await clock.advance(15_000);
    await clock.advance(15_000);
    expect(said).toEqual(want);
    stop.abort();
    await run;
  });

  it('is silent while something is wrong, and speaks again', async () => {
    const { said, clock, manager } = open({ ...socket, WATCHDOG_USEC: '10000000' });
    const stop = new AbortController();
    let problem: string | undefined;
    const run = manager.run(() => problem, stop.signal);
    await clock.advance(0);
    problem = 'it hangs';
    await clock.advance(5000);
    expect(said).toEqual(['READY=1', 'WATCHDOG=1']);
    problem = undefined;
    await clock.advance(5000);
    expect(said).toEqual(['READY=1', 'WATCHDOG=1', 'WATCHDOG=1']);
    stop.abort();
    await run;
  });

  it('lives on when nobody can be told', async () => {
    const { said, clock, manager } = open({ ...socket, WATCHDOG_USEC: '10000000' }, () =>
      Promise.reject(new Error('no such program')),
    );
    const stop = new AbortController();
    const run = manager.run(() => undefined, stop.signal);
    await clock.advance(5000);
    expect(said).toEqual(['READY=1', 'WATCHDOG=1', 'WATCHDOG=1']);
    stop.abort();
    await run;
  });

  it('refuses a watchdog that is too quick to be kept', () => {
    expect(() => open({ ...socket, WATCHDOG_USEC: '1000000' })).toThrow(ConfigError);
    expect(() => open({ ...socket, WATCHDOG_USEC: '1000001' })).not.toThrow();
  });
});
