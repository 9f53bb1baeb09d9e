import { encode } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { askFor, type ForeignAnswer, readForeignAnswer } from '../wire/pass-on.ts';
import { AnswerCache } from './answer-cache.ts';
import { orderUpstreams } from './order-upstreams.ts';

function answer(ttl: number, text = '', rcode = 0): ForeignAnswer {
  const questions = [{ name: 'a.b', type: 'TXT' as const }];
  const packet = encode({
    type: 'response',
    flags: rcode,
    questions,
    answers: rcode === 0 ? [{ name: 'a.b', type: 'TXT', ttl, data: text }] : [],
  });
  return readForeignAnswer(packet, askFor('a.b', 16));
}

describe('AnswerCache', () => {
  const limits = { entriesMax: 3, bytesMax: 1_000_000, ttlMax: 30 };

  it('keeps an answer as long as it says, and tells its age in whole seconds', () => {
    const cache = new AnswerCache(limits);
    cache.put('k', answer(10), 1000);
    expect(cache.get('k', 1999)?.ageSeconds).toBe(0);
    expect(cache.get('k', 10_999)?.ageSeconds).toBe(9);
    expect(cache.get('k', 11_000)).toBeUndefined();
    expect([cache.bytes, cache.counts]).toEqual([0, { success: 0, denial: 0 }]);
  });

  it.each([
    { name: 'no longer than it may', ttl: 3600, ttlMax: 30, atMs: 30_000 },
    { name: 'nothing that shall not be kept', ttl: 0, ttlMax: 30, atMs: 0 },
    { name: 'nothing when it shall keep nothing', ttl: 3600, ttlMax: 0, atMs: 0 },
  ])('keeps $name', ({ ttl, ttlMax, atMs }) => {
    const cache = new AnswerCache({ ...limits, ttlMax });
    cache.put('k', answer(ttl), 0);
    expect(cache.get('k', atMs - 1) !== undefined).toBe(atMs > 0);
    expect(cache.get('k', atMs)).toBeUndefined();
  });

  it('lets the one go that was not used for longest', () => {
    const cache = new AnswerCache(limits);
    for (const key of ['a', 'b', 'c']) cache.put(key, answer(10), 0);
    cache.get('a', 1);
    expect(cache.put('d', answer(10), 2)).toBe(1);
    expect(['a', 'b', 'c', 'd'].filter((key) => cache.get(key, 3) !== undefined)).toEqual(['a', 'c', 'd']);
  });

  it('is bounded in bytes, and one answer does not push all others out', () => {
    const cache = new AnswerCache({ entriesMax: 1000, bytesMax: 8000, ttlMax: 30 });
    for (let i = 0; i < 100; i++) cache.put(`k${i}`, answer(10, 'x'.repeat(200)), 0);
    expect(cache.bytes).toBeLessThanOrEqual(8000);
    expect(cache.counts.success).toBeGreaterThan(5);
    const before = cache.counts.success;
    const huge = { ...answer(10), packet: Buffer.alloc(5000) };
    expect([cache.put('huge', huge, 0), cache.get('huge', 0), cache.counts.success]).toEqual([0, undefined, before]);
  });

  it('counts what replaces another once', () => {
    const cache = new AnswerCache(limits);
    cache.put('k', answer(10), 0);
    cache.put('k', answer(10, '', 2), 0);
    expect(cache.counts).toEqual({ success: 0, denial: 1 });
  });
});

describe('orderUpstreams', () => {
  const well = (name: string) => ({ name, isHealthy: true, isLooping: false });
  const ill = (name: string) => ({ name, isHealthy: false, isLooping: false });
  const loop = (name: string) => ({ name, isHealthy: true, isLooping: true });
  it.each([
    {
      name: 'in the order given',
      list: [well('a'), well('b')],
      policy: 'sequential',
      turn: 1,
      random: 0.9,
      want: 'ab',
    },
    {
      name: 'without those that are ill',
      list: [ill('a'), well('b')],
      policy: 'sequential',
      turn: 0,
      random: 0,
      want: 'b',
    },
    {
      name: 'another one each time',
      list: [well('a'), well('b'), well('c')],
      policy: 'round_robin',
      turn: 4,
      random: 0,
      want: 'bca',
    },
    {
      name: 'any one first',
      list: [well('a'), well('b'), well('c')],
      policy: 'random',
      turn: 0,
      random: 0.99,
      want: 'cab',
    },
    {
      name: 'one of the ill ones when all are',
      list: [ill('a'), ill('b')],
      policy: 'sequential',
      turn: 0,
      random: 0.5,
      want: 'b',
    },
    {
      name: 'never one whose questions come back',
      list: [loop('a'), ill('b')],
      policy: 'random',
      turn: 0,
      random: 0,
      want: 'b',
    },
    { name: 'nobody', list: [loop('a')], policy: 'random', turn: 0, random: 0, want: '' },
  ] as const)('$name', ({ list, policy, turn, random, want }) => {
    expect(
      orderUpstreams(list, policy, turn, () => random)
        .map(({ name }) => name)
        .join(''),
    ).toBe(want);
  });
});
