import { describe, expect, it } from 'vitest';
import { WarpClock } from '../../../../test/fakes/warp-clock.ts';
import { ConfigError, UnimplementedError } from '../../../base/errors.ts';
import { silentLogger } from '../../../base/logger.ts';
import { chooseDriver, watchDriver } from './cgroup-driver.ts';
import type { DriverName } from './group-names.ts';

type Answer = DriverName | Error;
const away = new Error('no socket');
const cannotTell = new UnimplementedError('unknown method');

/** A runtime that gives these answers, one after the other. */
function runtime(...answers: Answer[]) {
  const stop = new AbortController();
  const clock = new WarpClock();
  const cgroupDriver = (): Promise<DriverName> => {
    const answer = answers.shift();
    if (answers.length === 0) setImmediate(() => stop.abort());
    if (answer === undefined) return Promise.reject(new Error('asked again'));
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  return { need: { cri: { cgroupDriver }, clock, log: silentLogger }, answers, clock, stop };
}

describe('chooseDriver', () => {
  it.each<{ name: string; configured: DriverName; answers: Answer[]; want: DriverName }>([
    { name: 'what both say', configured: 'cgroupfs', answers: ['cgroupfs'], want: 'cgroupfs' },
    { name: 'what the runtime says', configured: 'cgroupfs', answers: ['systemd'], want: 'systemd' },
    { name: 'what the runtime says, the other way', configured: 'systemd', answers: ['cgroupfs'], want: 'cgroupfs' },
    { name: 'the configured where it cannot tell', configured: 'systemd', answers: [cannotTell], want: 'systemd' },
    { name: 'its third answer', configured: 'cgroupfs', answers: [away, away, 'systemd'], want: 'systemd' },
    {
      name: 'the configured after three',
      configured: 'cgroupfs',
      answers: [away, away, away, 'systemd'],
      want: 'cgroupfs',
    },
  ])('takes $name', async ({ configured, answers, want }) => {
    const { need, clock, answers: left } = runtime(...answers);
    const chosen = chooseDriver(need, configured, new AbortController().signal);
    await clock.pass(10_000);
    expect(await chosen).toBe(want);
    expect(left).toHaveLength(answers.length === 4 ? 1 : 0);
  });
});

describe('watchDriver', () => {
  /** How it ends when the runtime has given its answers. */
  async function watch(used: DriverName, ...given: Answer[]): Promise<'goes on'> {
    const { need, answers, clock, stop } = runtime(...given);
    const done = watchDriver(need, used, stop.signal);
    done.catch(() => {}); // looked at below
    if (answers.length > 0) await clock.pass(10_000);
    await done;
    return 'goes on';
  }

  it.each<{ name: string; used: DriverName; answers: Answer[] }>([
    { name: 'the same driver', used: 'cgroupfs', answers: ['cgroupfs'] },
    { name: 'systemd as well', used: 'systemd', answers: ['systemd'] },
    { name: 'a runtime that cannot tell', used: 'systemd', answers: [cannotTell] },
    { name: 'one that is not there at first', used: 'cgroupfs', answers: [away, 'cgroupfs'] },
  ])('goes on with $name', async ({ used, answers }) => {
    expect(await watch(used, ...answers)).toBe('goes on');
  });

  it.each<{ name: string; used: DriverName; answers: Answer[] }>([
    { name: 'at once', used: 'cgroupfs', answers: ['systemd'] },
    { name: 'when it answers', used: 'systemd', answers: [away, 'cgroupfs'] },
  ])('ends for another driver, $name', async ({ used, answers }) => {
    await expect(watch(used, ...answers)).rejects.toThrow(ConfigError);
  });
});
