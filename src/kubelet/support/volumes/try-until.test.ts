import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { tryUntil } from './try-until.ts';

const never = new AbortController().signal;
const settled = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe('tryUntil', () => {
  /** `plan`: how often each name fails before it goes well; after each failure it waits a second, then two … */
  function run(plan: Record<string, number>, retryForMs: number, signal = never) {
    const clock = new FakeClock();
    const tried: string[] = [];
    const delays = new Map<string, number>();
    const result = tryUntil(
      Object.keys(plan),
      async (name, inner) => {
        await clock.sleep(delays.get(name) ?? 0, inner);
        inner.throwIfAborted();
        tried.push(name);
        const left = plan[name] ?? 0;
        if (left === Infinity)
          return await new Promise<string>((_, reject) =>
            inner.addEventListener('abort', () => reject(new Error('cut'))),
          );
        if (left === 0) return `${name} is done`;
        plan[name] = left - 1;
        delays.set(name, 2 * (delays.get(name) ?? 500));
        throw new Error(`${name} failed`);
      },
      { retryForMs, limitMs: 10_000, delayMs: (name) => delays.get(name) ?? 0, clock },
      signal,
    );
    return { clock, tried, result };
  }

  it('tries each until it goes well, beside each other', async () => {
    const { clock, tried, result } = run({ a: 0, b: 2 }, 10_000);
    for (const ms of [0, 1000, 2000]) {
      await settled();
      await clock.advance(ms);
    }
    await settled();
    expect(await result).toEqual({
      done: new Map([
        ['a', 'a is done'],
        ['b', 'b is done'],
      ]),
      failed: new Map(),
    });
    expect(tried).toEqual(['a', 'b', 'b', 'b']);
  });

  it('ends when no try can come in time', async () => {
    const { clock, tried, result } = run({ a: 9 }, 2500);
    await clock.advance(0);
    await settled();
    await clock.advance(1000);
    await settled();
    expect([...(await result).failed]).toEqual([['a', new Error('a failed')]]);
    expect(tried).toEqual(['a', 'a']); // the next one would come two seconds later
  });

  it('leaves what hangs when the time is over', async () => {
    const { clock, result } = run({ a: Infinity, b: 0 }, 10_000);
    await clock.advance(0);
    await settled();
    await clock.advance(10_000);
    const { done, failed } = await result;
    expect([[...done.keys()], [...failed]]).toEqual([['b'], [['a', undefined]]]);
  });

  it('ends at once with its signal', async () => {
    const stop = new AbortController();
    const { clock, result } = run({ a: Infinity }, 10_000, stop.signal);
    await clock.advance(0);
    stop.abort(new Error('deleted'));
    await expect(result).rejects.toThrow('deleted');
  });
});
