import { describe, expect, it } from 'vitest';
import { Backoff } from './backoff.ts';

const options = { initialMs: 10, maxMs: 80 };

describe('Backoff', () => {
  it('doubles to its maximum, for each key alone', () => {
    const backoff = new Backoff(options);
    expect([1, 2, 3, 4, 5].map((nowMs) => backoff.next('a', nowMs))).toEqual([10, 20, 40, 80, 80]);
    expect(backoff.next('b', 6)).toBe(10);
    expect([backoff.delayMs('a'), backoff.delayMs('b'), backoff.delayMs('c')]).toEqual([80, 10, 0]);
  });

  it('starts over after a reset', () => {
    const backoff = new Backoff(options);
    backoff.next('a', 0);
    backoff.next('a', 0);
    backoff.reset('a');
    expect(backoff.next('a', 0)).toBe(10);
  });

  it.each([
    { name: 'just before it expires', gapMs: 160, want: 20 },
    { name: 'after it has expired', gapMs: 161, want: 10 },
  ])('goes on or starts over: $name', ({ gapMs, want }) => {
    const backoff = new Backoff(options);
    backoff.next('a', 1000);
    expect(backoff.next('a', 1000 + gapMs)).toBe(want);
  });

  it('counts expiry to the event, not to now', () => {
    const backoff = new Backoff(options);
    backoff.next('a', 1000);
    expect(backoff.next('a', 5000, 1100)).toBe(20);
  });

  it.each([
    { name: 'inside', nowMs: 109, want: true },
    { name: 'at its end', nowMs: 110, want: false },
  ])('knows whether a key is in back-off: $name', ({ nowMs, want }) => {
    const backoff = new Backoff(options);
    backoff.next('a', 100);
    expect(backoff.isInBackoff('a', nowMs)).toBe(want);
    expect(backoff.isInBackoff('b', nowMs)).toBe(false);
    expect(backoff.endsMs('a')).toBe(110);
    expect(backoff.endsMs('b')).toBeUndefined();
  });

  it.each([
    { name: 'the failure is young', sinceMs: 105, nowMs: 114, want: true },
    { name: 'the failure is old enough', sinceMs: 105, nowMs: 115, want: false },
    { name: 'the failure is beyond expiry', sinceMs: 100 + 161, nowMs: 100 + 162, want: false },
  ])('counts from an event: $name', ({ sinceMs, nowMs, want }) => {
    const backoff = new Backoff(options);
    backoff.next('a', 100);
    expect(backoff.isInBackoffSince('a', sinceMs, nowMs)).toBe(want);
  });

  it('takes over what an earlier process had, but not over its own', () => {
    const backoff = new Backoff(options);
    backoff.seed('a', 40, 0);
    expect(backoff.next('a', 10)).toBe(80);
    backoff.seed('a', 10, 0);
    expect(backoff.delayMs('a')).toBe(80);
    backoff.seed('b', 10_000, 0);
    expect(backoff.delayMs('b')).toBe(80);
  });

  it('forgets what has expired', () => {
    const backoff = new Backoff(options);
    backoff.next('old', 0);
    backoff.next('young', 100);
    backoff.collect(161);
    expect([backoff.delayMs('old'), backoff.delayMs('young')]).toEqual([0, 10]);
  });

  it('adds at most the fraction that it is told to', () => {
    const backoff = new Backoff({ ...options, jitter: 0.5 });
    for (let i = 0; i < 50; i++) {
      backoff.reset('a');
      const delayMs = backoff.next('a', 0);
      expect(delayMs).toBeGreaterThanOrEqual(10);
      expect(delayMs).toBeLessThan(15);
    }
  });
});
