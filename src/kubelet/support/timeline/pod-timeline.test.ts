import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { PodTimeline, goneKeptMs, gonePodsMax } from './pod-timeline.ts';

let clock: FakeClock;
let changes: string[];
let timeline: PodTimeline;

const podNamed = (name: string): Pod => ({
  metadata: { name, namespace: 'default', uid: `uid-${name}` },
  spec: { containers: [] },
});
const web = podNamed('web');

beforeEach(() => {
  clock = new FakeClock();
  changes = [];
  timeline = new PodTimeline({ onChange: (uid, isRepeat) => changes.push(`${uid}${isRepeat ? ' again' : ''}`), clock });
});

const phases = (uid = 'uid-web'): unknown[] =>
  timeline.record(uid)?.spans.map(({ name, outcome = 'running', text }) => [name, outcome, text]) ?? [];

describe('PodTimeline', () => {
  it('keeps how phases ended, in the words of whoever did them', async () => {
    const abort = new AbortController();
    abort.abort();
    await timeline.span(web, 'sandbox', () => Promise.resolve('id'));
    const broken = timeline.span(web, 'create web', () =>
      Promise.reject(new Error('cannot', { cause: new Error('no room') })),
    );
    await expect(broken).rejects.toThrow('cannot');
    const failureOf = (value: { reason: string }): string => value.reason;
    await timeline.span(web, 'image web', () => Promise.resolve({ reason: 'ErrImagePull' }), { failureOf });
    await expect(timeline.span(web, 'pull web', () => Promise.reject(abort.signal.reason as Error))).rejects.toThrow();
    expect(phases()).toEqual([
      ['sandbox', 'ok', undefined],
      ['create web', 'failed', 'cannot: no room'],
      ['image web', 'failed', 'ErrImagePull'],
      ['pull web', 'interrupted', undefined],
    ]);
  });

  it('shows what runs now; what is quick and goes well may go unseen', async () => {
    const looking = Promise.withResolvers<void>();
    const span = timeline.span(web, 'look', () => looking.promise, { quietBelowMs: 1000 });
    expect(phases()).toEqual([['look', 'running', undefined]]);
    expect(timeline.openSteps()).toMatchObject([{ uid: 'uid-web', span: { name: 'look' } }]);
    looking.resolve();
    await span;
    expect(phases()).toEqual([]);
    expect(changes).toEqual([]);
    const slow = timeline.span(web, 'look', () => clock.sleep(2000, new AbortController().signal), {
      quietBelowMs: 1000,
    });
    await clock.advance(2000);
    await slow;
    expect(phases()).toEqual([['look', 'ok', undefined]]);
  });

  it('tells of repeats as repeats', () => {
    for (let i = 0; i < 3; i++) timeline.note(web, 'readiness web', 'failed', 'no');
    expect(changes).toEqual(['uid-web', 'uid-web again', 'uid-web again']);
  });

  it('after a restart: goes on where it was, and what ran was cut off', () => {
    const record = {
      uid: 'uid-web',
      namespace: 'default',
      name: 'web',
      dropped: 0,
      spans: [
        { name: 'seen', startMs: 1, durationMs: 0, outcome: 'ok' as const },
        { name: 'sandbox', startMs: 2 },
      ],
    };
    timeline.adopt({ records: [record], starts: [1] });
    expect(phases()).toEqual([
      ['seen', 'ok', undefined],
      ['sandbox', 'interrupted', undefined],
    ]);
    expect(timeline.starts).toEqual([1, clock.nowMs()]);
    expect(timeline.openSteps()).toEqual([]);
  });

  it('remembers pods that are gone for a day, the latest of them only, and those that are here always', async () => {
    timeline.note(web, 'seen');
    for (let i = 0; i < gonePodsMax + 50; i++) {
      const pod = podNamed(`p${i}`);
      timeline.note(pod, 'seen');
      await clock.advance(1);
      timeline.markGone(`uid-p${i}`);
    }
    expect(timeline.uids()).toHaveLength(1 + gonePodsMax);
    expect(timeline.record('uid-p49')).toBeUndefined();
    expect(timeline.find('default', 'p50')).toHaveLength(1);
    await clock.advance(goneKeptMs + 1);
    timeline.forgetOld();
    expect(timeline.uids()).toEqual(['uid-web']);
  });

  it('of pods of one name, the one that is here comes first', async () => {
    for (const uid of ['old', 'older']) {
      timeline.note({ ...web, metadata: { ...web.metadata, uid } }, 'seen');
      timeline.markGone(uid);
      await clock.advance(1000);
    }
    timeline.note(web, 'seen');
    expect(timeline.find('default', 'web').map(({ uid }) => uid)).toEqual(['uid-web', 'older', 'old']);
  });
});
