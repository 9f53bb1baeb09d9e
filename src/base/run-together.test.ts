import { describe, expect, it } from 'vitest';
import { aborted, runTogether } from './run-together.ts';

const never = new AbortController().signal;

describe('runTogether', () => {
  it('ends all parts when the parent aborts, without a failure', async () => {
    const stop = new AbortController();
    const ended: string[] = [];
    const part =
      (name: string) =>
      async (signal: AbortSignal): Promise<void> => {
        await aborted(signal);
        ended.push(name);
        throw new Error('cancelled'); // what is thrown while stopping is no news
      };
    const all = runTogether(stop.signal, [part('a'), part('b')]);
    stop.abort();
    await all;
    expect(ended.toSorted()).toEqual(['a', 'b']);
  });

  it('stops the rest when one ends, and waits for them', async () => {
    let isClean = false;
    await runTogether(never, [
      () => Promise.resolve(),
      async (signal) => {
        await aborted(signal);
        await new Promise((resolve) => setImmediate(resolve));
        isClean = true;
      },
    ]);
    expect(isClean).toBe(true);
  });

  it('throws the first failure after everything has stopped', async () => {
    let hasStopped = false;
    const all = runTogether(never, [
      () => Promise.reject(new Error('first')),
      async (signal) => {
        await aborted(signal);
        hasStopped = true;
        throw new Error('second');
      },
    ]);
    await expect(all).rejects.toThrow('first');
    expect(hasStopped).toBe(true);
  });
});

describe('aborted', () => {
  it('resolves for a signal that has aborted before', async () => {
    await aborted(AbortSignal.abort());
  });
});
