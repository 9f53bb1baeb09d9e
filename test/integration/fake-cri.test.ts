/** The levers of the fake runtime; what it shares with a real one is in the CRI contract. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Cri } from '../../src/adapters/cri/cri.ts';
import { FakeClock } from '../../src/base/clock.ts';
import { isDeadline, isUnavailable } from '../../src/base/errors.ts';
import { rpcText } from '../../src/base/grpc.ts';
import { awaitUntil } from '../await-until.ts';
import { PodsUnderTest } from '../contracts/cri-pods.ts';
import { type FakeCri, openFakeCri } from '../fakes/fake-cri.ts';

const signal = new AbortController().signal;
const image = 'example.org/busybox:1';
let fake: FakeCri;
let clock: FakeClock;
let cri: Cri;
let pods: PodsUnderTest;
let directory: string;

beforeEach(async () => {
  clock = new FakeClock();
  fake = await openFakeCri({ clock, ipPool: ['10.0.0.2', '10.0.0.3'] });
  fake.images.add(image);
  directory = await mkdtemp(join(tmpdir(), 'gantry-fake-cri-'));
  cri = new Cri({ endpoint: fake.endpoint, requestTimeoutMs: 2_000 });
  pods = new PodsUnderTest({ cri, busyboxImage: image, logRoot: directory });
});
afterEach(async () => {
  cri.close();
  await fake.close();
  await rm(directory, { recursive: true });
});

const failureText = (work: Promise<unknown>): Promise<string> => work.then(() => 'no failure', rpcText);

describe('the fake runtime', () => {
  it('ends a container as told, found by pod and name', async () => {
    const { pod, containerId } = await pods.running('polite');
    fake.exitContainer({ pod: `contract/${pod.name}`, name: 'polite' }, 137, 'OOMKilled');
    expect(await cri.containerStatus(containerId, signal)).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
  });

  it('moves graces by its clock', async () => {
    fake.behave({ name: 'stubborn' }, { onTerm: 'ignores' });
    const { containerId } = await pods.running('stubborn');
    const asked = fake.nextCall('StopContainer');
    const stop = cri.stopContainer(containerId, 30, signal);
    await asked;
    await clock.advance(29_000);
    expect((await cri.containerStatus(containerId, signal)).state).toBe('running');
    await clock.advance(1_000);
    await stop;
    expect((await cri.containerStatus(containerId, signal)).exitCode).toBe(137);
  });

  it('kills the pause process alone', async () => {
    const { pod, containerId } = await pods.running('polite');
    fake.killSandbox(pod.name);
    expect(await cri.podSandboxStatus(pod.sandboxId, signal)).toMatchObject({ isReady: false, ip: '10.0.0.2' });
    expect((await cri.containerStatus(containerId, signal)).state).toBe('running');
  });

  it('fails as often as told, then goes on', async () => {
    fake.failNext('RunPodSandbox', 'UNAVAILABLE', 'not today', 2);
    const pod = pods.pod();
    expect(await failureText(pod.run())).toBe('rpc error: code = Unavailable desc = not today');
    expect(await pod.run().then(() => false, isUnavailable)).toBe(true);
    await pod.run();
  });

  it('fails only the calls that match', async () => {
    const [first, second] = [pods.pod(), pods.pod()];
    fake.failNext('RunPodSandbox', 'INTERNAL', 'bad pod', 1, (request) => JSON.stringify(request).includes(second.uid));
    await first.run();
    expect(await failureText(second.run())).toContain('bad pod');
  });

  it('hangs until it is released, and only there', async () => {
    const hang = fake.hang('RunPodSandbox');
    const pod = pods.pod();
    const run = pod.run();
    await hang.whenHung;
    expect(hang.hanging).toBe(1);
    await cri.version(signal);
    hang.release();
    await run;
    await pods.pod().run();
  });

  it('a caller that hangs can give up', async () => {
    const hang = fake.hang('Version');
    const stop = new AbortController();
    const call = cri.version(stop.signal);
    await hang.whenHung;
    stop.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
    await awaitUntil('the call to be gone', () => hang.hanging === 0);
  });

  it('a caller that hangs meets its deadline', async () => {
    fake.hang('ListContainers');
    expect(await cri.listContainers({}, signal).then(() => false, isDeadline)).toBe(true);
  });

  it('has conditions as told', async () => {
    fake.setRuntimeReady(false);
    fake.setNetworkReady(false);
    const { conditions } = await cri.status(signal);
    expect(conditions.map(({ type, status, reason }) => ({ type, status, reason }))).toEqual([
      { type: 'RuntimeReady', status: false, reason: 'RuntimeDown' },
      { type: 'NetworkReady', status: false, reason: 'NetworkPluginNotReady' },
    ]);
    expect(await failureText(pods.pod().run())).toContain('cni plugin not initialized');
    await pods.pod({ isHostNetwork: true }).run();
  });

  it('runs out of addresses, and has them again', async () => {
    const first = await pods.started();
    await pods.started();
    const third = pods.pod();
    expect(await failureText(third.run())).toContain('no IP addresses available in range set');
    await cri.removePodSandbox(first.sandboxId, signal);
    expect((await cri.podSandboxStatus(await third.run(), signal)).ip).toBe('10.0.0.2');
  });

  it('is away between stop and start, with everything kept', async () => {
    const { containerId } = await pods.running('polite');
    await fake.stop();
    expect(await cri.version(signal).then(() => false, isUnavailable)).toBe(true);
    await fake.start();
    await awaitUntil('the runtime', () => cri.version(signal));
    expect((await cri.containerStatus(containerId, signal)).state).toBe('running');
  });

  it('pulls what was published', async () => {
    fake.images.publish('web');
    expect(await cri.imageStatus('web', signal)).toBeUndefined();
    const ref = await cri.pullImage('web', {}, undefined, undefined, signal);
    expect(await cri.imageStatus('docker.io/library/web:latest', signal)).toMatchObject({ id: ref });
    await cri.removeImage('web', signal);
    expect(await cri.imageStatus('web', signal)).toBeUndefined();
    expect(await failureText(cri.pullImage('none', {}, undefined, undefined, signal))).toBe(
      'rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/none:latest": ' +
        'failed to resolve reference "docker.io/library/none:latest": docker.io/library/none:latest: not found',
    );
  });

  it('notes every call with its request and time', async () => {
    await cri.updateRuntimeConfig('10.0.0.0/24', signal);
    expect(fake.callsOf('UpdateRuntimeConfig')).toMatchObject([
      { request: { runtime_config: { network_config: { pod_cidr: '10.0.0.0/24' } } }, atMs: clock.nowMs() },
    ]);
    expect(fake.podCidr).toBe('10.0.0.0/24');
    fake.clearCalls();
    expect(fake.calls).toEqual([]);
  });

  it('answers exec by a script', async () => {
    fake.setExecScript((command, { pod }) => ({ exitCode: 1, stdout: `${pod} ${command.join(' ')}` }));
    const pod = await pods.started();
    const id = await pod.create('exits-0');
    await cri.startContainer(id, signal);
    const { exitCode, stdout } = await cri.execSync(id, ['cat', '/x'], 1, signal);
    expect({ exitCode, stdout: stdout.toString() }).toEqual({ exitCode: 1, stdout: `contract/${pod.name} cat /x` });
  });

  it('has stats as told', async () => {
    const { pod, containerId } = await pods.running('polite');
    fake.setStats(containerId, { cpuCoreNanoSeconds: 5, workingSetBytes: 7 });
    const [stats] = await cri.containerStats(pod.uid, signal);
    expect(stats).toMatchObject({
      cpu: { usage_core_nano_seconds: { value: '5' } },
      memory: { working_set_bytes: { value: '7' } },
    });
  });
});
