import { beforeEach, describe, expect, it } from 'vitest';
import { testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { CredentialProviderConfig } from './credential-provider-config.ts';
import { CredentialProviders } from './credential-providers.ts';
import type { KeyringEntry } from './keyring.ts';
import { parseProviderResponse } from './provider-response.ts';

const signal = new AbortController().signal;
const v1 = 'credentialprovider.kubelet.k8s.io/v1';
const pod = testPod({ serviceAccountName: 'robot' }, { namespace: 'ns', uid: 'uid-1' });
const durations: Readonly<Record<string, number>> = { '0s': 0, '30s': 30_000, '1m0s': 60_000 };
const parseDurationMs = (text: string): number | undefined => durations[text];

interface Call {
  file: string;
  args: readonly string[];
  input: unknown;
  env: Record<string, string>;
}

let clock: FakeClock;
let calls: Call[];
let answer: (call: Call, signal: AbortSignal) => Promise<object | string>;
let annotations: Record<string, string>;
let token: string;

beforeEach(() => {
  clock = new FakeClock();
  calls = [];
  answer = () => Promise.resolve(response());
  annotations = {};
  token = 'token-1';
});

const response = (more: object = {}): object => ({
  kind: 'CredentialProviderResponse',
  apiVersion: v1,
  cacheKeyType: 'Image',
  auth: { 'r.test': { username: `user ${calls.length}`, password: 'x' } },
  ...more,
});

const provider = (more: Partial<CredentialProviderConfig> = {}): CredentialProviderConfig => ({
  name: 'plug',
  matchImages: ['*.test', 'r.test:5000/team'],
  defaultCacheMs: 60_000,
  apiVersion: v1,
  args: ['get'],
  env: [{ name: 'A', value: 'b' }],
  tokens: undefined,
  ...more,
});
const withTokens = (more: Partial<NonNullable<CredentialProviderConfig['tokens']>> = {}): CredentialProviderConfig =>
  provider({
    tokens: {
      audience: 'registry',
      cacheType: 'ServiceAccount',
      requireServiceAccount: true,
      requiredAnnotations: [],
      optionalAnnotations: [],
      ...more,
    },
  });

function make(...providers: CredentialProviderConfig[]): CredentialProviders {
  return new CredentialProviders({
    providers,
    binDir: '/plugins',
    run: async (file, args, { input, env, timeoutMs, signal: s }) => {
      expect(timeoutMs).toBe(60_000);
      const call = { file, args, input: JSON.parse(input) as unknown, env };
      calls.push(call);
      const given = await answer(call, s);
      return { stdout: typeof given === 'string' ? given : JSON.stringify(given) };
    },
    serviceAccount: (namespace, name) =>
      Promise.resolve({ metadata: { namespace, name, uid: 'uid of robot', annotations } }),
    requestToken: (_, audience) => Promise.resolve(`${token} for ${audience}`),
    forgetTokens: () => {},
    parseDurationMs,
    clock,
    log: silentLogger,
  });
}
const users = (entries: readonly KeyringEntry[]): string[] => entries.map(({ credential }) => credential.username);

describe('a plugin', () => {
  it('is asked for images that it is for, in its own words', async () => {
    const providers = make(provider());
    expect(await providers.entries(pod, 'r.other/web', signal)).toEqual([]);
    expect(calls).toEqual([]);
    expect(await providers.entries(pod, 'r.test/web', signal)).toEqual([
      { key: 'r.test', credential: { username: 'user 1', password: 'x' }, origin: { kind: 'node' } },
    ]);
    expect(calls).toEqual([
      {
        file: '/plugins/plug',
        args: ['get'],
        env: { A: 'b' },
        input: { kind: 'CredentialProviderRequest', apiVersion: v1, image: 'r.test/web' },
      },
    ]);
  });

  it.each([
    { type: 'Image', same: ['r.test/web'], other: ['r.test/api', 'q.test/web'] },
    { type: 'Registry', same: ['r.test/web', 'r.test/api'], other: ['q.test/web'] },
    { type: 'Global', same: ['r.test/web', 'r.test/api', 'q.test/web'], other: [] },
  ])('with cacheKeyType $type is not asked again for $same, but for $other', async ({ type, same, other }) => {
    answer = () => Promise.resolve(response({ cacheKeyType: type }));
    const providers = make(provider());
    for (const image of ['r.test/web', ...same]) await providers.entries(pod, image, signal);
    expect(calls).toHaveLength(1);
    for (const image of other) await providers.entries(pod, image, signal);
    expect(calls).toHaveLength(1 + other.length);
  });

  it.each([
    { name: 'as long as it says', more: { cacheDuration: '30s' }, keptMs: 29_999, overMs: 30_000 },
    { name: 'as long as configured when it says nothing', more: {}, keptMs: 59_999, overMs: 60_000 },
    { name: 'not at all when it says so', more: { cacheDuration: '0s' }, keptMs: undefined, overMs: 0 },
  ])('is believed $name', async ({ more, keptMs, overMs }) => {
    answer = () => Promise.resolve(response(more));
    const providers = make(provider());
    await providers.entries(pod, 'r.test/web', signal);
    if (keptMs !== undefined) {
      await clock.advance(keptMs);
      expect(users(await providers.entries(pod, 'r.test/web', signal))).toEqual(['user 1']);
    }
    await clock.advance(overMs - (keptMs ?? 0));
    expect(users(await providers.entries(pod, 'r.test/web', signal))).toEqual(['user 2']);
  });

  it('is asked once by pods that want the same image at once, and again when the first gives up', async () => {
    const given: Array<(value: object) => void> = [];
    answer = (_, s) =>
      new Promise((resolve, reject) => {
        given.push(resolve);
        s.addEventListener('abort', () => reject(new Error('killed')));
      });
    const providers = make(provider());
    const interrupt = new AbortController();
    const first = providers.entries(pod, 'r.test/web', interrupt.signal);
    const others = [1, 2].map(() => providers.entries(pod, 'r.test/web', signal));
    await clock.advance(0);
    expect(calls).toHaveLength(1);
    interrupt.abort(new Error('the pod is to end'));
    await expect(first).rejects.toThrow('the pod is to end');
    await clock.advance(0);
    expect(calls).toHaveLength(2);
    given[1]?.(response());
    expect((await Promise.all(others)).map(users)).toEqual([['user 2'], ['user 2']]);
  });

  it('that fails costs its own credentials only, and is asked again the next time', async () => {
    answer = ({ file }) => (file.endsWith('bad') ? Promise.reject(new Error('exit 1')) : Promise.resolve(response()));
    const providers = make(provider({ name: 'bad' }), provider());
    expect(users(await providers.entries(pod, 'r.test/web', signal))).toEqual(['user 2']);
    await providers.entries(pod, 'r.test/web', signal);
    expect(calls.map(({ file }) => file)).toEqual(['/plugins/bad', '/plugins/plug', '/plugins/bad']);
  });
});

describe('a plugin that wants to know the pod’s account', () => {
  it('gets a token and the annotations that it names, and its credentials are the account’s', async () => {
    annotations = { need: '1', may: '2', other: '3' };
    const providers = make(withTokens({ requiredAnnotations: ['need'], optionalAnnotations: ['may', 'none'] }));
    const [entry] = await providers.entries(pod, 'r.test/web', signal);
    expect(entry?.origin).toEqual({
      kind: 'account',
      account: { uid: 'uid of robot', namespace: 'ns', name: 'robot' },
    });
    expect(calls[0]?.input).toMatchObject({
      serviceAccountToken: 'token-1 for registry',
      serviceAccountAnnotations: { may: '2', need: '1' },
    });
  });

  it('is not asked when an annotation is missing', async () => {
    const providers = make(withTokens({ requiredAnnotations: ['need'] }));
    expect(await providers.entries(pod, 'r.test/web', signal)).toEqual([]);
    expect(calls).toEqual([]);
  });

  it.each([
    { requireServiceAccount: true, asked: 0 },
    { requireServiceAccount: false, asked: 1 },
  ])('for a pod without an account, required $requireServiceAccount: asked $asked', async ({ asked, ...more }) => {
    await make(withTokens(more)).entries(testPod({}), 'r.test/web', signal);
    expect(calls).toHaveLength(asked);
    if (asked > 0) expect(calls[0]?.input).not.toHaveProperty('serviceAccountToken');
  });

  it.each([
    { cacheType: 'ServiceAccount', asked: 1 },
    { cacheType: 'Token', asked: 2 },
  ] as const)('with cacheType $cacheType is asked $asked times over a new token', async ({ cacheType, asked }) => {
    answer = () => Promise.resolve(response({ cacheKeyType: 'Global' }));
    const providers = make(withTokens({ cacheType }));
    await providers.entries(pod, 'r.test/web', signal);
    token = 'token-2';
    await providers.entries(pod, 'r.test/web', signal);
    expect(calls).toHaveLength(asked);
  });
});

it.each([
  { text: 'secret', want: 'its answer is not JSON' },
  { text: '[]', want: 'its answer is not of the right form' },
  { text: '{}', want: 'its answer is no CredentialProviderResponse' },
  { more: { apiVersion: `${v1}beta1` }, want: /did not match expected apiVersion:.*v1, actual apiVersion:.*v1beta1/ },
  { more: { cacheKeyType: 'Pod' }, want: 'invalid cacheKeyType: Pod' },
  { more: { cacheDuration: 5 }, want: 'its cacheDuration is not a duration' },
  { more: { auth: { 'r.test': { username: 1 } } }, want: 'its answer holds no credential' },
  { more: { auth: [] }, want: 'its answer is not of the right form' },
])('an answer that is none is refused: $want', ({ text, more, want }) => {
  expect(() => parseProviderResponse(text ?? JSON.stringify(response(more)), v1, parseDurationMs)).toThrow(want);
});

it('an answer without credentials is one', () => {
  calls = [];
  expect(parseProviderResponse(JSON.stringify(response({ auth: null })), v1, parseDurationMs).entries).toEqual([]);
});
