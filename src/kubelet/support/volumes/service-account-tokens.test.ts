import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../base/clock.ts';
import { type IssuedToken, ServiceAccountTokens, type TokenWish, isTokenDue } from './service-account-tokens.ts';

describe('isTokenDue', () => {
  const minuteMs = 60_000;
  const issued = (minutes: number): { expirationTimestamp: string; expirationSeconds: number } => ({
    expirationTimestamp: new Date(minutes * minuteMs).toISOString(),
    expirationSeconds: minutes * 60,
  });
  it.each([
    { name: 'young', token: issued(60), nowMs: 47 * minuteMs, jitterMs: 0, want: false },
    { name: 'four fifths over', token: issued(60), nowMs: 48 * minuteMs + 1, jitterMs: 0, want: true },
    { name: 'jitter makes it earlier', token: issued(60), nowMs: 48 * minuteMs - 5000, jitterMs: 9000, want: true },
    {
      name: 'a day old, though it lives for a week',
      token: issued(10080),
      nowMs: 1440 * minuteMs + 1,
      jitterMs: 0,
      want: true,
    },
    { name: 'not a day old', token: issued(10080), nowMs: 1439 * minuteMs, jitterMs: 0, want: false },
  ])('$name', ({ token, nowMs, jitterMs, want }) => {
    expect(isTokenDue(token, nowMs, jitterMs)).toBe(want);
  });
});

describe('ServiceAccountTokens', () => {
  const signal = new AbortController().signal;
  const wish: TokenWish = {
    namespace: 'ns',
    serviceAccount: 'sa',
    audience: undefined,
    expirationSeconds: 600,
    podName: 'p',
    podUid: 'u1',
  };

  function server(): {
    tokens: ServiceAccountTokens;
    clock: FakeClock;
    asked: TokenWish[];
    fail: (err?: Error) => void;
  } {
    const clock = new FakeClock();
    const asked: TokenWish[] = [];
    let failure: Error | undefined;
    const requestToken = (wanted: TokenWish): Promise<IssuedToken> => {
      asked.push(wanted);
      if (failure !== undefined) return Promise.reject(failure);
      const { expirationSeconds } = wanted;
      const expirationTimestamp = new Date(clock.nowMs() + expirationSeconds * 1000).toISOString();
      return Promise.resolve({ token: `t${asked.length}`, expirationTimestamp, expirationSeconds });
    };
    return { tokens: new ServiceAccountTokens({ clock, requestToken }), clock, asked, fail: (err) => (failure = err) };
  }

  it('asks once for each pod and kind of token', async () => {
    const { tokens, asked } = server();
    expect(await tokens.get(wish, signal)).toBe('t1');
    expect(await tokens.get({ ...wish }, signal)).toBe('t1');
    expect(await tokens.get({ ...wish, audience: 'vault' }, signal)).toBe('t2');
    expect(await tokens.get({ ...wish, podUid: 'u2' }, signal)).toBe('t3');
    tokens.forget('u1');
    expect(await tokens.get(wish, signal)).toBe('t4');
    expect(await tokens.get({ ...wish, podUid: 'u2' }, signal)).toBe('t3');
    expect(asked).toHaveLength(4);
  });

  it('uses a token to its end while it cannot be renewed, and says so then', async () => {
    const { tokens, clock, fail } = server();
    await tokens.get(wish, signal);
    fail(new Error('connection refused'));
    await clock.advance(599_000);
    expect(await tokens.get(wish, signal)).toBe('t1');
    await clock.advance(1000);
    await expect(tokens.get(wish, signal)).rejects.toThrow(/^token .* expired and refresh failed: connection refused$/);
    fail(undefined);
    expect(await tokens.get(wish, signal)).toBe('t4');
  });

  it('says why there is none', async () => {
    const { tokens, fail } = server();
    fail(new Error('serviceaccounts "sa" not found'));
    await expect(tokens.get(wish, signal)).rejects.toThrow(
      new Error('failed to fetch token: serviceaccounts "sa" not found'),
    );
  });
});
