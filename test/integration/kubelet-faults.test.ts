/** What a node goes through: reboots, a runtime that answers nobody, calls that hang until their deadline. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodes } from '../../src/client/resource-types.ts';
import type { Pod } from '../../src/objects/generated/core-v1.ts';
import { type KubeletFixture, apiPod, conditionOf, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';
import { MortalKubelet } from './mortal-kubelet.ts';

let t: KubeletFixture;

beforeEach(async () => {
  t = await openFixture();
});
afterEach(async () => {
  await t.close();
});

const changes =
  /^(RunPodSandbox|StopPodSandbox|RemovePodSandbox|CreateContainer|StartContainer|StopContainer|RemoveContainer)$/;
const changesMade = (): string[] => t.cri.calls.map(({ method }) => method).filter((method) => changes.test(method));
const nodeReady = (): { status: string; message?: string | undefined } | undefined =>
  t.api.find(nodes, undefined, nodeName)?.status?.conditions?.find(({ type }) => type === 'Ready');

describe('a pod that cannot be looked at when the kubelet starts', () => {
  it.each(['hangs', 'fails'])('%s: it is neither started again nor ended nor refused, and goes on', async (how) => {
    const first = await MortalKubelet.start(t);
    t.api.addPod(apiPod('web', { nodeSelector: { 'kubernetes.io/os': 'linux' } }), nodeName);
    await t.untilReady('web');
    await t.clock.pass(3000);
    await first.kill();
    const before = t.api.pod('web')?.status;
    const ids = t.cri.sandboxesOfPod('web').map(({ id }) => id);
    const isWeb = (request: unknown): boolean => ids.some((id) => JSON.stringify(request).includes(id));
    const hang = how === 'hangs' ? t.cri.hang('PodSandboxStatus', isWeb) : undefined;
    if (hang === undefined) t.cri.failNext('PodSandboxStatus', 'UNKNOWN', 'broken', Infinity, isWeb);
    t.cri.clearCalls();
    await MortalKubelet.start(t);
    t.api.addPod(apiPod('other'), nodeName);
    await t.untilReady('other');
    t.api.deletePod('other', 1);
    await t.untilGone('other');
    await t.clock.pass(12_000);
    expect(t.cri.callsOf('RunPodSandbox')).toHaveLength(1); // the other's
    expect(t.cri.containersOfPod('web').map(({ state }) => state)).toEqual(['running']);
    expect(t.api.pod('web')?.status).toEqual(before);
    hang?.release();
    t.cri.faults.stopFailing();
    await t.clock.pass(20_000);
    expect(t.cri.containersOfPod('web').map(({ state }) => state)).toEqual(['running']);
    expect(t.api.pod('web')?.status).toEqual(before);
    t.api.deletePod('web', 1);
    await t.untilGone('web');
  });

  it('and that nobody asks for any more: its volumes stay until it is ended', async () => {
    const first = await MortalKubelet.start(t);
    const pod = t.api.addPod(
      apiPod('web', {
        containers: [webContainer({ volumeMounts: [{ name: 'data', mountPath: '/data' }] })],
        volumes: [{ name: 'data', emptyDir: {} }],
      }),
      nodeName,
    );
    await t.untilReady('web');
    await first.kill();
    t.api.deletePod('web', 0);
    const hang = t.cri.hang('ContainerStatus');
    await MortalKubelet.start(t);
    await hang.whenHung;
    await t.clock.pass(20_000);
    const directory = join(t.directory, 'root', 'pods', pod.metadata.uid ?? '', 'etc-hosts');
    expect(await readFile(directory, 'utf8')).toContain('web');
    expect(t.cri.containersOfPod('web').map(({ state }) => state)).toEqual(['running']);
    hang.release();
    await t.until('the pod to be ended and collected', () => t.cri.sandboxesOfPod('web').length === 0, 120_000);
  });
});

describe('a runtime that does not list its pods', () => {
  it.each(['ListPodSandbox', 'ListContainers'])('%s: the node is not ready, says why, and recovers', async (method) => {
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    await t.until('the node to be ready', () => nodeReady()?.status === 'True');
    const before = t.api.pod('web')?.status;
    const hang = t.cri.hang(method);
    await hang.whenHung;
    t.clock.warp(175_000);
    const words = /^PLEG is not healthy: pleg was last seen active 3m\d+(\.\d+)?s ago; threshold is 3m0s$/;
    await t.until('the node to say so', () => words.test(nodeReady()?.message ?? ''), 300_000);
    expect(nodeReady()?.status).toBe('False');
    hang.release();
    await t.until('the node to be ready again', () => nodeReady()?.status === 'True');
    expect(t.api.pod('web')?.status).toEqual(before);
  });
});

describe('a call that hangs until its deadline', () => {
  it.each([
    {
      method: 'RunPodSandbox',
      event:
        'FailedCreatePodSandBox: Failed to create pod sandbox: rpc error: code = DeadlineExceeded desc = context deadline exceeded',
    },
    { method: 'CreateContainer', event: 'Failed: Error: context deadline exceeded' },
    { method: 'StartContainer', event: 'Failed: Error: context deadline exceeded' },
    {
      method: 'ContainerStatus',
      event:
        'FailedSync: error determining status: rpc error: code = DeadlineExceeded desc = context deadline exceeded',
    },
  ])('$method: the pod says so, and is tried again', async ({ method, event }) => {
    await t.start({ settings: { runtimeRequestTimeout: '1s' } });
    const hang = t.cri.hang(method);
    t.api.addPod(apiPod('web'), nodeName);
    await t.until('its event', () => t.api.eventsOf('web').includes(event), 300_000);
    hang.release();
    await t.untilReady('web');
    expect(t.cri.containersOfPod('web').filter(({ state }) => state === 'running')).toHaveLength(1);
    expect(t.cri.sandboxesOfPod('web').filter(({ isReady }) => isReady)).toHaveLength(1);
  });
});

describe('a control group that cannot be made', () => {
  it('is told, and keeps its pod from starting until it can', async () => {
    await t.start();
    t.api.addPod(apiPod('first'), nodeName);
    await t.untilReady('first');
    const place = join(t.directory, 'cgroup', 'kubepods', 'besteffort');
    await rename(place, `${place}.away`);
    await writeFile(place, ''); // no folder
    t.api.addPod(apiPod('web'), nodeName);
    const said = /^FailedCreatePodContainer: unable to ensure pod container exists: /;
    await t.until('word of it', () => t.api.eventsOf('web').some((event) => said.test(event)));
    expect(t.cri.sandboxesOfPod('web')).toEqual([]);
    await rm(place);
    await rename(`${place}.away`, place);
    await t.untilReady('web');
  });
});

describe('a reboot', () => {
  /** Nothing runs, `/run` and the control groups are empty; the disk is as it was. */
  async function reboot(): Promise<void> {
    for (const { id, state } of t.cri.runtime.containers.values()) {
      if (state === 'running') t.cri.exitContainer(id, 255, 'Unknown');
    }
    for (const sandbox of t.cri.runtime.sandboxes.values()) {
      t.cri.killSandbox(sandbox.id);
      sandbox.hasNetwork = false;
    }
    await rm(join(t.directory, 'cgroup', 'kubepods'), { recursive: true, force: true });
  }

  const staticName = `static-${nodeName}`;
  async function runPods(): Promise<void> {
    t.cri.behave({ name: 'init' }, { exits: { afterMs: 50, code: 0 } });
    t.cri.behave({ pod: 'job' }, { exits: { afterMs: 50, code: 0 } });
    t.api.addPod(
      apiPod('web', {
        initContainers: [
          { name: 'init', image: 'init:1' },
          { name: 'side', image: 'web:1', restartPolicy: 'Always' },
        ],
        containers: [webContainer({ readinessProbe: { exec: { command: ['ready'] }, periodSeconds: 2 } })],
      }),
      nodeName,
    );
    t.api.addPod(apiPod('once', { restartPolicy: 'Never' }), nodeName);
    t.api.addPod(apiPod('job', { restartPolicy: 'OnFailure' }), nodeName);
    await t.writeManifest('static.json', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'static' },
      spec: { containers: [webContainer()] },
    });
    for (const name of ['web', 'once', staticName]) await t.untilReady(name);
    await t.until('the job to be done', () => t.api.pod('job')?.status?.phase === 'Succeeded');
  }

  const restartsOf = (pod: Pod | undefined): Array<[string, number]> =>
    [...(pod?.status?.initContainerStatuses ?? []), ...(pod?.status?.containerStatuses ?? [])].map(
      ({ name, restartCount }) => [name, restartCount],
    );

  async function expectBack(): Promise<void> {
    await t.until(
      'the pod to be back',
      () => conditionOf(t.api.pod('web'), 'Ready') === 'True' && t.container('web', 'web')?.restartCount === 1,
    );
    await t.until('the static pod to be back', () => t.container(staticName, 'web')?.restartCount === 1);
    await t.untilReady(staticName);
    await t.until('the one that never restarts to be over', () => t.api.pod('once')?.status?.phase === 'Failed');
    expect(restartsOf(t.api.pod('web'))).toEqual([
      ['init', 1],
      ['side', 1],
      ['web', 1],
    ]);
    expect(t.container('web', 'web')?.lastState?.terminated?.exitCode).toBe(255);
    expect(t.container('once', 'web')).toMatchObject({ restartCount: 0, state: { terminated: { exitCode: 255 } } });
    expect(t.api.pod('job')?.status?.phase).toBe('Succeeded');
    for (const name of ['web', staticName]) {
      expect(
        t.cri
          .sandboxesOfPod(name)
          .filter(({ isReady }) => isReady)
          .map(({ config }) => config.metadata?.attempt),
      ).toEqual([1]);
    }
    expect(t.cri.containersOfPod('job').length).toBeLessThanOrEqual(1);
  }

  it('brings containers back once, with one restart more', async () => {
    const first = await MortalKubelet.start(t);
    await runPods();
    await first.kill();
    await reboot();
    await MortalKubelet.start(t);
    await expectBack();
    await t.clock.pass(10_000);
    await expectBack();
  });

  it('without the API: static pods come back at once, the others when it is there', async () => {
    const first = await MortalKubelet.start(t);
    await runPods();
    await first.kill();
    await reboot();
    t.api.setAway(true);
    t.cri.clearCalls();
    await MortalKubelet.start(t);
    await t.until('the static pod to run', () =>
      t.cri.containersOfPod(staticName).some(({ state }) => state === 'running'),
    );
    await t.clock.pass(10_000);
    expect(t.cri.callsOf('RunPodSandbox')).toHaveLength(1);
    expect(changesMade().filter((method) => method.startsWith('Remove'))).toEqual([]);
    t.api.setAway(false);
    await expectBack();
  });
});

describe('a restart of the kubelet while an image cannot be pulled', () => {
  it('goes on with the back-off, and shows the pod as it was shown', async () => {
    const first = await MortalKubelet.start(t);
    t.api.addPod(apiPod('web', { containers: [webContainer({ image: 'missing:1' })] }), nodeName);
    const pulls = (): number[] => t.cri.callsOf('PullImage').map(({ atMs }) => atMs);
    await t.until('the third pull', () => pulls().length >= 3, 120_000);
    await t.clock.pass(8000); // it has failed, and that is told
    expect(t.container('web', 'web')?.state?.waiting?.reason).toMatch(/^(ErrImagePull|ImagePullBackOff)$/);
    await first.kill();
    const before = t.api.pod('web')?.status;
    t.api.podPatches.length = 0;
    await MortalKubelet.start(t);
    await t.until('one more pull', () => pulls().length >= 4, 120_000);
    const [, , third = 0, fourth = 0] = pulls();
    expect(fourth - third).toBeGreaterThanOrEqual(40_000);
    expect(
      t.api.podPatches.filter(({ status }) => JSON.stringify(status) !== JSON.stringify(before)).slice(0, -1),
    ).toEqual([]);
  });
});
