import { beforeEach, describe, expect, it } from 'vitest';
import { Backoff } from './backoff.ts';
import { FakeClock } from './clock.ts';
import { silentLogger } from './logger.ts';
import { WorkQueue } from './work-queue.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('WorkQueue', () => {
  let clock: FakeClock;
  let stop: AbortController;
  let queue: WorkQueue;
  let started: string[];
  let open: Map<string, (failure?: Error) => void>;

  beforeEach(() => {
    clock = new FakeClock(0);
    stop = new AbortController();
    const backoff = new Backoff({ initialMs: 10, maxMs: 1000 });
    queue = new WorkQueue({ workersMax: 2, backoff, clock, log: silentLogger });
    started = [];
    open = new Map();
  });

  /** Runs the queue with a handler that ends when `open.get(key)` is called. */
  const run = (): Promise<void> =>
    queue.run((key) => {
      started.push(key);
      return new Promise((resolve, reject) =>
        open.set(key, (failure) => (failure === undefined ? resolve() : reject(failure))),
      );
    }, stop.signal);

  const end = async (running: Promise<void>): Promise<void> => {
    stop.abort();
    for (const finish of open.values()) finish();
    await running;
  };

  it('handles a key that waits once, however often it was added', async () => {
    for (const key of ['a', 'a', 'b']) queue.add(key);
    expect(queue.length).toBe(2);
    const running = run();
    await turn();
    expect(started).toEqual(['a', 'b']);
    await end(running);
  });

  it('handles at most as many as it may side by side', async () => {
    for (const key of ['a', 'b', 'c']) queue.add(key);
    const running = run();
    await turn();
    expect(started).toEqual(['a', 'b']);
    open.get('a')?.();
    await turn();
    expect(started).toEqual(['a', 'b', 'c']);
    await end(running);
  });

  it('handles a key once more when it was added while it ran', async () => {
    queue.add('a');
    const running = run();
    await turn();
    queue.add('a');
    queue.add('a');
    await turn();
    expect(started).toEqual(['a']);
    open.get('a')?.();
    await turn();
    expect(started).toEqual(['a', 'a']);
    open.get('a')?.();
    await turn();
    expect(started).toEqual(['a', 'a']);
    await end(running);
  });

  it('tries a failed key again after its back-off, and forgets that after a success', async () => {
    queue.add('a');
    const running = run();
    await turn();
    open.get('a')?.(new Error('first'));
    await clock.advance(9);
    expect(started).toEqual(['a']);
    await clock.advance(1);
    open.get('a')?.(new Error('second'));
    await clock.advance(19);
    expect(started).toEqual(['a', 'a']);
    await clock.advance(1);
    expect(started).toEqual(['a', 'a', 'a']);
    open.get('a')?.();
    await turn();
    queue.add('a');
    await turn();
    open.get('a')?.(new Error('third'));
    await clock.advance(10);
    expect(started).toHaveLength(5);
    await end(running);
  });

  it('adds a key later, unless it is over by then', async () => {
    const running = run();
    queue.addAfter('a', 100, stop.signal);
    await clock.advance(99);
    expect(started).toEqual([]);
    await clock.advance(1);
    expect(started).toEqual(['a']);
    queue.addAfter('b', 100, stop.signal);
    await end(running);
    expect(queue.length).toBe(0);
  });

  it('waits for what runs when it is stopped, and starts nothing more', async () => {
    for (const key of ['a', 'b', 'c']) queue.add(key);
    let hasEnded = false;
    const running = run().then(() => (hasEnded = true));
    await turn();
    stop.abort();
    await turn();
    expect(hasEnded).toBe(false);
    open.get('a')?.();
    open.get('b')?.(new Error('cancelled'));
    await running;
    expect(started).toEqual(['a', 'b']);
  });
});
