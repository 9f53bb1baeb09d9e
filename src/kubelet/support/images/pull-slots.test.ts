import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { PullSlots, overdueMs } from './pull-slots.ts';

const signal = new AbortController().signal;
let clock: FakeClock;
let began: string[];

beforeEach(() => {
  clock = new FakeClock();
  began = [];
});

/** Work that goes on until it is let go. */
function hold(slots: PullSlots, name: string, interrupt = signal): { end: () => void; done: Promise<void> } {
  let end: () => void = () => {};
  const held = new Promise<void>((resolve) => (end = resolve));
  const done = slots.with(interrupt, async () => {
    began.push(name);
    await held;
  });
  return { end, done };
}

describe('pull slots', () => {
  it('are given in order of arrival', async () => {
    const slots = new PullSlots({ max: 1, clock });
    const a = hold(slots, 'a');
    const b = hold(slots, 'b');
    const c = hold(slots, 'c');
    await clock.advance(0);
    expect([began, slots.isFull]).toEqual([['a'], true]);
    a.end();
    await clock.advance(0);
    expect(began).toEqual(['a', 'b']);
    b.end();
    c.end();
    await Promise.all([a.done, b.done, c.done]);
    expect([began, slots.isFull]).toEqual([['a', 'b', 'c'], false]);
  });

  it('who is interrupted while waiting leaves the queue', async () => {
    const slots = new PullSlots({ max: 1, clock });
    const a = hold(slots, 'a');
    const interrupt = new AbortController();
    const b = hold(slots, 'b', interrupt.signal);
    const c = hold(slots, 'c');
    interrupt.abort(new Error('no more'));
    await expect(b.done).rejects.toThrow('no more');
    a.end();
    c.end();
    await Promise.all([a.done, c.done]);
    expect(began).toEqual(['a', 'c']);
    await expect(slots.with(interrupt.signal, () => Promise.resolve())).rejects.toThrow('no more');
  });

  it('ten that hang are overtaken, an eleventh is not; what ends gives back what it had', async () => {
    const slots = new PullSlots({ max: 1, clock });
    const held = Array.from({ length: 12 }, (_, i) => hold(slots, String(i)));
    for (let i = 1; i <= 10; i++) {
      await clock.advance(overdueMs);
      expect(began).toHaveLength(i + 1);
    }
    await clock.advance(2 * overdueMs);
    expect(began).toHaveLength(11);
    held[0]?.end();
    await held[0]?.done;
    await clock.advance(0);
    expect(began).toHaveLength(11); // one overdue less is one slot less
    held[10]?.end();
    await clock.advance(0);
    expect(began).toHaveLength(12);
    for (const one of held) one.end();
    await Promise.all(held.map(({ done }) => done));
    const last = hold(slots, 'last');
    const next = hold(slots, 'next');
    await clock.advance(0);
    expect(began.slice(-1)).toEqual(['last']); // one at a time again
    last.end();
    next.end();
    await Promise.all([last.done, next.done]);
  });
});
