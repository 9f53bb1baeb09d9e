import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { FakeClock, rfc3339Seconds } from '../../base/clock.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { ActiveDeadlines } from './active-deadlines.ts';

let clock: FakeClock;
let stop: AbortController;
let due: string[];
let deadlines: ActiveDeadlines;
let running: Promise<void>;

beforeEach(() => {
  clock = new FakeClock();
  stop = new AbortController();
  due = [];
  deadlines = new ActiveDeadlines({ onDue: (uid) => due.push(uid), clock });
  running = deadlines.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await running;
});

const pod = (uid: string, activeDeadlineSeconds?: number): Pod =>
  testPod(activeDeadlineSeconds === undefined ? {} : { activeDeadlineSeconds }, { uid });
const since = (ms: number, phase = 'Running') => ({ phase, startTime: rfc3339Seconds(ms) });

describe('ActiveDeadlines', () => {
  it('gives each pod word when its time is up, once, the soonest first', async () => {
    const startMs = clock.nowMs();
    deadlines.note(pod('late', 20), since(startMs));
    await clock.advance(0);
    deadlines.note(pod('soon', 5), since(startMs));
    deadlines.note(pod('never'), since(startMs));
    await clock.advance(4999);
    expect(due).toEqual([]);
    await clock.advance(1);
    expect(due).toEqual(['soon']);
    deadlines.note(pod('soon', 5), since(startMs)); // its turn tells its status once more
    await clock.advance(100_000);
    expect(due).toEqual(['soon', 'late']);
  });

  it('follows a deadline that is moved, and drops that of a pod that is over or gone', async () => {
    const startMs = clock.nowMs();
    deadlines.note(pod('moved', 50), since(startMs));
    deadlines.note(pod('over', 5), since(startMs));
    deadlines.note(pod('gone', 5), since(startMs));
    await clock.advance(1000);
    deadlines.note(pod('moved', 10), since(startMs));
    deadlines.note(pod('over', 5), since(startMs, 'Succeeded'));
    deadlines.forget('gone');
    await clock.advance(9000);
    expect(due).toEqual(['moved']);
  });

  it('a time further off than any timer reaches costs no turns meanwhile', async () => {
    deadlines.note(pod('a', 2_147_483_647), since(clock.nowMs()));
    await clock.advance(10 * 2 ** 31);
    expect(due).toEqual([]);
  });

  it.each([
    { name: 'just before', atMs: 9999, want: false },
    { name: 'at the second itself', atMs: 10_000, want: true },
  ])('a deadline is past: $name', async ({ atMs, want }) => {
    const startMs = clock.nowMs();
    await clock.advance(atMs);
    expect(deadlines.isPast(pod('a', 10), rfc3339Seconds(startMs))).toBe(want);
    expect(deadlines.isPast(pod('a', 10), undefined)).toBe(false);
  });
});
