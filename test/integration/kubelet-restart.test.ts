/** What goes away and comes back (the kubelet, the runtime, the API server) changes nothing for pods that run. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pods } from '../../src/client/resource-types.ts';
import { FaultGate } from '../fakes/fault-gate.ts';
import { MortalKubelet } from './mortal-kubelet.ts';
import { type KubeletFixture, apiPod, conditionOf, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

beforeEach(async () => {
  t = await openFixture();
});
afterEach(async () => {
  await t.close();
});

const changes = [
  'RunPodSandbox',
  'StopPodSandbox',
  'CreateContainer',
  'StartContainer',
  'StopContainer',
  'RemoveContainer',
  'RemovePodSandbox',
];
const changesMade = (): string[] =>
  t.cri.calls.map(({ method }) => method).filter((method) => changes.includes(method));

/** One pod of each sort that shows much in its status. */
async function runPods(): Promise<void> {
  t.cri.behave({ image: 'init:1' }, { exits: { afterMs: 50, code: 0 } });
  t.cri.behave({ pod: 'done' }, { exits: { afterMs: 50, code: 0 } });
  t.cri.setExecScript(() => ({ exitCode: 0 }));
  const probe = { exec: { command: ['ready'] }, periodSeconds: 5 };
  t.api.addPod(apiPod('plain'), nodeName);
  t.api.addPod(
    apiPod('probed', {
      containers: [webContainer({ readinessProbe: probe, startupProbe: probe, livenessProbe: probe })],
    }),
    nodeName,
  );
  t.api.addPod(
    apiPod('init', {
      initContainers: [
        { name: 'one', image: 'init:1' },
        { name: 'side', image: 'web:1', restartPolicy: 'Always' },
      ],
    }),
    nodeName,
  );
  t.api.addPod(apiPod('done', { restartPolicy: 'Never' }), nodeName);
  t.api.addPod(apiPod('rejected', { nodeSelector: { zone: 'x' } }), nodeName);
  await t.writeManifest('static.json', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'static' },
    spec: { containers: [webContainer()] },
  });
  for (const name of ['plain', 'probed', 'init', `static-${nodeName}`]) await t.untilReady(name);
  await t.until('the job to be done', () => t.api.pod('done')?.status?.phase === 'Succeeded');
  await t.until('the rejection', () => t.api.pod('rejected')?.status?.phase === 'Failed');
}

const statuses = (): Map<string, unknown> =>
  new Map(
    ['plain', 'probed', 'init', 'done', 'rejected', `static-${nodeName}`].map((name) => [
      name,
      t.api.pod(name)?.status,
    ]),
  );

const toldOfPods = (): string[] =>
  t.api
    .eventList()
    .filter(({ involvedObject }) => involvedObject.kind === 'Pod')
    .map(({ involvedObject, reason, count }) => `${involvedObject.name} ${reason} ${count}`);

describe('a restart of the kubelet', () => {
  it('touches no pod in the runtime and flips no field on the API', async () => {
    const first = await t.start();
    await runPods();
    await t.clock.pass(3000);
    await first.stop();
    const before = statuses();
    const told = toldOfPods();
    t.cri.clearCalls();
    t.api.podPatches.length = 0;
    await t.start();
    await t.clock.pass(30_000); // past housekeeping, probes' first results and the writer's full look
    expect(changesMade()).toEqual([]);
    expect(t.api.podPatches).toEqual([]);
    expect(statuses()).toEqual(before);
    expect(toldOfPods()).toEqual(told);
    expect(t.api.podDeletes).toEqual([]);
    expect(t.cri.callsOf('ExecSync').length).toBeGreaterThan(0); // probes went on
  });

  it('touches nothing of a static pod that it sees before its mirror', async () => {
    t.cri.setExecScript(() => ({ exitCode: 0 }));
    const readinessProbe = { exec: { command: ['ready'] }, initialDelaySeconds: 20 };
    await t.writeManifest('static.json', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'static' },
      spec: { containers: [webContainer({ readinessProbe })] },
    });
    const name = `static-${nodeName}`;
    const first = await t.start();
    await t.untilReady(name);
    await t.clock.pass(3000);
    await first.stop();
    const before = t.api.pod(name)?.status;
    t.api.podPatches.length = 0;
    t.cri.clearCalls();
    const gate = new FaultGate();
    const list = gate.hold(({ method }) => method === 'LIST pods');
    await MortalKubelet.start(t, {}, gate);
    await list.whenHeld;
    await t.clock.pass(10_000);
    list.release();
    await t.clock.pass(30_000);
    expect(changesMade()).toEqual([]);
    expect(t.api.podPatches).toEqual([]);
    expect(t.api.pod(name)?.status).toEqual(before);
  });

  it('asks nobody again whether a running pod fits', async () => {
    const first = await t.start();
    t.api.addPod(apiPod('web', { nodeSelector: { 'kubernetes.io/os': 'linux' } }), nodeName);
    await t.untilReady('web');
    await first.stop();
    const node = t.api.find(
      { prefix: '/api/v1', plural: 'nodes', kind: 'Node', namespaced: false },
      undefined,
      nodeName,
    );
    expect(node).toBeDefined();
    const pod = t.api.pod('web');
    if (pod === undefined) throw new Error('the pod is gone');
    await t.api.update(pods, { ...pod, spec: { ...pod.spec, nodeSelector: { zone: 'elsewhere' } } });
    t.cri.clearCalls();
    await t.start();
    await t.clock.pass(10_000);
    expect(changesMade()).toEqual([]);
    expect(t.api.pod('web')?.status?.phase).toBe('Running');
  });

  it('goes on with the back-off of a crashing container', async () => {
    t.cri.behave({ pod: 'crashing' }, { exits: { afterMs: 50, code: 1 } });
    const first = await t.start();
    t.api.addPod(apiPod('crashing'), nodeName);
    const starts = () => t.cri.callsOf('CreateContainer').map(({ atMs }) => atMs);
    await t.until('three starts', () => starts().length >= 3, 120_000);
    await t.until('its third crash to be seen', () => {
      const { restartCount, state } = t.container('crashing', 'web') ?? {};
      return restartCount === 2 && state?.waiting?.reason === 'CrashLoopBackOff';
    });
    await first.stop();
    await t.start();
    await t.until('one more start', () => starts().length >= 4, 120_000);
    expect((starts()[3] ?? 0) - (starts()[2] ?? 0)).toBeGreaterThanOrEqual(20_000);
    expect(t.container('crashing', 'web')?.restartCount).toBeGreaterThanOrEqual(2);
  });

  it('shows a container that waits to be started again as it was shown', async () => {
    t.cri.behave({ pod: 'crashing' }, { exits: { afterMs: 50, code: 1 } });
    const first = await t.start();
    t.api.addPod(apiPod('crashing'), nodeName);
    const waiting = () => t.container('crashing', 'web')?.state?.waiting;
    await t.until('a long back-off', () => waiting()?.message?.startsWith('back-off 40s') === true, 200_000);
    await first.stop();
    const before = t.api.pod('crashing')?.status;
    t.api.podPatches.length = 0;
    t.cri.clearCalls();
    await t.start();
    await t.clock.pass(10_000);
    expect(t.api.podPatches.map(({ body }) => body.status)).toEqual([]);
    expect(changesMade().filter((method) => method !== 'RemoveContainer')).toEqual([]); // old instances are collected
    expect(t.api.pod('crashing')?.status).toEqual(before);
  });

  it('finishes the end of a pod that was under way', async () => {
    t.cri.behave({ name: 'web' }, { onTerm: 'ignores' });
    const first = await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    const hang = t.cri.hang('StopContainer');
    t.api.deletePod('web', 5);
    await hang.whenHung;
    await first.stop();
    hang.release();
    await t.start();
    await t.untilGone('web');
    await t.until('its sandbox to be collected', () => t.cri.sandboxesOfPod('web').length === 0);
  });

  it('lets go of a pod that was deleted and ended while it was away', async () => {
    const first = await t.start();
    t.api.addPod(apiPod('job', { restartPolicy: 'Never' }), nodeName);
    await t.untilReady('job');
    await first.stop();
    t.cri.exitContainer({ pod: 'job', name: 'web' }, 0);
    t.api.deletePod('job', 30);
    await t.start();
    await t.untilGone('job');
  });
});

describe('a restart of the runtime', () => {
  it('leaves pods alone', async () => {
    await t.start();
    await runPods();
    await t.clock.pass(3000);
    const before = statuses();
    t.cri.clearCalls();
    t.api.podPatches.length = 0;
    await t.cri.stop();
    await t.clock.pass(8000);
    await t.cri.start();
    await t.clock.pass(20_000);
    expect(changesMade()).toEqual([]);
    expect(t.api.podPatches).toEqual([]);
    expect(statuses()).toEqual(before);
    t.api.addPod(apiPod('late'), nodeName);
    await t.untilReady('late');
  });
});

describe('an API server that is away', () => {
  it('at the start: static pods run, and their mirrors appear when it is back', async () => {
    t.api.setAway(true);
    await t.writeManifest('static.json', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'static' },
      spec: { containers: [webContainer()] },
    });
    await t.start();
    await t.until('the static pod to run', () =>
      t.cri.containersOfPod(`static-${nodeName}`).some(({ state }) => state === 'running'),
    );
    t.api.setAway(false);
    const mirror = await t.untilReady(`static-${nodeName}`);
    expect(mirror.metadata.annotations?.['kubernetes.io/config.mirror']).toMatch(/^[0-9a-f]{32}$/);
    expect(mirror.metadata.ownerReferences).toMatchObject([{ kind: 'Node', name: nodeName, controller: true }]);
  });

  it('meanwhile: pods run on, and what happened is told when it is back', async () => {
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    t.api.setAway(true);
    t.cri.exitContainer({ pod: 'web', name: 'web' }, 2);
    await t.until('the container to be restarted', () =>
      t.cri.containersOfPod('web').some(({ state, config }) => state === 'running' && config.metadata?.attempt === 1),
    );
    t.api.setAway(false);
    await t.until(
      'its restart to be shown',
      () => t.container('web', 'web')?.restartCount === 1 && conditionOf(t.api.pod('web'), 'Ready') === 'True',
    );
    expect(t.container('web', 'web')?.lastState?.terminated?.exitCode).toBe(2);
  });
});
