import { describe, expect, it } from 'vitest';
import type { Event } from '../objects/generated/core-v1.ts';
import { EventCorrelator } from './event-correlator.ts';

const startMs = 1_700_000_000_000;
let names = 0;
const eventOf = (message: string, more: Partial<Event> = {}): Event => ({
  metadata: { name: `pod.${++names}`, namespace: 'default' },
  involvedObject: { kind: 'Pod', namespace: 'default', name: 'pod', uid: 'u', fieldPath: 'spec.containers{a}' },
  type: 'Warning',
  reason: 'BackOff',
  message,
  source: { component: 'kubelet', host: 'node' },
  count: 1,
  ...more,
});

describe('EventCorrelator', () => {
  it('turns identical events into a growing count of the first', () => {
    const correlator = new EventCorrelator();
    const first = correlator.correlate(eventOf('same'), startMs);
    const second = correlator.correlate(eventOf('same'), startMs + 1000);
    const third = correlator.correlate(eventOf('same'), startMs + 2000);
    expect([first.kind, second.kind, third.kind]).toEqual(['create', 'patch', 'patch']);
    expect(third).toMatchObject({
      patch: { count: 3, message: 'same' },
      event: { metadata: { name: first.kind === 'create' ? first.event.metadata.name : '' } },
    });
  });

  it.each([
    { name: 'another message', more: {}, message: 'other' },
    { name: 'another type', more: { type: 'Normal' }, message: 'same' },
    { name: 'another reason', more: { reason: 'Failed' }, message: 'same' },
    {
      name: 'another container',
      more: { involvedObject: { ...eventOf('').involvedObject, fieldPath: 'spec.containers{b}' } },
      message: 'same',
    },
  ])('$name is a new event', ({ more, message }) => {
    const correlator = new EventCorrelator();
    correlator.correlate(eventOf('same'), startMs);
    expect(correlator.correlate(eventOf(message, more), startMs).kind).toBe('create');
  });

  it('combines from the tenth distinct message within ten minutes', () => {
    const correlator = new EventCorrelator();
    const results = Array.from({ length: 11 }, (_, i) => correlator.correlate(eventOf(`message ${i}`), startMs + i));
    expect(results.slice(0, 9).every(({ kind }) => kind === 'create')).toBe(true);
    expect(results[9]).toMatchObject({
      kind: 'create',
      event: { message: '(combined from similar events): message 9', count: 1 },
    });
    expect(results[10]).toMatchObject({
      kind: 'patch',
      patch: { message: '(combined from similar events): message 10', count: 2 },
    });
  });

  it('starts over when the messages stopped for ten minutes', () => {
    const correlator = new EventCorrelator();
    for (let i = 0; i < 12; i++) correlator.correlate(eventOf(`message ${i}`), startMs);
    expect(correlator.correlate(eventOf('later'), startMs + 600_001)).toMatchObject({
      kind: 'create',
      event: { message: 'later' },
    });
  });

  it('drops what exceeds the burst of one object and type, counts it, and lets one more through later', () => {
    const correlator = new EventCorrelator();
    const kinds = Array.from({ length: 30 }, () => correlator.correlate(eventOf('same'), startMs).kind);
    expect(kinds.filter((kind) => kind !== 'drop')).toHaveLength(25);
    expect(correlator.correlate(eventOf('same', { type: 'Normal' }), startMs).kind).toBe('create');
    expect(correlator.correlate(eventOf('same'), startMs + 300_000)).toMatchObject({
      kind: 'patch',
      patch: { count: 31 },
    });
    expect(correlator.correlate(eventOf('same'), startMs + 300_000).kind).toBe('drop');
  });

  it('forgets the oldest beyond its bound', () => {
    const correlator = new EventCorrelator({ cacheMax: 2, spamBurst: 100 });
    const about = (uid: string) => eventOf('same', { involvedObject: { kind: 'Pod', uid, name: uid } });
    for (const uid of ['a', 'b', 'c']) correlator.correlate(about(uid), startMs);
    expect(correlator.correlate(about('c'), startMs).kind).toBe('patch');
    expect(correlator.correlate(about('a'), startMs).kind).toBe('create');
  });
});
