import { describe, expect, it } from 'vitest';
import { exited, testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../base/clock.ts';
import type { PodContainer } from '../pod-model.ts';
import { CrashBackoff, type CrashDecision, delayAfterRestarts, goDuration } from './crash-backoff.ts';

const pod = testPod();
const web: PodContainer = { kind: 'regular', spec: testContainer('web') };
const ns = (ms: number): bigint => BigInt(ms) * 1_000_000n;

/** A container that runs `runMs` each time and is started as soon as it may: the waits between end and start, in s. */
async function waitsOf(times: number, runMs: number, maxMs = 300_000, code = 1): Promise<number[]> {
  const clock = new FakeClock();
  const backoff = new CrashBackoff(clock, maxMs);
  const waits: number[] = [];
  for (let attempt = 0; attempt < times; attempt++) {
    const startedMs = clock.nowMs();
    await clock.advance(runMs);
    const ended = exited('web', code, { attempt, startedAtNs: ns(startedMs), finishedAtNs: ns(clock.nowMs()) });
    const endMs = clock.nowMs();
    for (let decision: CrashDecision; (decision = backoff.decide(pod, web, ended)).kind === 'wait';)
      await clock.advance(decision.untilMs - clock.nowMs());
    waits.push((clock.nowMs() - endMs) / 1000);
  }
  return waits;
}

describe('CrashBackoff', () => {
  it('starts a container that never ran', () => {
    expect(new CrashBackoff(new FakeClock(), 300_000).decide(pod, web, undefined)).toEqual({ kind: 'start' });
  });

  it('restarts at once, then after 10, 20, 40, 80, 160, 300 and 300 s', async () => {
    expect(await waitsOf(8, 1000)).toEqual([0, 10, 20, 40, 80, 160, 300, 300]);
  });

  it('never waits longer than the node allows, from the first time on', async () => {
    expect(await waitsOf(4, 1000, 2000)).toEqual([0, 2, 2, 2]);
  });

  it('a container that was removed before its next start waits as if it were there', () => {
    const clock = new FakeClock();
    const backoff = new CrashBackoff(clock, 300_000);
    const ended = exited('web', 42, { finishedAtNs: ns(clock.nowMs()) });
    backoff.noteRemoved(pod, ended);
    expect(backoff.decide(pod, web, undefined)).toEqual({ kind: 'start' });
    backoff.noteRemoved(
      pod,
      exited('web', 42, { attempt: 1, startedAtNs: ns(clock.nowMs()), finishedAtNs: ns(clock.nowMs()) }),
    );
    expect(backoff.decide(pod, web, undefined)).toMatchObject({ kind: 'wait', untilMs: clock.nowMs() + 10_000 });
    expect(backoff.decide(pod, { ...web, spec: testContainer('other') }, undefined)).toEqual({ kind: 'start' });
  });

  it('counts clean exits, too', async () => {
    expect(await waitsOf(3, 1000, 300_000, 0)).toEqual([0, 10, 20]);
  });

  it('keeps to a lower maximum', async () => {
    expect(await waitsOf(5, 1000, 25_000)).toEqual([0, 10, 20, 25, 25]);
  });

  it('starts over after ten minutes of running', async () => {
    expect(await waitsOf(4, 600_001)).toEqual([0, 0, 0, 0]);
    expect((await waitsOf(4, 599_000)).at(-1)).toBeGreaterThan(0);
  });

  it('says how long in words that tools read', async () => {
    const clock = new FakeClock();
    const backoff = new CrashBackoff(clock, 300_000);
    const ended = exited('web', 1, { finishedAtNs: ns(clock.nowMs()) });
    expect(backoff.decide(pod, web, ended)).toEqual({ kind: 'start' });
    expect(backoff.decide(pod, web, ended)).toEqual({
      kind: 'wait',
      message: 'back-off 10s restarting failed container=web pod=web_default(uid-1)',
      untilMs: clock.nowMs() + 10_000,
    });
  });

  it('another image or other resources start over', () => {
    const clock = new FakeClock();
    const backoff = new CrashBackoff(clock, 300_000);
    const ended = exited('web', 1, { finishedAtNs: ns(clock.nowMs()) });
    backoff.decide(pod, web, ended);
    expect(backoff.decide(pod, web, ended).kind).toBe('wait');
    expect(backoff.decide(pod, { kind: 'regular', spec: testContainer('web', { image: 'other' }) }, ended).kind).toBe(
      'start',
    );
    expect(
      backoff.decide(
        pod,
        { kind: 'regular', spec: testContainer('web', { resources: { limits: { cpu: '1' } } }) },
        ended,
      ).kind,
    ).toBe('start');
  });

  it('another image starts at once however often the old one has crashed, in the next process too', async () => {
    const clock = new FakeClock();
    const backoff = new CrashBackoff(clock, 300_000);
    await clock.advance(5000);
    const times = { startedAtNs: ns(clock.nowMs()), finishedAtNs: ns(clock.nowMs()) };
    const ended = exited('web', 1, { attempt: 5, ...times });
    const mended: PodContainer = { kind: 'regular', spec: testContainer('web', { image: 'mended' }) };
    const resized: PodContainer = {
      kind: 'regular',
      spec: testContainer('web', { resources: { limits: { cpu: '1' } } }),
    };
    for (const container of [mended, resized]) expect(backoff.decide(pod, container, ended).kind).toBe('start');
    await clock.advance(1000);
    expect(new CrashBackoff(clock, 300_000).decide(pod, mended, ended).kind).toBe('start');
    expect(new CrashBackoff(clock, 300_000).decide(pod, web, ended).kind).toBe('wait');
  });

  it('a new process goes on where the old one was', () => {
    const clock = new FakeClock();
    const ended = exited('web', 1, {
      attempt: 3,
      startedAtNs: ns(clock.nowMs() - 2000),
      finishedAtNs: ns(clock.nowMs() - 1000),
    });
    expect(new CrashBackoff(clock, 300_000).decide(pod, web, ended)).toMatchObject({
      kind: 'wait',
      untilMs: clock.nowMs() - 1000 + 40_000,
    });
  });

  it('forgets what has expired, and only that', async () => {
    const clock = new FakeClock();
    const backoff = new CrashBackoff(clock, 300_000);
    const ended = exited('web', 1, { finishedAtNs: ns(clock.nowMs()) });
    backoff.decide(pod, web, ended);
    await clock.advance(5000);
    backoff.collect();
    expect(backoff.decide(pod, web, ended).kind).toBe('wait');
    await clock.advance(700_000);
    backoff.collect();
    expect(backoff.decide(pod, web, ended).kind).toBe('start');
  });
});

it.each([
  [1, 10_000],
  [2, 20_000],
  [5, 160_000],
  [6, 300_000],
  [1000, 300_000],
])('after %i restarts: %i ms', (restarts, want) => {
  expect(delayAfterRestarts(restarts, 300_000)).toBe(want);
});

it.each([
  [10_000, '10s'],
  [80_000, '1m20s'],
  [300_000, '5m0s'],
  [3_661_000, '1h1m1s'],
])('%i ms is %s', (ms, want) => {
  expect(goDuration(ms)).toBe(want);
});
