import { beforeEach, describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import type { CriImage } from '../../../adapters/cri/cri-types.ts';
import { FakeClock } from '../../../base/clock.ts';
import { RpcError } from '../../../base/grpc.ts';
import type { Secret } from '../../../objects/generated/core-v1.ts';
import { Images, goMilliseconds } from './images.ts';

const signal = new AbortController().signal;
const image: CriImage = {
  id: 'sha256:1',
  repoTags: [],
  repoDigests: [],
  sizeBytes: 42,
  uid: undefined,
  username: '',
  pinned: false,
};
let clock: FakeClock;
let there: Set<string>;
let calls: string[];
let inspectFailure: Error | undefined;
let pull: (name: string, user: string | undefined, signal: AbortSignal) => Promise<void>;
let images: Images;
let isInRate: boolean;

beforeEach(() => {
  clock = new FakeClock();
  there = new Set();
  calls = [];
  inspectFailure = undefined;
  pull = (name) => Promise.resolve(void there.add(name));
  isInRate = true;
  images = makeImages(1);
});

function makeImages(parallelPullsMax: number): Images {
  return new Images({
    cri: {
      imageStatus: (name) =>
        inspectFailure === undefined
          ? Promise.resolve(there.has(name) ? image : undefined)
          : Promise.reject(inspectFailure),
      pullImage: async (name, _, auth, __, s) => {
        calls.push(`pull ${name}${auth?.username === undefined ? '' : ` as ${auth.username}`}`);
        await pull(name, auth?.username, s);
        return name;
      },
    },
    events: {
      pod: () => {},
      container: (_, __, ___, type, reason, message) => calls.push(`${type} ${reason}: ${message}`),
    },
    mayPull: () => isInRate,
    parallelPullsMax,
    clock,
  });
}

function ensure(
  name: string,
  imagePullPolicy = 'IfNotPresent',
  { secrets = [] as Secret[], interrupt = signal, uid = 'uid-1' } = {},
) {
  const container = { kind: 'regular', spec: testContainer('web', { image: name, imagePullPolicy }) } as const;
  return images.ensure(testPod({}, { uid }), container, {}, secrets, interrupt);
}
const secret: Secret = {
  metadata: { name: 's' },
  type: 'kubernetes.io/dockerconfigjson',
  data: {
    '.dockerconfigjson': Buffer.from(
      '{"auths":{"r.test/team":{"username":"a","password":"x"},"r.test":{"username":"b","password":"x"}}}',
    ).toString('base64'),
  },
};
const failing = (details: string) => () => Promise.reject(new RpcError('NotFound', details));
const present = { kind: 'present', image };

describe('policies', () => {
  it('IfNotPresent takes what is there', async () => {
    there.add('web:1');
    expect(await ensure('web:1')).toEqual(present);
    expect(calls).toEqual([
      'Normal Pulled: Container image "web:1" already present on machine and can be accessed by the pod',
    ]);
  });

  it('IfNotPresent pulls what is not, and tells size and time', async () => {
    pull = async (name) => {
      there.add(name);
      await clock.sleep(1234, signal);
    };
    const done = ensure('web');
    await clock.advance(2000);
    expect(await done).toEqual(present);
    expect(calls).toEqual([
      'Normal Pulling: Pulling image "web"',
      'pull web:latest',
      'Normal Pulled: Successfully pulled image "web" in 1.234s (1.234s including waiting). Image size: 42 bytes.',
    ]);
  });

  it('Always asks the registry even for what is there', async () => {
    there.add('web:1');
    await ensure('web:1', 'Always');
    expect(calls).toContain('pull web:1');
  });

  it('Never does not pull', async () => {
    expect(await ensure('web:1', 'Never')).toEqual({
      kind: 'failed',
      reason: 'ErrImageNeverPull',
      message: 'Container image "web:1" is not present with pull policy of Never',
    });
    expect(calls).toEqual([
      'Warning ErrImageNeverPull: Container image "web:1" is not present with pull policy of Never',
    ]);
  });

  it('a name that is none', async () => {
    const message = `Failed to apply default image tag "Web": couldn't parse image name "Web": repository name must be lowercase`;
    expect(await ensure('Web')).toEqual({ kind: 'failed', reason: 'InvalidImageName', message });
    expect(calls).toEqual([`Warning InspectFailed: ${message}`]);
  });

  it('a runtime that cannot tell', async () => {
    inspectFailure = new RpcError('Unavailable', 'away');
    const message = 'Failed to inspect image "": rpc error: code = Unavailable desc = away';
    expect(await ensure('web')).toEqual({ kind: 'failed', reason: 'ImageInspectError', message });
    expect(calls).toEqual([`Warning InspectFailed: ${message}`]);
  });
});

describe('failures', () => {
  it('waits 10, 20, 40 … 300 s between pulls of one image for one pod, and says so', async () => {
    pull = failing('no such image');
    const text = 'rpc error: code = NotFound desc = no such image';
    expect(await ensure('web:1')).toMatchObject({ kind: 'failed', reason: 'ErrImagePull', message: text });
    expect(calls.at(-1)).toBe(`Warning Failed: Failed to pull image "web:1": ${text}`);
    for (const waitMs of [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]) {
      await clock.advance(waitMs - 1);
      calls.length = 0;
      expect(await ensure('web:1')).toEqual({
        kind: 'failed',
        reason: 'ImagePullBackOff',
        message: `Back-off pulling image "web:1": ErrImagePull: ${text}`,
        retryAtMs: clock.nowMs() + 1,
      });
      expect(calls).toEqual(['Normal BackOff: Back-off pulling image "web:1"']);
      await clock.advance(1);
      expect(await ensure('web:1')).toMatchObject({ reason: 'ErrImagePull' });
    }
    expect(await ensure('web:2')).toMatchObject({ reason: 'ErrImagePull' });
    expect(await ensure('web:1', 'Always', { uid: 'other' })).toMatchObject({ reason: 'ErrImagePull' });
  });

  it('starts over after a success, and when the pod is forgotten', async () => {
    pull = failing('x');
    await ensure('web:1');
    images.forget('uid-1');
    expect(await ensure('web:1')).toMatchObject({ reason: 'ErrImagePull' });
    await clock.advance(10_000);
    pull = (name) => Promise.resolve(void there.add(name));
    expect(await ensure('web:1')).toEqual(present);
    pull = failing('x');
    await ensure('web:1', 'Always');
    await clock.advance(10_000);
    expect(await ensure('web:1', 'Always')).toMatchObject({ reason: 'ErrImagePull' });
  });

  it.each([
    {
      details: 'RegistryUnavailable: 503',
      want: {
        reason: 'RegistryUnavailable',
        message: 'image pull failed for web:1 because the registry is unavailable: 503',
      },
    },
    {
      details: 'SignatureValidationFailed: bad key',
      want: {
        reason: 'SignatureValidationFailed',
        message: 'image pull failed for web:1 because the signature validation failed: bad key',
      },
    },
  ])('knows the runtime’s own words: $details', async ({ details, want }) => {
    pull = failing(details);
    expect(await ensure('web:1')).toMatchObject(want);
  });

  it('a pull beyond the node’s rate is refused without asking the registry', async () => {
    isInRate = false;
    expect(await ensure('web:1')).toMatchObject({ reason: 'ErrImagePull', message: 'pull QPS exceeded' });
    expect(calls).toEqual([
      'Normal Pulling: Pulling image "web:1"',
      'Warning Failed: Failed to pull image "web:1": pull QPS exceeded',
    ]);
  });

  it('an interrupt is no failure: nothing is said and nothing waits', async () => {
    const interrupt = new AbortController();
    pull = (_, __, s) =>
      new Promise((_resolve, reject) => s.addEventListener('abort', () => reject(new Error('cancelled'))));
    const done = ensure('web:1', 'IfNotPresent', { interrupt: interrupt.signal });
    await clock.advance(0);
    interrupt.abort(new Error('the pod is to end'));
    await expect(done).rejects.toThrow('the pod is to end');
    expect(calls).toEqual(['Normal Pulling: Pulling image "web:1"', 'pull web:1']);
    pull = (name) => Promise.resolve(void there.add(name));
    expect(await ensure('web:1')).toEqual(present);
  });
});

describe('credentials', () => {
  it('are tried until one works, best match first', async () => {
    pull = (name, user) => (user === 'b' ? Promise.resolve(void there.add(name)) : Promise.reject(new Error('denied')));
    expect(await ensure('r.test/team/web:1', 'Always', { secrets: [secret] })).toEqual(present);
    expect(calls.filter((call) => call.startsWith('pull'))).toEqual([
      'pull r.test/team/web:1 as a',
      'pull r.test/team/web:1 as b',
    ]);
  });

  it('that fit another registry are not shown to this one', async () => {
    await ensure('other.test/web:1', 'Always', { secrets: [secret] });
    expect(calls).toContain('pull other.test/web:1');
  });
});

describe('pulls at once', () => {
  it.each([
    { max: 1, want: [1, 1] },
    { max: 2, want: [2, 2] },
    { max: Infinity, want: [3, 3] },
  ])('at most $max', async ({ max, want }) => {
    images = makeImages(max);
    let now = 0;
    let most = 0;
    pull = async (name) => {
      most = Math.max(most, ++now);
      await clock.sleep(1000, signal);
      now--;
      there.add(name);
    };
    const all = Promise.all(['a:1', 'b:1', 'c:1'].map((name) => ensure(name)));
    await clock.advance(100);
    expect(now).toBe(want[0]);
    await clock.advance(5000);
    await all;
    expect(most).toBe(want[1]);
  });

  it('tells the waiting apart from the pull', async () => {
    pull = async (name) => {
      await clock.sleep(1000, signal);
      there.add(name);
    };
    const all = Promise.all([ensure('a:1'), ensure('b:1')]);
    await clock.advance(3000);
    await all;
    expect(calls).toContain(
      'Normal Pulled: Successfully pulled image "b:1" in 1s (2s including waiting). Image size: 42 bytes.',
    );
  });
});

it.each([
  [0.4, '0ms'],
  [532.9, '532ms'],
  [1000, '1s'],
  [1234.5, '1.234s'],
  [62_500, '1m2.5s'],
])('%d ms is %s', (ms, want) => {
  expect(goMilliseconds(ms)).toBe(want);
});
