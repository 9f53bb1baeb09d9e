import { describe, expect, it } from 'vitest';
import { Semaphore } from './semaphore.ts';

const never = new AbortController().signal;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Work that notes its start and ends when it is told to. */
function gate(): { started: string[]; work: (name: string) => () => Promise<string>; finish: (name: string) => void } {
  const started: string[] = [];
  const open = new Map<string, () => void>();
  return {
    started,
    work: (name) => () => {
      started.push(name);
      return new Promise((resolve) => open.set(name, () => resolve(name)));
    },
    finish: (name) => open.get(name)?.(),
  };
}

describe('Semaphore', () => {
  it('lets so many in, and the others in their order', async () => {
    const { started, work, finish } = gate();
    const semaphore = new Semaphore(2);
    const all = ['a', 'b', 'c', 'd'].map((name) => semaphore.with(never, work(name)));
    await turn();
    expect(started).toEqual(['a', 'b']);
    finish('b');
    await turn();
    expect(started).toEqual(['a', 'b', 'c']);
    for (const name of ['a', 'c']) finish(name);
    await turn();
    finish('d');
    expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('gives a place back when the work fails', async () => {
    const semaphore = new Semaphore(1);
    await expect(semaphore.with(never, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(await semaphore.with(never, () => Promise.resolve('next'))).toBe('next');
  });

  it('lets somebody who waits give up, without taking a place', async () => {
    const { started, work, finish } = gate();
    const semaphore = new Semaphore(1);
    const first = semaphore.with(never, work('first'));
    const stop = new AbortController();
    const second = semaphore.with(stop.signal, work('second'));
    const third = semaphore.with(never, work('third'));
    stop.abort(new Error('enough'));
    await expect(second).rejects.toThrow('enough');
    finish('first');
    await first;
    await turn();
    finish('third');
    await third;
    expect(started).toEqual(['first', 'third']);
  });

  it('does not let somebody in who has given up before', async () => {
    await expect(new Semaphore(1).with(AbortSignal.abort(new Error('over')), () => Promise.resolve())).rejects.toThrow(
      'over',
    );
  });
});
