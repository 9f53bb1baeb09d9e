import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { VolumeOperations } from './volume-operations.ts';

const never = new AbortController().signal;
let clock = new FakeClock();
let operations = new VolumeOperations(clock);
beforeEach(() => {
  clock = new FakeClock();
  operations = new VolumeOperations(clock);
});

const failing = (): Promise<never> => Promise.reject(new Error('no'));

describe('back-off of one operation', () => {
  it('doubles from 0.5 s to 2m02s', async () => {
    const waits: number[] = [];
    for (let i = 0; i < 10; i++) {
      await expect(operations.run('k', 'mount', failing, never)).rejects.toThrow('no');
      const waitMs = operations.waitMs('k', 'mount');
      waits.push(waitMs);
      await clock.advance(waitMs);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 122_000, 122_000]);
  });

  it('is of that operation on that key alone, and over when it goes well', async () => {
    await expect(operations.run('k', 'mount', failing, never)).rejects.toThrow('no');
    expect(operations.waitMs('k', 'unmount')).toBe(0);
    expect(operations.waitMs('other', 'mount')).toBe(0);
    await expect(operations.run('k', 'unmount', failing, never)).rejects.toThrow('no');
    expect(operations.waitMs('k', 'mount')).toBe(0); // another one failed last
    expect(operations.waitMs('k', 'unmount')).toBe(500);
    await operations.run('k', 'mount', () => Promise.resolve(), never);
    expect(operations.waitMs('k', 'unmount')).toBe(0);
  });

  it('ends when what was missing has come', async () => {
    await expect(operations.run('k', 'mount', failing, never)).rejects.toThrow('no');
    const again = operations.run('k', 'mount', () => Promise.resolve('yes'), never);
    operations.hurryAll((key) => key === 'other');
    expect(operations.waitMs('k', 'mount')).toBe(500);
    operations.hurryAll((key) => key === 'k');
    expect(await again).toBe('yes');
  });
});

describe('one at a time', () => {
  it('who asks for the same joins; another operation waits for the end', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const order: string[] = [];
    const first = operations.run('k', 'mount', () => promise, never);
    const second = operations.run('k', 'mount', failing, never);
    const other = operations.run('k', 'unmount', () => Promise.resolve(order.push('unmount')), never);
    const beside = await operations.run('other', 'mount', () => Promise.resolve('beside'), never);
    expect([beside, ...order]).toEqual(['beside']);
    resolve('done');
    expect(await Promise.all([first, second, other])).toEqual(['done', 'done', 1]);
  });

  it('who stops waiting leaves the operation alone: it is not begun a second time', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const leaves = new AbortController();
    const first = operations.run('k', 'mount', () => promise, leaves.signal);
    leaves.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    const second = operations.run('k', 'mount', failing, never);
    resolve('done');
    expect(await second).toBe('done');
  });

  it('unless it asks to wait for the end', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const leaves = new AbortController();
    const first = operations.run('k', 'mount', () => promise, leaves.signal, { isLeft: false });
    leaves.abort(new Error('gone'));
    resolve('done');
    expect(await first).toBe('done');
  });
});
