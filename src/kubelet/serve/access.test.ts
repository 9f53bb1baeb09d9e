import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../base/clock.ts';
import { UnavailableError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import { Authenticator, type Credentials } from './authenticate.ts';
import { Authorizer } from './authorize.ts';
import { ReviewCache } from './review-cache.ts';

const never = new AbortController().signal;

describe('Authenticator', () => {
  const clock = new FakeClock();
  const nothing: Credentials = { certificate: undefined, authorization: undefined, protocols: undefined };
  const certificate = { isTrusted: true, commonName: 'admin', organizations: ['ops'], validToMs: clock.nowMs() + 1000 };
  const admin = { username: 'admin', groups: ['ops', 'system:authenticated'] };
  const alice = { username: 'alice', groups: ['system:authenticated'] };
  const anonymous = { username: 'system:anonymous', groups: ['system:unauthenticated'] };
  const who = (shown: Partial<Credentials>, { isAnonymousAllowed = false, hasWebhook = true } = {}): Promise<unknown> =>
    new Authenticator(
      {
        isAnonymousAllowed,
        webhook: hasWebhook
          ? {
              cacheTtlMs: 1000,
              reviewToken: (token) => {
                if (token === 'boom') return Promise.reject(new Error('no API server'));
                return Promise.resolve(token === 'good' ? { username: 'alice' } : undefined);
              },
            }
          : undefined,
      },
      clock,
      silentLogger,
    ).authenticate({ ...nothing, ...shown }, never);
  const untrusted = { ...certificate, isTrusted: false };
  it.each([
    { name: 'a certificate', shown: { certificate }, settings: {}, want: admin },
    {
      name: 'a certificate before a token',
      shown: { certificate, authorization: 'Bearer good' },
      settings: {},
      want: admin,
    },
    { name: 'a token', shown: { authorization: 'Bearer good' }, settings: {}, want: alice },
    {
      name: 'a token beside a foreign certificate',
      shown: { certificate: untrusted, authorization: 'Bearer good' },
      settings: {},
      want: alice,
    },
    { name: 'a foreign certificate', shown: { certificate: untrusted }, settings: {}, want: undefined },
    {
      name: 'a certificate that is over',
      shown: { certificate: { ...certificate, validToMs: clock.nowMs() } },
      settings: {},
      want: undefined,
    },
    {
      name: 'a certificate without a name',
      shown: { certificate: { ...certificate, commonName: '' } },
      settings: {},
      want: undefined,
    },
    { name: 'a bad token', shown: { authorization: 'Bearer bad' }, settings: {}, want: undefined },
    { name: 'a token that nobody can review', shown: { authorization: 'Bearer boom' }, settings: {}, want: undefined },
    { name: 'nothing', shown: {}, settings: {}, want: undefined },
    { name: 'nothing, anonymous allowed', shown: {}, settings: { isAnonymousAllowed: true }, want: anonymous },
    {
      name: 'a bad token is not anonymous',
      shown: { authorization: 'Bearer bad' },
      settings: { isAnonymousAllowed: true },
      want: undefined,
    },
    {
      name: 'a foreign certificate is not anonymous',
      shown: { certificate: untrusted },
      settings: { isAnonymousAllowed: true },
      want: undefined,
    },
    {
      name: 'without reviews a token is not looked at',
      shown: { authorization: 'Bearer good' },
      settings: { isAnonymousAllowed: true, hasWebhook: false },
      want: anonymous,
    },
  ])('$name', async ({ shown, settings, want }) => {
    expect(await who(shown, settings)).toEqual(want);
  });
});

describe('Authorizer', () => {
  it('keeps a yes longer than a no', async () => {
    const clock = new FakeClock();
    let asked = 0;
    let isAllowed = false;
    const authorizer = new Authorizer(
      {
        mode: 'Webhook',
        authorizedTtlMs: 300_000,
        unauthorizedTtlMs: 30_000,
        reviewAccess: () => {
          asked++;
          return Promise.resolve(isAllowed);
        },
      },
      'node-a',
      clock,
      silentLogger,
    );
    const ask = (): ReturnType<Authorizer['authorize']> =>
      authorizer.authorize({ username: 'u' }, { verb: 'get', subresources: ['proxy'] }, never);
    expect(await ask()).toMatchObject({ status: 403 });
    isAllowed = true;
    await clock.advance(29_999);
    expect(await ask()).toMatchObject({ status: 403 });
    await clock.advance(1);
    expect(await ask()).toBeUndefined();
    isAllowed = false;
    await clock.advance(299_999);
    expect(await ask()).toBeUndefined();
    expect(asked).toBe(2);
    await clock.advance(1);
    expect(await ask()).toMatchObject({ status: 403 });
  });

  it('AlwaysAllow asks nobody', async () => {
    const authorizer = new Authorizer({ mode: 'AlwaysAllow' }, 'node-a', new FakeClock(), silentLogger);
    expect(await authorizer.authorize({}, { verb: '', subresources: ['proxy'] }, never)).toBeUndefined();
  });
});

describe('ReviewCache', () => {
  it('asks once for many at a time', async () => {
    const cache = new ReviewCache<number>(new FakeClock(), () => 1000);
    let asked = 0;
    const review = (): Promise<number> => Promise.resolve(++asked);
    expect(await Promise.all([cache.get('k', review, never), cache.get('k', review, never)])).toEqual([1, 1]);
    expect(await cache.get('other', review, never)).toBe(2);
  });

  it('tries a server that is away five times, and keeps no failure', async () => {
    const clock = new FakeClock();
    const cache = new ReviewCache<number>(clock, () => 1000);
    let asked = 0;
    const failure = cache
      .get('k', () => Promise.reject(new UnavailableError(`away ${++asked}`)), never)
      .catch((err: unknown) => err);
    await clock.advance(500 + 750 + 1125 + 1687.5);
    expect(await failure).toEqual(new UnavailableError('away 5'));
    expect(await cache.get('k', () => Promise.resolve(7), never)).toBe(7);
  });
});
