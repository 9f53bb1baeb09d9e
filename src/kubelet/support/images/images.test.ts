import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { awaitUntil } from '../../../../test/await-until.ts';
import { testContainer, testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import type { CriImage } from '../../../adapters/cri/cri-types.ts';
import { FakeClock } from '../../../base/clock.ts';
import { UnavailableError } from '../../../base/errors.ts';
import { RpcError } from '../../../base/grpc.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { Pod, Secret } from '../../../objects/generated/core-v1.ts';
import type { ImageOutcome } from './images.ts';
import { Images } from './images.ts';
import type { KeyringEntry } from './keyring.ts';
import { fileName } from './pull-records.ts';
import { overdueMs } from './pull-slots.ts';
import type { VerificationRules } from './verify-access.ts';

const signal = new AbortController().signal;
const imageOf = (name: string): CriImage => ({
  id: `sha256:id of ${name}`,
  repoTags: [name],
  repoDigests: [],
  sizeBytes: 42,
  uid: undefined,
  username: '',
  pinned: false,
});
let clock: FakeClock;
let directory: string;
let there: Set<string>;
let calls: string[];
let spans: string[];
let counted: string[];
let inspectFailure: Error | undefined;
let pull: (name: string, user: string | undefined, signal: AbortSignal) => Promise<void>;
let images: Images;
let callsLeft: number;
let freeBytes: Map<string, number>;
let nodeEntries: KeyringEntry[];
let providerEntries: KeyringEntry[];

beforeEach(async () => {
  clock = new FakeClock();
  directory = await mkdtemp(join(tmpdir(), 'gantry-images-'));
  there = new Set();
  calls = [];
  spans = [];
  counted = [];
  inspectFailure = undefined;
  pull = (name) => Promise.resolve(void there.add(name));
  callsLeft = Infinity;
  freeBytes = new Map([['/images', 9_000_000]]);
  nodeEntries = [];
  providerEntries = [];
  images = await openImages();
});
afterEach(() => rm(directory, { recursive: true, maxRetries: 5 }));

async function openImages({
  max = 1,
  verification = { isOn: true, policy: 'NeverVerifyPreloadedImages', allowlist: [] } as VerificationRules,
} = {}): Promise<Images> {
  const made = new Images({
    cri: {
      imageStatus: (name) =>
        inspectFailure === undefined
          ? Promise.resolve(there.has(name) ? imageOf(name) : undefined)
          : Promise.reject(inspectFailure),
      imageFilesystems: () => Promise.resolve([{ mountpoint: '/images', usedBytes: 0, inodesUsed: 0 }]),
      listImages: () => Promise.resolve([...there].map(imageOf)),
      pullImage: async (name, _, auth, __, s) => {
        calls.push(`pull ${name}${auth?.username === undefined ? '' : ` as ${auth.username}`}`);
        await pull(name, auth?.username, s);
        return name;
      },
    },
    events: {
      pod: (_, type, reason, message) => calls.push(`pod: ${type} ${reason}: ${message}`),
      container: (_, __, ___, type, reason, message) => calls.push(`${type} ${reason}: ${message}`),
    },
    phases: {
      span: async (_, name, work) => {
        spans.push(name);
        return await work();
      },
    },
    space: (path) => Promise.resolve({ availableBytes: freeBytes.get(path) ?? 0 }),
    rootDir: directory,
    nodeCredentials: () => Promise.resolve(nodeEntries),
    providers: { entries: () => Promise.resolve(providerEntries), forget: () => {} },
    verification,
    mayPull: () => callsLeft-- > 0,
    counts: {
      imageWanted: (...words) => counted.push(words.join(' ')),
      imagePulled: (ms, bytes) => counted.push(`pulled ${bytes} bytes in ${ms} ms`),
    },
    parallelPullsMax: max,
    clock,
    log: silentLogger,
  });
  await made.open();
  return made;
}

function ensure(
  name: string,
  imagePullPolicy = 'IfNotPresent',
  { secrets = [] as Secret[], interrupt = signal, uid = 'uid-1' } = {},
): Promise<ImageOutcome> {
  const container = { kind: 'regular', spec: testContainer('web', { image: name, imagePullPolicy }) } as const;
  const pod: Pod = testPod({}, { uid });
  return images.ensure(pod, container, {}, secrets, interrupt);
}

const secretOf = (name: string, users: Record<string, string>, uid = `uid of ${name}`): Secret => ({
  metadata: { name, namespace: 'default', uid },
  type: 'kubernetes.io/dockerconfigjson',
  data: {
    '.dockerconfigjson': Buffer.from(
      JSON.stringify({
        auths: Object.fromEntries(
          Object.entries(users).map(([key, username]) => [key, { username, password: `of ${username}` }]),
        ),
      }),
    ).toString('base64'),
  },
});
const failing =
  (details: string, code = 'NotFound') =>
  (): Promise<void> =>
    Promise.reject(new RpcError(code, details));
const present = (name: string): ImageOutcome => ({ kind: 'present', image: imageOf(name) });
const pulls = (): string[] => calls.filter((call) => call.startsWith('pull '));

/** A pull that stands still until it is let go. */
function gate(): { wait: () => Promise<void>; open: () => void } {
  let open: () => void = () => {};
  const wait = new Promise<void>((resolve) => (open = resolve));
  return { wait: () => wait, open };
}

const until = (what: string, isSo: () => boolean | Promise<boolean>): Promise<unknown> =>
  awaitUntil(what, async () => await isSo());

async function isFile(path: string): Promise<boolean> {
  return await readFile(path).then(
    () => true,
    () => false,
  );
}

describe('policies', () => {
  it('IfNotPresent takes what is there', async () => {
    there.add('web:1');
    expect(await ensure('web:1')).toEqual(present('web:1'));
    expect(calls).toEqual([
      'Normal Pulled: Container image "web:1" already present on machine and can be accessed by the pod',
    ]);
  });

  it('IfNotPresent pulls what is not, and tells size and time', async () => {
    pull = async (name) => {
      await clock.advance(1234);
      there.add(name);
    };
    expect(await ensure('web')).toEqual(present('web:latest'));
    expect(calls).toEqual([
      'Normal Pulling: Pulling image "web"',
      'pull web:latest',
      'Normal Pulled: Successfully pulled image "web" in 1.234s (1.234s including waiting). Image size: 42 bytes.',
    ]);
    expect(spans).toEqual(['pull web']);
  });

  it('Always asks the registry even for what is there', async () => {
    there.add('web:1');
    await ensure('web:1', 'Always');
    expect(pulls()).toEqual(['pull web:1']);
  });

  it('Never does not pull', async () => {
    const message = 'Container image "web:1" is not present with pull policy of Never';
    expect(await ensure('web:1', 'Never')).toEqual({ kind: 'failed', reason: 'ErrImageNeverPull', message });
    expect(calls).toEqual([`Warning ErrImageNeverPull: ${message}`]);
  });

  it('of a volume: as of a container, with events of the pod; without one, by the tag', async () => {
    const pod = testPod({}, { uid: 'uid-1' });
    const volume = (reference: string, pullPolicy?: string): Promise<ImageOutcome> =>
      images.ensureVolume(pod, { reference, pullPolicy }, {}, [], signal);
    there.add('pic:1');
    expect((await volume('pic:1')).kind).toBe('present');
    expect(calls.splice(0)).toEqual([
      'pod: Normal Pulled: Container image "pic:1" already present on machine and can be accessed by the pod',
    ]);
    expect((await volume('pic')).kind).toBe('present');
    expect(calls.splice(0)).toEqual([
      'pod: Normal Pulling: Pulling image "pic"',
      'pull pic:latest',
      expect.stringMatching(/^pod: Normal Pulled: Successfully pulled image "pic" in /),
    ]);
    const never = { kind: 'failed', reason: 'ErrImageNeverPull' };
    expect(await volume('none:1', 'Never')).toMatchObject(never);
    expect(await volume('')).toMatchObject({ kind: 'failed', reason: 'InvalidImageName' });
    expect(calls.splice(0).map((text) => text.slice(0, 40))).toEqual([
      'pod: Warning ErrImageNeverPull: Containe',
      'pod: Warning InspectFailed: Failed to ap',
    ]);
  });

  it('a name that is none', async () => {
    const message = `Failed to apply default image tag "Web": couldn't parse image name "Web": repository name must be lowercase`;
    expect(await ensure('Web', 'Always')).toEqual({ kind: 'failed', reason: 'InvalidImageName', message });
    expect(calls).toEqual([`Warning InspectFailed: ${message}`]);
  });

  it('a runtime that cannot tell', async () => {
    inspectFailure = new RpcError('Unavailable', 'away');
    const message = 'Failed to inspect image "": rpc error: code = Unavailable desc = away';
    expect(await ensure('web')).toEqual({ kind: 'failed', reason: 'ImageInspectError', message });
    expect(calls).toEqual([`Warning InspectFailed: ${message}`]);
  });
});

describe('counts', () => {
  const unknown = '';
  it.each([
    { policy: 'IfNotPresent', isThere: true, want: ['IfNotPresent true false'] },
    { policy: 'IfNotPresent', isThere: false, want: ['IfNotPresent false true', 'pulled 42 bytes in 0 ms'] },
    { policy: 'Always', isThere: true, want: [`Always ${unknown} true`, 'pulled 42 bytes in 0 ms'] },
    { policy: 'Never', isThere: true, want: ['Never true false'] },
    { policy: 'Never', isThere: false, want: [`Never false ${unknown}`] },
  ])('$policy, there: $isThere', async ({ policy, isThere, want }) => {
    if (isThere) there.add('web:1');
    await ensure('web:1', policy);
    expect(counted).toEqual(want);
  });

  it('nobody knows what there is under a name that is none, or in a runtime that cannot tell', async () => {
    await ensure('Web', 'Always');
    inspectFailure = new Error('away');
    await ensure('web:1');
    expect(counted).toEqual([`Always ${unknown} ${unknown}`, `IfNotPresent ${unknown} ${unknown}`]);
  });

  it('an image that is there for somebody else, each wait for the next try, and no pull that failed', async () => {
    await ensure('r.test/web:1', 'IfNotPresent', { secrets: [secretOf('s', { 'r.test': 'a' })] });
    counted = [];
    pull = failing('no');
    await ensure('r.test/web:1', 'IfNotPresent', { uid: 'other' });
    await ensure('r.test/web:1', 'IfNotPresent', { uid: 'other' });
    await ensure('r.test/web:1', 'Never', { uid: 'other' });
    expect(counted).toEqual(['IfNotPresent true true', 'IfNotPresent true true', 'Never true true']);
  });
});

describe('failures', () => {
  const text = 'rpc error: code = NotFound desc = no such image';

  it('wait 10, 20, 40 … 300 s between pulls of one image for one pod, and say so', async () => {
    pull = failing('no such image');
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

  it.each([
    { name: 'a success between does not start them over', pauseMs: 20_000, inBackoff: true },
    { name: 'ten minutes without a failure do', pauseMs: 600_001, inBackoff: false },
  ])('$name', async ({ pauseMs, inBackoff }) => {
    pull = failing('x');
    await ensure('web:1', 'Always');
    await clock.advance(10_000);
    pull = (name) => Promise.resolve(void there.add(name));
    expect(await ensure('web:1', 'Always')).toEqual(present('web:1'));
    await clock.advance(pauseMs);
    pull = failing('x');
    expect(await ensure('web:1', 'Always')).toMatchObject({ reason: 'ErrImagePull' });
    await clock.advance(15_000);
    expect(await ensure('web:1', 'Always')).toMatchObject({ reason: inBackoff ? 'ImagePullBackOff' : 'ErrImagePull' });
  });

  it('are forgotten with the pod', async () => {
    pull = failing('x');
    await ensure('web:1');
    images.forget('uid-1');
    expect(await ensure('web:1')).toMatchObject({ reason: 'ErrImagePull' });
  });

  it('are remembered over a restart, with delay and words', async () => {
    pull = failing('no such image');
    await ensure('web:1');
    await clock.advance(10_000);
    await ensure('web:1');
    const notes = join(directory, 'image_manager', 'backoff.json');
    await until('its note', async () => (await readFile(notes, 'utf8').catch(() => '')).includes('"delayMs":20000'));
    images = await openImages();
    await clock.advance(15_000);
    expect(await ensure('web:1')).toMatchObject({
      reason: 'ImagePullBackOff',
      message: `Back-off pulling image "web:1": ErrImagePull: ${text}`,
      retryAtMs: clock.nowMs() + 5000,
    });
  });

  it('of a code that says nothing are told without it', async () => {
    pull = failing('failed to resolve reference', 'Unknown');
    expect(await ensure('web:1')).toMatchObject({ reason: 'ErrImagePull', message: 'failed to resolve reference' });
    expect(calls.at(-1)).toBe('Warning Failed: Failed to pull image "web:1": failed to resolve reference');
  });

  it.each([
    {
      details: 'RegistryUnavailable: 503',
      reason: 'RegistryUnavailable',
      message: 'image pull failed for web:1 because the registry is unavailable: 503',
    },
    {
      details: 'SignatureValidationFailed: bad key',
      reason: 'SignatureValidationFailed',
      message: 'image pull failed for web:1 because the signature validation failed: bad key',
    },
    { details: 'no RegistryUnavailable', reason: 'ErrImagePull', message: 'no RegistryUnavailable' },
  ])('in the runtime’s own words: $details', async ({ details, ...want }) => {
    pull = failing(details, 'Unknown');
    expect(await ensure('web:1')).toMatchObject(want);
  });

  it('a pull beyond the node’s rate is refused without asking the registry', async () => {
    callsLeft = 0;
    expect(await ensure('web:1')).toMatchObject({ reason: 'ErrImagePull', message: 'pull QPS exceeded' });
    expect(calls).toEqual([
      'Normal Pulling: Pulling image "web:1"',
      'Warning Failed: Failed to pull image "web:1": pull QPS exceeded',
    ]);
    callsLeft = 1;
    expect(await ensure('web:1')).toMatchObject({ reason: 'ImagePullBackOff' });
  });

  it('each try with a credential counts for the rate, and all failures are told once', async () => {
    pull = failing('denied', 'Unknown');
    callsLeft = 2;
    const secrets = [secretOf('s', { 'r.test/a': 'a', 'r.test': 'b' }), secretOf('t', { 'r.test': 'c' })];
    expect(await ensure('r.test/a/web:1', 'Always', { secrets })).toMatchObject({
      message: '[denied, pull QPS exceeded]',
    });
    expect(pulls()).toHaveLength(2);
  });

  it('an interrupt is no failure: nothing is said and nothing waits', async () => {
    const interrupt = new AbortController();
    pull = (_, __, s) =>
      new Promise((_resolve, reject) => s.addEventListener('abort', () => reject(new Error('cancelled'))));
    const done = ensure('web:1', 'IfNotPresent', { interrupt: interrupt.signal });
    await until('the pull', () => pulls().length === 1);
    interrupt.abort(new Error('the pod is to end'));
    await expect(done).rejects.toThrow('the pod is to end');
    expect(calls).toEqual(['Normal Pulling: Pulling image "web:1"', 'pull web:1']);
    pull = (name) => Promise.resolve(void there.add(name));
    expect(await ensure('web:1')).toEqual(present('web:1'));
  });
});

describe('credentials', () => {
  it('are tried until one works: the pod’s, the node’s, those of plugins, each more specific first', async () => {
    const node = (key: string, username: string): KeyringEntry => ({
      key,
      credential: { username, password: '' },
      origin: { kind: 'node' },
    });
    nodeEntries = [node('r.test/team/web', 'node')];
    providerEntries = [node('*.test', 'plugin'), node('other.test', 'other')];
    pull = (name, user) =>
      user === 'plugin' ? Promise.resolve(void there.add(name)) : Promise.reject(new Error('no'));
    const secrets = [secretOf('s', { 'r.test': 'b', 'r.test/team': 'a' })];
    expect(await ensure('r.test/team/web:1', 'Always', { secrets })).toEqual(present('r.test/team/web:1'));
    expect(pulls()).toEqual(['a', 'b', 'node', 'plugin'].map((user) => `pull r.test/team/web:1 as ${user}`));
    expect(spans).toEqual([
      'pull r.test/team/web:1 with secret s',
      'pull r.test/team/web:1 with secret s',
      'pull r.test/team/web:1 with credentials of the node',
      'pull r.test/team/web:1 with credentials of the node',
    ]);
  });

  it('that fit another registry are not shown to this one, and then the pull is anonymous', async () => {
    await ensure('other.test/web:1', 'Always', { secrets: [secretOf('s', { 'r.test': 'a' })] });
    expect(pulls()).toEqual(['pull other.test/web:1']);
  });
});

describe('an image that is present', () => {
  const name = 'r.test/web:1';
  const good = secretOf('s', { 'r.test': 'good' });

  beforeEach(() => {
    pull = (image, user) =>
      user === 'good' ? Promise.resolve(void there.add(image)) : Promise.reject(new RpcError('Unknown', 'denied'));
  });

  const outcomes = { yes: present(name), asks: { kind: 'failed', reason: 'ErrImagePull', message: 'denied' } } as const;

  it('that came with a secret is for pods that have it, or its content, or can pull', async () => {
    expect(await ensure(name, 'IfNotPresent', { secrets: [good], uid: 'one' })).toEqual(outcomes.yes);
    calls.length = 0;
    expect(await ensure(name, 'IfNotPresent', { secrets: [good], uid: 'two' })).toEqual(outcomes.yes);
    const copy = secretOf('copy', { 'https://r.test/v1/': 'good' });
    expect(await ensure(name, 'IfNotPresent', { secrets: [copy], uid: 'three' })).toEqual(outcomes.yes);
    expect(await ensure(name, 'Never', { secrets: [good], uid: 'three' })).toEqual(outcomes.yes);
    expect(pulls()).toEqual([]);
    // the copy is known now, also when its content has changed
    const rotated = secretOf('copy', { 'r.test': 'rotated' });
    expect(await ensure(name, 'IfNotPresent', { secrets: [rotated], uid: 'three' })).toEqual(outcomes.yes);
    expect(pulls()).toEqual([]);

    expect(await ensure(name, 'IfNotPresent', { uid: 'four' })).toEqual(outcomes.asks);
    const wrong = secretOf('wrong', { 'r.test': 'wrong' });
    expect(await ensure(name, 'IfNotPresent', { secrets: [wrong], uid: 'five' })).toEqual(outcomes.asks);
    expect(await ensure(name, 'Never', { uid: 'six' })).toMatchObject({ reason: 'ErrImageNeverPull' });
    expect(pulls()).toEqual([`pull ${name}`, `pull ${name} as wrong`]);
    pull = (image) => Promise.resolve(void there.add(image)); // it became public
    expect(await ensure(name, 'IfNotPresent', { uid: 'seven' })).toEqual(outcomes.yes);
    calls.length = 0;
    expect(await ensure(name, 'Never', { uid: 'eight' })).toEqual(outcomes.yes);
  });

  it('is verified by what earlier processes recorded, in upstream’s form', async () => {
    await ensure(name, 'IfNotPresent', { secrets: [good] });
    const { id } = imageOf(name);
    const path = join(directory, 'image_manager', 'pulled', fileName(id));
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      kind: 'ImagePulledRecord',
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      lastUpdatedTime: '2023-11-14T22:13:20Z',
      imageRef: id,
      credentialMapping: {
        'r.test/web': {
          kubernetesSecrets: [
            {
              uid: 'uid of s',
              namespace: 'default',
              name: 's',
              credentialHash: expect.stringMatching(/^[0-9a-f]{64}$/),
            },
          ],
        },
      },
    });
    expect(await readdir(join(directory, 'image_manager', 'pulling'))).toEqual([]);
    images = await openImages();
    calls.length = 0;
    expect(await ensure(name, 'IfNotPresent', { secrets: [good] })).toEqual(outcomes.yes);
    expect(pulls()).toEqual([]);
    expect(await ensure(name, 'IfNotPresent', { uid: 'other' })).toEqual(outcomes.asks);
  });

  it('whose pull was cut short is nobody’s, whatever became of it', async () => {
    const interrupt = new AbortController();
    const hang = gate();
    pull = async (image) => {
      there.add(image); // the runtime goes on with it
      await hang.wait();
      throw new Error('cancelled');
    };
    const done = ensure(name, 'IfNotPresent', { secrets: [good], interrupt: interrupt.signal });
    await until('the pull', () => pulls().length === 1);
    interrupt.abort(new Error('killed'));
    hang.open();
    await expect(done).rejects.toThrow('killed');
    pull = failing('denied', 'Unknown');
    expect(await ensure(name, 'IfNotPresent', { uid: 'other' })).toEqual(outcomes.asks);
    there.add(name);
    images = await openImages();
    const stop = new AbortController();
    const running = images.run(stop.signal);
    await until('its record', () => isFile(join(directory, 'image_manager', 'pulled', fileName(imageOf(name).id))));
    stop.abort();
    await running;
    expect(await ensure(name, 'IfNotPresent', { uid: 'third' })).toEqual(outcomes.asks);
  });

  it('when the runtime was lost during the pull, it is nobody’s either', async () => {
    pull = async (image) => {
      there.add(image);
      throw new UnavailableError('PullImage failed', { cause: new RpcError('Unavailable', 'gone') });
    };
    expect(await ensure(name, 'IfNotPresent', { secrets: [good], uid: 'one' })).toMatchObject({
      reason: 'ErrImagePull',
    });
    pull = failing('denied', 'Unknown');
    expect(await ensure(name, 'IfNotPresent', { uid: 'other' })).toEqual(outcomes.asks);
  });

  it.each([
    { policy: 'NeverVerify', allowlist: [], preloaded: 'yes', pulled: 'yes' },
    { policy: 'NeverVerifyPreloadedImages', allowlist: [], preloaded: 'yes', pulled: 'asks' },
    { policy: 'NeverVerifyAllowlistedImages', allowlist: ['r.test/web'], preloaded: 'yes', pulled: 'asks' },
    { policy: 'NeverVerifyAllowlistedImages', allowlist: ['r.test/*'], preloaded: 'yes', pulled: 'asks' },
    {
      policy: 'NeverVerifyAllowlistedImages',
      allowlist: ['r.test/we', 'other.test/*'],
      preloaded: 'asks',
      pulled: 'asks',
    },
    { policy: 'AlwaysVerify', allowlist: [], preloaded: 'asks', pulled: 'asks' },
  ] as const)('$policy $allowlist: preloaded $preloaded, pulled $pulled', async ({ policy, allowlist, ...want }) => {
    images = await openImages({ verification: { isOn: true, policy, allowlist } });
    there.add(name);
    expect(await ensure(name, 'IfNotPresent', { uid: 'one' })).toEqual(outcomes[want.preloaded]);
    await ensure(name, 'Always', { secrets: [good], uid: 'two' });
    expect(await ensure(name, 'IfNotPresent', { uid: 'three' })).toEqual(outcomes[want.pulled]);
  });

  it('is anybody’s with the gate off, and the event says nothing of access', async () => {
    images = await openImages({ verification: { isOn: false, policy: 'NeverVerifyPreloadedImages', allowlist: [] } });
    await ensure(name, 'IfNotPresent', { secrets: [good], uid: 'one' });
    expect(await ensure(name, 'IfNotPresent', { uid: 'two' })).toEqual(outcomes.yes);
    expect(calls.at(-1)).toBe(`Normal Pulled: Container image "${name}" already present on machine`);
  });
});

describe('pulls at once', () => {
  it.each([
    { max: 1, want: 1 },
    { max: 2, want: 2 },
    { max: Infinity, want: 3 },
  ])('at most $max, and each pod has its own pull and events', async ({ max, want }) => {
    images = await openImages({ max });
    const gates = [gate(), gate(), gate()];
    let began = 0;
    pull = async (name) => {
      await gates[began++]?.wait();
      there.add(name);
    };
    const all = Promise.all(['1', '2', '3'].map((uid) => ensure('a:1', 'IfNotPresent', { uid })));
    await until('the pulls', () => began === want);
    await clock.advance(1000);
    expect(began).toBe(want);
    for (const one of gates) one.open();
    expect(await all).toEqual([present('a:1'), present('a:1'), present('a:1')]);
    expect(calls.filter((call) => call.startsWith('Normal Pulled'))).toHaveLength(3);
    expect(spans.filter((span) => span === 'wait to pull a:1')).toHaveLength(3 - want);
  });

  it('tells the waiting apart from the pull', async () => {
    pull = async (name) => {
      await clock.advance(1000);
      there.add(name);
    };
    await Promise.all([ensure('a:1'), ensure('b:1')]);
    expect(calls).toContain(
      'Normal Pulled: Successfully pulled image "b:1" in 1s (2s including waiting). Image size: 42 bytes.',
    );
  });

  it('one that hangs holds up the others for a minute, and then no longer', async () => {
    const hang = gate();
    pull = (name) => (name === 'stuck:1' ? hang.wait() : Promise.resolve(void there.add(name)));
    const stuck = ensure('stuck:1');
    await until('the pull', () => pulls().length === 1);
    const others = Promise.all(['a:1', 'b:1'].map((name) => ensure(name)));
    await until('the others wait', () => spans.includes('wait to pull b:1'));
    await clock.advance(overdueMs - 1);
    expect(pulls()).toEqual(['pull stuck:1']);
    await clock.advance(1);
    expect(await others).toEqual([present('a:1'), present('b:1')]);
    there.add('stuck:1');
    hang.open();
    expect(await stuck).toEqual(present('stuck:1'));
  });
});

it('tells by how much the disk has filled while an image is pulled', async () => {
  const hold = gate();
  pull = async (name) => {
    await hold.wait();
    there.add(name);
  };
  expect(await images.pullFilledBytes('uid-1', signal)).toBeUndefined();
  const pulling = ensure('slow:1');
  await expect.poll(pulls).toHaveLength(1);
  expect(await images.pullFilledBytes('uid-1', signal)).toBe(0);
  freeBytes.set('/images', 2_000_000);
  expect(await images.pullFilledBytes('uid-1', signal)).toBe(7_000_000);
  expect(await images.pullFilledBytes('uid-2', signal)).toBeUndefined();
  freeBytes.set('/images', 10_000_000); // somebody else has removed something
  expect(await images.pullFilledBytes('uid-1', signal)).toBe(0);
  hold.open();
  await pulling;
  expect(await images.pullFilledBytes('uid-1', signal)).toBeUndefined();
});
