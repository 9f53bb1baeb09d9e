import { describe, expect, it } from 'vitest';
import { WarpClock } from '../../../../test/fakes/warp-clock.ts';
import { ConfigError, UnimplementedError } from '../../../base/errors.ts';
import { watchDriver } from './check-driver.ts';

type Answer = 'systemd' | 'cgroupfs' | Error;

/** How it ends when `answers` have come, one after the other. */
async function watch(...answers: Answer[]): Promise<'goes on'> {
  const stop = new AbortController();
  const clock = new WarpClock();
  const cgroupDriver = (): Promise<'systemd' | 'cgroupfs'> => {
    const answer = answers.shift();
    if (answers.length === 0) setImmediate(() => stop.abort());
    if (answer === undefined) return Promise.reject(new Error('asked again'));
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const done = watchDriver({ cri: { cgroupDriver }, clock }, stop.signal);
  done.catch(() => {}); // looked at below
  if (answers.length > 0) await clock.pass(10_000);
  await done;
  return 'goes on';
}

describe('watchDriver', () => {
  it.each([
    { name: 'the same driver', answers: ['cgroupfs'] },
    { name: 'a runtime that cannot tell', answers: [new UnimplementedError('unknown method')] },
    { name: 'one that is not there at first', answers: [new Error('no socket'), 'cgroupfs'] },
  ] as const)('goes on with $name', async ({ answers }) => {
    expect(await watch(...answers)).toBe('goes on');
  });

  it.each([
    { name: 'at once', answers: ['systemd'] },
    { name: 'when it answers', answers: [new Error('no socket'), 'systemd'] },
  ] as const)('refuses systemd by name, with the fix, $name', async ({ answers }) => {
    await expect(watch(...answers)).rejects.toThrow(ConfigError);
  });
});
