import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import { NotFoundError, UnavailableError } from '../../../base/errors.ts';
import type { PodSpec, Volume, VolumeProjection } from '../../../objects/generated/core-v1.ts';
import { type PayloadSources, fetchPayload, payloadDigest } from './fetch-payload.ts';
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

describe('fetchPayload', () => {
  const signal = new AbortController().signal;
  /** A ConfigMap and a Secret of every name, but `none`, which are not there, and `down`, of which the API does not tell. */
  const known = <T>(name: string, object: T): Promise<T> => {
    if (name === 'none') return Promise.reject(new NotFoundError(`things "${name}" not found`));
    if (name === 'down') return Promise.reject(new UnavailableError('connection refused'));
    return Promise.resolve(object);
  };
  const sources: PayloadSources = {
    getConfigMap: (_, name) => known(name, { metadata: { name }, data: { a: `map ${name}`, m: 'm' } }),
    getSecret: (_, name) =>
      known(name, { metadata: { name }, data: { a: Buffer.from(`secret ${name}`).toString('base64') } }),
    podFields: () => ({
      field: (path) => {
        if (path.startsWith('status')) throw new Error(`unsupported fieldPath: ${path}`);
        return path;
      },
      resource: ({ resource }) => resource,
    }),
    getToken: (wish) => Promise.resolve(JSON.stringify(wish)),
    getTrustAnchors: () => Promise.reject(new Error('no anchors')),
    getPodCertificate: () => {
      throw new Error('no certificate');
    },
  };
  const fetch = async (volume: Omit<Volume, 'name'>, spec: Partial<PodSpec> = {}): Promise<Record<string, string>> => {
    const pod = testPod({ serviceAccountName: 'sa', ...spec }, { name: 'web', namespace: 'ns', uid: 'uid-1' });
    const payload = await fetchPayload(pod, { name: 'v', ...volume }, sources, signal);
    return Object.fromEntries(
      [...payload].map(([path, { data, mode, uid }]) => [
        path,
        `${data.toString()} ${mode.toString(8)}${uid === undefined ? '' : ` ${uid}`}`,
      ]),
    );
  };
  const projected = (...list: VolumeProjection[]): Omit<Volume, 'name'> => ({ projected: { sources: list } });

  it.each<{ name: string; volume: Omit<Volume, 'name'>; want: Record<string, string> }>([
    { name: 'an optional object that is not there', volume: { configMap: { name: 'none', optional: true } }, want: {} },
    {
      name: 'keys of an optional object that are not there',
      volume: {
        secret: {
          secretName: 'x',
          optional: true,
          items: [
            { key: 'b', path: 'b' },
            { key: 'a', path: 'c/a' },
          ],
        },
      },
      want: { 'c/a': 'secret x 644' },
    },
    {
      name: 'of equal paths the last one counts',
      volume: projected({ configMap: { name: 'x' } }, { secret: { name: 'y' } }),
      want: { a: 'secret y 644', m: 'm 644' },
    },
    {
      name: 'in the other order',
      volume: projected({ secret: { name: 'y' } }, { configMap: { name: 'x' } }),
      want: { a: 'map x 644', m: 'm 644' },
    },
    {
      name: 'each source is optional by itself',
      volume: projected({ secret: { name: 'none', optional: true } }, { configMap: { name: 'x', items: [] } }),
      want: { a: 'map x 644', m: 'm 644' },
    },
    {
      name: 'the mode of the volume is that of its sources',
      volume: {
        projected: {
          defaultMode: 0o400,
          sources: [
            {
              configMap: {
                name: 'x',
                items: [
                  { key: 'm', path: 'm', mode: 0o640 },
                  { key: 'a', path: 'a' },
                ],
              },
            },
          ],
        },
      },
      want: { a: 'map x 400', m: 'm 640' },
    },
  ])('$name', async ({ volume, want }) => {
    expect(await fetch(volume)).toEqual(want);
  });

  it.each<{ name: string; volume: Omit<Volume, 'name'>; want: string }>([
    {
      name: 'optional is no cover for other failures',
      volume: { configMap: { name: 'down', optional: true } },
      want: 'connection refused',
    },
    { name: 'one failure as it is', volume: projected({ secret: { name: 'none' } }), want: 'secret "none" not found' },
    {
      name: 'all failures in their order, each once',
      volume: projected(
        { secret: { name: 'none' } },
        { configMap: { name: 'x' } },
        { downwardAPI: { items: [{ path: 'p', fieldRef: { fieldPath: 'status.podIP' } }] } },
        { secret: { name: 'none' } },
        { configMap: { name: 'down' } },
        { clusterTrustBundle: { path: 'p' } },
        { podCertificate: { signerName: 's', keyType: 'k' } },
      ),
      want: '[secret "none" not found, unsupported fieldPath: status.podIP, connection refused, no anchors, no certificate]',
    },
  ])('$name', async ({ volume, want }) => {
    await expect(fetch(volume)).rejects.toHaveProperty('message', want);
  });

  const wish = { namespace: 'ns', serviceAccount: 'sa', expirationSeconds: 3600, podName: 'web', podUid: 'uid-1' };
  const as = (...users: Array<number | undefined>): Partial<PodSpec> => ({
    containers: users.map((runAsUser, i) => testContainer(`c${i}`, { securityContext: { runAsUser } })),
  });
  it.each<{ name: string; spec: Partial<PodSpec>; audience?: string; owner: string }>([
    { name: 'nobody says who he is', spec: {}, owner: '644' },
    { name: 'for an audience', spec: {}, audience: 'vault', owner: '644' },
    { name: 'the API server’s own audience', spec: {}, audience: '', owner: '644' },
    { name: 'one user', spec: as(7, 7), owner: '600 7' },
    { name: 'root by name', spec: as(0), owner: '600 0' },
    { name: 'two users', spec: as(7, 8), owner: '644' },
    { name: 'one who does not say', spec: as(7, undefined), owner: '644' },
    { name: 'a container’s own word counts', spec: { ...as(7, 7), securityContext: { runAsUser: 8 } }, owner: '600 7' },
    { name: 'a group', spec: { ...as(7, 8), securityContext: { fsGroup: 9 } }, owner: '600' },
  ])('a token: $name', async ({ spec, audience, owner }) => {
    const token = { path: 't', ...(audience === undefined ? {} : { audience }) };
    const found = await fetch(projected({ serviceAccountToken: token }), spec);
    const asked = audience === undefined || audience === '' ? wish : { ...wish, audience };
    const [, text = '', said] = /^(.*}) (.*)$/.exec(found['t'] ?? '') ?? [];
    expect([JSON.parse(text), said]).toEqual([asked, owner]);
  });
});
