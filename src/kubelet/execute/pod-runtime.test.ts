import { existsSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  exited,
  testContainer,
  testInstance,
  testObserved,
  testPod,
  testSandbox,
} from '../../../test/fixtures/kubelet-pods.ts';
import type { CriImage } from '../../adapters/cri/cri-types.ts';
import { FakeClock } from '../../base/clock.ts';
import { RpcError } from '../../base/grpc.ts';
import type { Container, Pod } from '../../objects/generated/core-v1.ts';
import type { ContainerKind, ObservedPod, PodContainer } from '../pod-model.ts';
import type { PodAction } from './compute-pod-actions.ts';
import { CrashBackoff } from './crash-backoff.ts';
import { type ExecuteOutcome, type ImageOutcome, PodRuntime } from './pod-runtime.ts';

const signal = new AbortController().signal;
const image: CriImage = {
  id: 'sha256:1',
  repoTags: [],
  repoDigests: [],
  sizeBytes: 1,
  uid: undefined,
  username: '',
  pinned: false,
};
let root: string;
let clock: FakeClock;
let calls: string[];
let counted: string[];
let sandboxIp: string;
let logged: string[];
let failures: Map<string, Error>;
let images: Map<string, ImageOutcome>;
let partsError: Error | undefined;
let onCall: (call: string) => void;
let runtime: PodRuntime;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gantry-runtime-'));
  clock = new FakeClock();
  calls = [];
  counted = [];
  logged = [];
  sandboxIp = '10.0.0.7';
  failures = new Map();
  images = new Map();
  partsError = undefined;
  onCall = () => {};
  const say = (call: string): Promise<void> => {
    calls.push(call);
    onCall(call);
    const failure = failures.get(call.split(' ')[0] ?? '') ?? failures.get(call);
    return failure === undefined ? Promise.resolve() : Promise.reject(failure);
  };
  runtime = new PodRuntime({
    cri: {
      runPodSandbox: (config, handler) =>
        say(`run-sandbox ${config.metadata?.attempt}${handler}`).then(() => 'sandbox-new'),
      stopPodSandbox: (id) => say(`stop-sandbox ${id}`),
      podSandboxStatus: (id) => say(`status ${id}`).then(() => testSandbox({ id, ip: sandboxIp })),
      createContainer: (sandbox, { metadata, image: spec }) =>
        say(`create ${metadata?.name} ${metadata?.attempt} in ${sandbox} from ${spec?.image}`).then(
          () => `${metadata?.name}-new`,
        ),
      startContainer: (id) => say(`start ${id}`),
      stopContainer: (id, timeout) => say(`stop ${id} ${timeout}`),
      removeContainer: (id) => say(`remove ${id}`),
      execSync: (id, command) =>
        say(`exec ${id} ${command.join(' ')}`).then(() => ({
          exitCode: command[0] === 'fail' ? 1 : 0,
          stdout: Buffer.from(''),
          stderr: Buffer.from(''),
        })),
    },
    ensureImage: (_, { spec }) => Promise.resolve(images.get(spec.name) ?? { kind: 'present', image }),
    ensureVolumeImage: (_, { reference = '' }) => {
      calls.push(`ensure ${reference}`);
      return Promise.resolve(images.get(reference) ?? { kind: 'present', image });
    },
    runtimeName: () => 'containerd 1.6.20',
    sandboxParts: () =>
      Promise.resolve({
        hostname: 'web',
        dns: {},
        cgroupParent: '/c',
        resources: {},
        overhead: {},
        security: {},
        sysctls: {},
        runtimeHandler: '',
      }),
    containerParts: (_, { spec }, { podIps }) => {
      if (partsError !== undefined) return Promise.reject(partsError);
      calls.push(`parts ${spec.name} ${podIps.join(',')}`);
      return Promise.resolve({
        command: [],
        args: [],
        envs: [],
        mounts: [],
        devices: [],
        resources: {},
        security: {},
        cleanup: () => Promise.resolve(void calls.push(`cleanup ${spec.name}`)),
      });
    },
    resizePod: () => say('resize-pod'),
    told: (pod) => pod.status,
    onStarts: () => Promise.resolve(),
    onSandboxReady: (_, { id }) => calls.push(`ready ${id}`),
    pacer: { run: (_stage, work) => work() },
    crashBackoff: new CrashBackoff(clock, 300_000),
    counts: {
      podStarts: (hasUserNamespace) => counted.push(`pod ${hasUserNamespace}`),
      podFailed: (hasUserNamespace) => counted.push(`pod failed ${hasUserNamespace}`),
      sandboxMade: (handler, ms, hasFailed) => counted.push(`sandbox ${handler} ${ms} ${hasFailed}`),
      containerStarts: (kind) => counted.push(kind),
      containerFailed: (kind, reason) => counted.push(`${kind} ${reason}`),
      imagesMounted: (count, hasFailed) => counted.push(...(count === 0 ? [] : [`mounted ${count} ${hasFailed}`])),
    },
    events: {
      pod: (_, type, reason, message) => calls.push(`${type} ${reason}: ${message}`),
      container: (_, kind, name, type, reason, message) => calls.push(`${type} ${reason} ${kind} ${name}: ${message}`),
    },
    phases: { span: (_, __, work) => work() },
    podLogsDir: join(root, 'pods'),
    containerLogsDir: join(root, 'links'),
    clock,
    log: pino({ level: 'warn' }, { write: (line) => logged.push(line) }),
  });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const execute = (
  actions: PodAction[],
  { pod = testPod(), observed = undefined as ObservedPod | undefined, interrupt = signal } = {},
): Promise<ExecuteOutcome> => runtime.execute(pod, observed, actions, interrupt, signal);
const start = (name: string, more: Partial<Container> = {}, kind: ContainerKind = 'regular'): PodAction => ({
  kind: 'start-container',
  container: { kind, spec: testContainer(name, more) } satisfies PodContainer,
});
const rpc = (details: string): RpcError => new RpcError('Unknown', details);

describe('a fresh pod', () => {
  it('gets sandbox, status, word of it, and its containers in order', async () => {
    const log = join(root, 'pods/default_web_uid-1/a/0.log');
    onCall = (call) => {
      if (call === 'start a-new') writeFileSync(log, ''); // the other one logs nothing to a file
    };
    const outcome = await execute([{ kind: 'create-sandbox', attempt: 1 }, start('a'), start('b')]);
    expect(calls).toEqual([
      'run-sandbox 1',
      'status sandbox-new',
      'ready sandbox-new',
      'parts a 10.0.0.7',
      'create a 0 in sandbox-new from sha256:1',
      'Normal Created regular a: Container created',
      'start a-new',
      'Normal Started regular a: Container started',
      'parts b 10.0.0.7',
      'create b 0 in sandbox-new from sha256:1',
      'Normal Created regular b: Container created',
      'start b-new',
      'Normal Started regular b: Container started',
    ]);
    expect(outcome).toMatchObject({ didAnything: true, started: ['a', 'b'], error: undefined, retryAtMs: undefined });
    expect(await readdir(join(root, 'pods/default_web_uid-1'))).toEqual(['a', 'b']);
    expect(await readdir(join(root, 'links'))).toEqual(['web_default_a-a-new.log']);
    expect(await readlink(join(root, 'links/web_default_a-a-new.log'))).toBe(log);
  });

  it.each([
    {
      call: 'run-sandbox',
      want: 'Warning FailedCreatePodSandBox: Failed to create pod sandbox: rpc error: code = Unknown desc = no network',
    },
    {
      call: 'status',
      want: 'Warning FailedPodSandBoxStatus: Unable to get pod sandbox status: rpc error: code = Unknown desc = no network',
    },
  ])('without a sandbox nothing follows: $call', async ({ call, want }) => {
    failures.set(call, new Error('Cannot do it', { cause: rpc('no network') }));
    const outcome = await execute([{ kind: 'create-sandbox', attempt: 0 }, start('a')]);
    expect(calls.at(-1)).toBe(want);
    expect(outcome.error?.message).toBe('Cannot do it');
    expect(outcome.started).toEqual([]);
  });
});

describe('counts', () => {
  it.each([
    {
      name: 'a pod that starts',
      spec: {},
      failing: '',
      want: ['pod false', 'sandbox  0 false', 'regular', 'ephemeral'],
    },
    {
      name: 'a pod without a sandbox',
      spec: { hostUsers: false },
      failing: 'run-sandbox',
      want: ['pod true', 'sandbox  0 true', 'pod failed true'],
    },
    {
      name: 'containers that do not start',
      spec: {},
      failing: 'start',
      want: [
        'pod false',
        'sandbox  0 false',
        'regular',
        'regular RunContainerError',
        'ephemeral',
        'ephemeral RunContainerError',
      ],
    },
  ])('$name', async ({ spec, failing, want }) => {
    failures.set(failing, rpc('no'));
    const actions = [{ kind: 'create-sandbox', attempt: 0 } as const, start('a'), start('e', {}, 'ephemeral')];
    await execute(actions, { pod: testPod(spec) });
    expect(counted).toEqual(want);
  });
});

describe('starting a container', () => {
  const observed = testObserved([]);

  it.each([
    {
      name: 'image',
      prepare: () => images.set('a', { kind: 'failed', reason: 'ErrImagePull', message: 'no such image' }),
      want: { reason: 'ErrImagePull', message: 'no such image' },
      event: 'Warning Failed regular a: Error: ErrImagePull',
    },
    {
      name: 'configuration',
      prepare: () => void (partsError = new Error('secret "x" not found')),
      want: { reason: 'CreateContainerConfigError', message: 'secret "x" not found' },
      event: 'Warning Failed regular a: Error: secret "x" not found',
    },
    {
      name: 'create',
      prepare: () => failures.set('create', rpc('no room')),
      want: { reason: 'CreateContainerError', message: 'no room' },
      event: 'Warning Failed regular a: Error: no room',
    },
    {
      name: 'start',
      prepare: () => failures.set('start', rpc('exec: "x": not found')),
      want: { reason: 'RunContainerError', message: 'exec: "x": not found' },
      event: 'Warning Failed regular a: Error: exec: "x": not found',
    },
    {
      name: 'start, told by its id',
      prepare: () => failures.set('start', rpc('task a-new: a-new ended')),
      want: { reason: 'RunContainerError', message: 'task a-new: a-new ended' },
      event: 'Warning Failed regular a: Error: task a: a ended',
    },
  ])('a failure of its $name is told, and does not stop the others', async ({ prepare, want, event }) => {
    prepare();
    const outcome = await execute([start('a')], { observed });
    expect(outcome.failures.get('a')).toEqual(want);
    expect(calls).toContain(event);
    failures.clear();
    partsError = undefined;
    expect((await execute([start('b')], { observed })).started).toEqual(['b']);
  });

  it('one failing regular container does not prevent the next; a failing init container does, a sidecar not', async () => {
    images.set('a', { kind: 'failed', reason: 'ErrImagePull', message: 'x', retryAtMs: 5 });
    expect(await execute([start('a'), start('b')], { observed })).toMatchObject({
      started: ['b'],
      retryAtMs: 5,
      error: { message: 'Cannot start container "a": ErrImagePull: x' },
    });
    expect((await execute([start('a', {}, 'sidecar'), start('c')], { observed })).started).toEqual(['c']);
    expect((await execute([start('a', {}, 'init'), start('d')], { observed })).started).toEqual([]);
  });

  it('leaves what lies behind a configuration that cannot be made to the log', async () => {
    partsError = new Error("couldn't parse env file", {
      cause: new SyntaxError('line 3: the closing quote is missing'),
    });
    const outcome = await execute([start('a')], { observed });
    expect(outcome.failures.get('a')?.message).toBe("couldn't parse env file");
    expect(logged).toEqual([expect.stringContaining("couldn't parse env file: line 3: the closing quote is missing")]);
    partsError = new Error('secret "x" not found');
    await execute([start('a')], { observed });
    expect(logged).toHaveLength(1);
  });

  it('takes back what was made for a container that could not be created', async () => {
    failures.set('create', rpc('x'));
    await execute([start('a')], { observed });
    expect(calls).toContain('cleanup a');
  });

  it.each([
    { name: 'one image', pulls: { a: 60_000 }, breaks: false, want: 60_000 },
    { name: 'the first of two images', pulls: { a: 60_000, b: 20_000 }, breaks: false, want: 20_000 },
    { name: 'an image beside what fails otherwise', pulls: { a: 60_000 }, breaks: true, want: undefined },
    { name: 'nothing but what fails otherwise', pulls: {}, breaks: true, want: undefined },
  ])('waits as long as it has to: for $name', async ({ pulls, breaks, want }) => {
    for (const [name, ms] of Object.entries(pulls)) {
      const retryAtMs = clock.nowMs() + ms;
      images.set(name, { kind: 'failed', reason: 'ImagePullBackOff', message: 'x', retryAtMs });
    }
    if (breaks) failures.set('start', rpc('x'));
    const { retryAtMs } = await execute([start('a'), start('b')], { observed });
    expect(retryAtMs).toBe(want === undefined ? undefined : clock.nowMs() + want);
  });

  it('waits out the back-off of a container that crashed', async () => {
    const ended = testObserved([exited('a', 1, { finishedAtNs: BigInt(clock.nowMs()) * 1_000_000n })]);
    expect((await execute([start('a')], { observed: ended })).started).toEqual(['a']);
    calls.length = 0;
    const outcome = await execute([start('a')], { observed: ended });
    expect(calls).toEqual([
      'Warning BackOff regular a: Back-off restarting failed container a in pod web_default(uid-1)',
    ]);
    expect(counted).toEqual(['regular']); // who waits does not start
    expect(outcome).toMatchObject({ didAnything: false, retryAtMs: clock.nowMs() + 10_000 });
    expect(outcome.failures.get('a')).toEqual({
      reason: 'CrashLoopBackOff',
      message: 'back-off 10s restarting failed container=a pod=web_default(uid-1)',
    });
  });

  it('counts on from the instance before it, or from the logs that are left', async () => {
    await execute([start('a')], { observed: testObserved([exited('a', 1, { attempt: 4 })]) });
    expect(calls).toContain('create a 5 in sandbox-0 from sha256:1');
    await mkdir(join(root, 'pods/default_web_uid-1/b'), { recursive: true });
    await writeFile(join(root, 'pods/default_web_uid-1/b/7.log'), '');
    await execute([start('b')], { observed });
    expect(calls).toContain('create b 8 in sandbox-0 from sha256:1');
  });

  it('a postStart hook holds up what follows', async () => {
    const outcome = await execute(
      [start('a', { lifecycle: { postStart: { exec: { command: ['ok'] } } } }), start('b')],
      { observed },
    );
    expect(calls.indexOf('exec a-new ok')).toBeLessThan(calls.findIndex((call) => call.startsWith('create b')));
    expect(outcome.started).toEqual(['a', 'b']);
  });

  it('a failed postStart hook ends the container', async () => {
    const outcome = await execute([start('a', { lifecycle: { postStart: { exec: { command: ['fail'] } } } })], {
      observed,
    });
    expect(calls.slice(-3)).toEqual([
      'Warning FailedPostStartHook regular a: PostStartHook failed',
      'Normal Killing regular a: FailedPostStartHook',
      'stop a-new 30',
    ]);
    expect(outcome.failures.get('a')?.reason).toBe('PostStartHookError');
    expect(outcome.failures.get('a')?.message).toMatch(
      /^Exec lifecycle hook \(\[fail\]\) for Container "a" in Pod "web_default\(uid-1\)" failed - error: /,
    );
  });

  it('a failed postStart hook ends the container with its preStop hook, at the address that its sandbox has by now', async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const preStop = { httpGet: { path: '/bye', port } };
    sandboxIp = '127.0.0.1';
    const lifecycle = { postStart: { exec: { command: ['fail'] } }, preStop };
    const pod = testPod({ containers: [testContainer('a', { lifecycle })] });
    await execute([{ kind: 'create-sandbox', attempt: 0 }, start('a', { lifecycle })], { pod });
    expect([asked, calls.at(-1)]).toEqual([['/bye'], 'stop a-new 30']);
    await new Promise((resolve) => server.close(resolve));
  });

  it('an ephemeral container has no hooks', async () => {
    await execute([start('e', { lifecycle: { postStart: { exec: { command: ['fail'] } } } }, 'ephemeral')], {
      observed,
    });
    expect(calls).not.toContain('exec e-new fail');
  });
});

describe('ending', () => {
  it('says that the sandbox changed, ends the pod, and goes on with the new one', async () => {
    const observed = testObserved([testInstance('web')], [testSandbox({ isReady: false })]);
    await execute(
      [
        { kind: 'kill-pod', sandboxChanged: true },
        { kind: 'create-sandbox', attempt: 1 },
      ],
      { observed },
    );
    expect(calls).toEqual([
      'Normal SandboxChanged: Pod sandbox changed, it will be killed and re-created.',
      'Normal Killing regular web: Stopping container web',
      'stop web-0 30',
      'stop-sandbox sandbox-0',
      'run-sandbox 1',
      'status sandbox-new',
      'ready sandbox-new',
    ]);
  });

  it('a pod that cannot be killed gets nothing new', async () => {
    failures.set('stop-sandbox', new Error('busy'));
    const outcome = await execute(
      [
        { kind: 'kill-pod', sandboxChanged: false },
        { kind: 'create-sandbox', attempt: 1 },
      ],
      { observed: testObserved([], [testSandbox()]) },
    );
    expect(calls).toEqual(['stop-sandbox sandbox-0']);
    expect(outcome.error?.message).toBe('failed to "KillPodSandbox" for "uid-1" with KillPodSandboxError: "busy"');
  });

  it('a container that cannot be killed is not started again', async () => {
    failures.set('stop', new Error('busy'));
    const kill: PodAction = {
      kind: 'kill-container',
      containerId: 'web-0',
      name: 'web',
      message: 'why',
      cause: 'other',
    };
    await execute([kill, start('web')], { observed: testObserved([testInstance('web')]) });
    expect(calls).toEqual(['Normal Killing regular web: why', 'stop web-0 30']);
  });

  it.each([
    { keepLogs: false, left: ['1.log'] },
    { keepLogs: true, left: ['0.log', '0.log.20260101-000000.gz', '1.log'] },
  ])(
    'an old container goes with its logs, rotated ones too, unless they are kept: $keepLogs',
    async ({ keepLogs, left }) => {
      const folder = join(root, 'pods', 'p', 'web');
      await mkdir(folder, { recursive: true });
      for (const name of ['0.log', '0.log.20260101-000000.gz', '1.log']) await writeFile(join(folder, name), '');
      const observed = testObserved([exited('web', 0, { logPath: join(folder, '0.log') })]);
      const remove: PodAction = { kind: 'remove-container', containerId: 'web-0', name: 'web', keepLogs };
      await execute([remove], { observed });
      expect(calls).toEqual(['remove web-0']);
      expect((await readdir(folder)).toSorted()).toEqual(left);
    },
  );

  it('a container that starts over with all others goes at once, keeps its log, and says why it waits', async () => {
    await writeFile(join(root, '0.log'), '');
    const observed = testObserved([testInstance('b'), exited('web', 42, { logPath: join(root, '0.log') })]);
    const outcome = await execute(
      [
        { kind: 'kill-container', containerId: 'b-0', name: 'b', message: 'killing', cause: 'other', graceSeconds: 0 },
        { kind: 'reset-container', containerId: 'web-0', name: 'web', hasAsked: true },
      ],
      { observed },
    );
    expect(calls).toEqual(['Normal Killing regular b: killing', 'stop b-0 2', 'remove web-0']);
    expect(outcome.failures.get('web')).toEqual({
      reason: 'RestartingAllContainers',
      message: 'The container is removed because RestartAllContainers in place',
    });
    expect(existsSync(join(root, '0.log'))).toBe(true);
    failures.set('remove', new Error('busy'));
    const reset: PodAction = { kind: 'reset-container', containerId: 'web-0', name: 'web', hasAsked: false };
    const failed = await execute([reset, { ...reset, containerId: 'web-1' }], { observed });
    expect(calls.slice(3)).toEqual(['remove web-0']);
    expect(failed.error?.message).toBe('busy');
  });

  it('one that cannot be removed stays with its log, and the rest goes on', async () => {
    failures.set('remove', new Error('busy'));
    await writeFile(join(root, '0.log'), '');
    const observed = testObserved([exited('web', 0, { logPath: join(root, '0.log') })]);
    const outcome = await execute(
      [{ kind: 'remove-container', containerId: 'web-0', name: 'web', keepLogs: false }, start('b')],
      { observed },
    );
    expect(existsSync(join(root, '0.log'))).toBe(true);
    expect(outcome.started).toEqual(['b']);
  });
});

it('an interrupt ends the turn after the action in progress, which goes to its end', async () => {
  const interrupt = new AbortController();
  onCall = (call) => {
    if (call.startsWith('create')) interrupt.abort(new Error('the pod is to end'));
  };
  const pod: Pod = testPod();
  await expect(
    execute([start('a'), start('b')], { pod, observed: testObserved([]), interrupt: interrupt.signal }),
  ).rejects.toThrow('the pod is to end');
  expect(calls).toContain('start a-new');
  expect(calls).not.toContainEqual(expect.stringContaining('create b'));
});
