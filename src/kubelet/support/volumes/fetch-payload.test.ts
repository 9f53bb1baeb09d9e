import { expect, it } from 'vitest';
import { payloadDigest } from './fetch-payload.ts';
import type { Payload } from './file-payload.ts';

it('payloadDigest tells bytes, paths, modes and owners apart, not the order', () => {
  const file = (text: string, mode = 0o644, uid?: number): Payload =>
    new Map([['p', { data: Buffer.from(text), mode, uid }]]);
  const all = [file('a'), file('b'), file('a', 0o600), file('a', 0o644, 5), new Map([...file('a'), ...file('a')])];
  expect(new Set(all.map(payloadDigest)).size).toBe(4);
  const [a, b] = [
    ['a', { data: Buffer.from('1'), mode: 1 }],
    ['b', { data: Buffer.from('2'), mode: 1 }],
  ] as const;
  expect(payloadDigest(new Map([a, b]))).toBe(payloadDigest(new Map([b, a])));
});
