import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import { StartPacer, type StartStage, paceFor } from './start-pacer.ts';

const never = new AbortController().signal;

function paced(callsMax = 2) {
  const clock = new FakeClock();
  const pacer = new StartPacer({ callsMax, patienceMs: 500 }, clock);
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const start = (name: string, stage: StartStage = 'begin', signal = never): Promise<void> => {
    const end = Promise.withResolvers<void>();
    ends.set(name, end);
    return pacer.run(
      stage,
      () => {
        begun.push(name);
        return end.promise;
      },
      signal,
    );
  };
  const finish = async (name: string, error?: Error): Promise<void> => {
    if (error === undefined) ends.get(name)?.resolve();
    else ends.get(name)?.reject(error);
    await settled();
  };
  return { clock, begun, start, finish };
}

/** Lets everything that can go on now go on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('StartPacer', () => {
  it('lets as many go as it may, the others in the order in which they came', async () => {
    const { begun, start, finish } = paced();
    const all = ['a', 'b', 'c', 'd'].map((name) => start(name));
    await settled();
    expect(begun).toEqual(['a', 'b']);
    await finish('b');
    expect(begun).toEqual(['a', 'b', 'c']);
    for (const name of ['a', 'c', 'd']) await finish(name);
    await Promise.all(all);
    expect(begun).toEqual(['a', 'b', 'c', 'd']);
  });

  it('lets a pod that has begun go on before another begins', async () => {
    const { begun, start, finish } = paced(1);
    const all = [start('a'), start('b'), start('a: container', 'continue')];
    await settled();
    await finish('a');
    expect(begun).toEqual(['a', 'a: container']);
    await finish('a: container');
    await finish('b');
    await Promise.all(all);
  });

  it('gives the turn on when a call fails, and says how it failed', async () => {
    const { begun, start, finish } = paced(1);
    const failing = start('a');
    const next = start('b');
    const seen = expect(failing).rejects.toThrow('no address');
    await settled();
    await finish('a', new Error('no address'));
    await seen;
    expect(begun).toEqual(['a', 'b']);
    await finish('b');
    await next;
  });

  it('no longer counts a call that hangs, and counts it once', async () => {
    const { clock, begun, start, finish } = paced(1);
    const hung = start('hung');
    const [b, c] = [start('b'), start('c')];
    await settled();
    await clock.advance(499);
    await settled();
    expect(begun).toEqual(['hung']);
    await clock.advance(1);
    await settled();
    expect(begun).toEqual(['hung', 'b']);
    await finish('hung');
    expect(begun).toEqual(['hung', 'b']);
    await finish('b');
    await finish('c');
    await Promise.all([hung, b, c]);
  });

  it('forgets who gives up waiting', async () => {
    const { begun, start, finish } = paced(1);
    const gone = new AbortController();
    const a = start('a');
    const b = start('b', 'begin', gone.signal);
    const c = start('c');
    const seen = expect(b).rejects.toThrow('deleted');
    gone.abort(new Error('deleted'));
    await seen;
    await finish('a');
    expect(begun).toEqual(['a', 'c']);
    await finish('c');
    await Promise.all([a, c]);
  });

  it.each([
    [1, 4],
    [2, 4],
    [4, 4],
    [64, 64],
  ])('on %i processors lets %i calls run', (processors, callsMax) => {
    expect(paceFor(processors).callsMax).toBe(callsMax);
  });
});
