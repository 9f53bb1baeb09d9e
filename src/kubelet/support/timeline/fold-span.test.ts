import { describe, expect, it } from 'vitest';
import { cutText, foldSpan, spansMax, textMaxChars } from './fold-span.ts';
import type { PhaseSpan, SpanOutcome } from './timeline-model.ts';

const span = (name: string, startMs: number, outcome: SpanOutcome = 'ok', text?: string): PhaseSpan => ({
  name,
  startMs,
  durationMs: 1,
  outcome,
  ...(text === undefined ? {} : { text }),
});

describe('foldSpan', () => {
  it('keeps the first of a name and outcome, and counts the others with the latest beside it', () => {
    const spans: PhaseSpan[] = [];
    for (const [i, text] of ['no address', 'no address', 'no bridge'].entries()) {
      foldSpan(spans, span('sandbox', i, 'failed', text));
    }
    foldSpan(spans, span('sandbox', 9));
    expect(spans).toEqual([
      {
        ...span('sandbox', 0, 'failed', 'no address'),
        again: { count: 2, startMs: 2, durationMs: 1, text: 'no bridge' },
      },
      span('sandbox', 9),
    ]);
  });

  it('a crash loop of days leaves the start where it was', () => {
    const spans: PhaseSpan[] = [];
    const start = ['seen', 'admitted', 'volumes', 'sandbox', 'pull web'].map((name, i) => span(name, i));
    for (const one of start) foldSpan(spans, one);
    for (let i = 0; i < 10_000; i++) {
      foldSpan(spans, span('create web', 10 + 3 * i));
      foldSpan(spans, span('start web', 11 + 3 * i));
      foldSpan(spans, span('exited web', 12 + 3 * i, 'failed', 'code 1'));
    }
    expect(spans.slice(0, 5)).toEqual(start);
    expect(spans.slice(5).map(({ name, again }) => [name, again?.count])).toEqual([
      ['create web', 9999],
      ['start web', 9999],
      ['exited web', 9999],
    ]);
  });

  it('puts a span that began earlier and ended later into its place', () => {
    const spans = [span('a', 1), span('c', 3)];
    foldSpan(spans, span('b', 2));
    expect(spans.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('too many of them: what went well goes first, and how the pod came stays', () => {
    const spans: PhaseSpan[] = [];
    foldSpan(spans, span('seen', 0));
    foldSpan(spans, span('sandbox', 1));
    foldSpan(spans, span('volume a', 2, 'failed', 'not there'));
    for (let i = 0; i < 2 * spansMax; i++) foldSpan(spans, span(`create c${i}`, 3 + i));
    expect(spans).toHaveLength(spansMax);
    expect(spans.slice(0, 3).map(({ name }) => name)).toEqual(['seen', 'sandbox', 'volume a']);
    expect(spans.at(-1)?.name).toBe(`create c${2 * spansMax - 1}`);
  });
});

describe('cutText', () => {
  it('keeps the beginning and the end', () => {
    const cut = cutText(`failed to do it: ${'x'.repeat(10_000)}: no space left on device`);
    expect(cut.length).toBeLessThanOrEqual(textMaxChars);
    expect(cut).toMatch(/^failed to do it: x+ … x+: no space left on device$/);
    expect(cutText('short')).toBe('short');
  });
});
