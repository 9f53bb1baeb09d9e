/** The whole kubelet against a fake runtime over real gRPC: what an observer of the API and of CRI sees. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type KubeletFixture, apiPod, conditionOf, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

beforeEach(async () => {
  t = await openFixture();
});
afterEach(async () => {
  await t.close();
});

describe('a pod from the API', () => {
  it('starts: pending with reasons, sandbox, image, container, running and ready', async () => {
    await t.start();
    t.cri.images.remove('web:1');
    t.cri.images.publish('web:1', { sizeBytes: 4321 });
    // Steps that follow fast are told at once: this one is held up at its sandbox, then at its image.
    const sandbox = t.cri.hang('RunPodSandbox');
    const pull = t.cri.hang('PullImage');
    const pod = t.api.addPod(apiPod('web'), nodeName);
    await t.until('its first status', () => t.api.podPatches.length === 1);
    sandbox.release();
    await t.until('its status with a sandbox', () => t.api.podPatches.length === 2);
    pull.release();
    const ready = await t.untilReady('web');

    expect(t.api.podPatches[0]?.status).toMatchObject({
      phase: 'Pending',
      qosClass: 'BestEffort',
      hostIP: '127.0.0.1',
      observedGeneration: 1,
      containerStatuses: [{ name: 'web', ready: false, state: { waiting: { reason: 'ContainerCreating' } } }],
    });
    expect(t.api.podPatches[0]?.status.startTime).toBeDefined();
    const first = { ...pod, status: t.api.podPatches[0]?.status };
    expect(
      ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) =>
        conditionOf(first, type),
      ),
    ).toEqual(['False', 'True', 'False', 'False', 'True']);
    const early = t.api.podPatches.find(
      ({ status }) => conditionOf({ ...pod, status }, 'PodReadyToStartContainers') === 'True',
    );
    expect(early?.status.phase).toBe('Pending');

    expect(ready.status).toMatchObject({
      phase: 'Running',
      podIP: '10.88.0.2',
      podIPs: [{ ip: '10.88.0.2' }],
      containerStatuses: [{ ready: true, started: true, restartCount: 0 }],
    });
    expect(t.container('web', 'web')?.containerID).toMatch(/^fake-containerd:\/\/[0-9a-f]{64}$/);
    await t.until('its events', () => t.api.eventsOf('web').length >= 4);
    expect(t.api.eventsOf('web')).toEqual([
      'Pulling: Pulling image "web:1"',
      expect.stringMatching(
        /^Pulled: Successfully pulled image "web:1" in \S+ \(\S+ including waiting\)\. Image size: 4321 bytes\.$/,
      ),
      'Created: Container created',
      'Started: Container started',
    ]);
    const acts = t.cri.calls
      .map(({ method }) => method)
      .filter((method) => ['RunPodSandbox', 'PullImage', 'CreateContainer', 'StartContainer'].includes(method));
    expect(acts).toEqual(['RunPodSandbox', 'PullImage', 'CreateContainer', 'StartContainer']);
    expect(t.api.podPatches.every(({ body }) => body.metadata?.uid === pod.metadata.uid)).toBe(true);
  });

  it('is deleted with its grace: stop, terminal status, then the final delete of this very pod', async () => {
    await t.start();
    const pod = t.api.addPod(apiPod('web', { terminationGracePeriodSeconds: 40 }), nodeName);
    await t.untilReady('web');
    t.api.deletePod('web', 7);
    await t.untilGone('web');
    expect(
      t.cri.callsOf('StopContainer').map(({ request }) => Number((request as { timeout: unknown }).timeout)),
    ).toEqual([7]);
    expect(t.cri.callsOf('StopPodSandbox').length).toBeGreaterThan(0);
    expect(t.api.podDeletes).toEqual([
      { name: 'web', options: { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid } } },
    ]);
    const last = t.api.podPatches.at(-1);
    expect(last?.status).toMatchObject({
      phase: 'Succeeded',
      containerStatuses: [{ state: { terminated: { exitCode: 0, reason: 'Completed' } } }],
    });
    expect(last?.status.conditions?.find(({ type }) => type === 'Ready')).toMatchObject({
      status: 'False',
      reason: 'PodCompleted',
    });
    await t.until('its event', () => t.api.eventsOf('web').includes('Killing: Stopping container web'));
    await t.until('its sandbox to be collected', () => t.cri.sandboxesOfPod('web').length === 0);
  });

  it('fails when its containers are killed at the end of the grace', async () => {
    t.cri.behave({ name: 'web' }, { onTerm: 'ignores' });
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    t.api.deletePod('web', 3);
    await t.untilGone('web');
    expect(t.api.podPatches.at(-1)?.status).toMatchObject({
      phase: 'Failed',
      containerStatuses: [{ state: { terminated: { exitCode: 137 } } }],
    });
  });

  it('that is gone from the API at once still gets the grace of its spec', async () => {
    await t.start();
    t.api.addPod(apiPod('web', { terminationGracePeriodSeconds: 12 }), nodeName);
    await t.untilReady('web');
    t.api.deletePod('web', 0);
    await t.until('its container to be stopped', () => t.cri.callsOf('StopPodSandbox').length > 0);
    expect(
      t.cri.callsOf('StopContainer').map(({ request }) => Number((request as { timeout: unknown }).timeout)),
    ).toEqual([12]);
    await t.until('its sandbox to be collected', () => t.cri.sandboxesOfPod('web').length === 0);
  });

  it('runs its init containers one after the other, then the rest', async () => {
    t.cri.behave({ image: 'init:1' }, { exits: { afterMs: 50, code: 0 } });
    await t.start();
    t.api.addPod(
      apiPod('web', {
        initContainers: [
          { name: 'one', image: 'init:1' },
          { name: 'two', image: 'init:1' },
        ],
      }),
      nodeName,
    );
    await t.until('the first init container to be shown', () => t.container('web', 'one') !== undefined);
    expect(t.container('web', 'web')?.state?.waiting?.reason).toBe('PodInitializing');
    await t.untilReady('web');
    const started = t.cri
      .callsOf('CreateContainer')
      .map(({ request }) => (request as { config: { metadata: { name: string } } }).config.metadata.name);
    expect(started).toEqual(['one', 'two', 'web']);
    expect(t.container('web', 'two')).toMatchObject({ ready: true, state: { terminated: { reason: 'Completed' } } });
    expect(conditionOf(t.api.pod('web'), 'Initialized')).toBe('True');
  });

  it('that never restarts ends with its container', async () => {
    t.cri.behave({ name: 'web' }, { exits: { afterMs: 500, code: 3 } });
    await t.start();
    t.api.addPod(apiPod('job', { restartPolicy: 'Never' }), nodeName);
    await t.until('the pod to fail', () => t.api.pod('job')?.status?.phase === 'Failed');
    expect(t.container('job', 'web')).toMatchObject({
      restartCount: 0,
      state: { terminated: { exitCode: 3, reason: 'Error' } },
    });
    expect(conditionOf(t.api.pod('job'), 'PodReadyToStartContainers')).toBe('False');
    expect(t.api.podDeletes).toEqual([]);
  });
});

describe('a container that crashes', () => {
  it('restarts at once, then after 10, 20 and 40 seconds', async () => {
    t.cri.behave({ name: 'web' }, { exits: { afterMs: 100, code: 1 } });
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    const starts = () => t.cri.callsOf('CreateContainer').map(({ atMs }) => atMs);
    await t.until('five starts', () => starts().length >= 5, 300_000);
    const gaps = starts()
      .map((atMs, i) => atMs - (starts()[i - 1] ?? atMs))
      .slice(1);
    // each is the back-off since the last end, and up to half as much again
    for (const [i, backoffMs] of [10_000, 20_000, 40_000].entries()) {
      expect(gaps[i + 1]).toBeGreaterThanOrEqual(backoffMs);
      expect(gaps[i + 1]).toBeLessThan(1.5 * backoffMs + 5000);
    }
    expect(gaps[0]).toBeLessThan(5000);
    const uid = t.api.pod('web')?.metadata.uid;
    await t.until('the next back-off', () => t.container('web', 'web')?.state?.waiting?.message?.includes('1m20s'));
    expect(t.container('web', 'web')).toMatchObject({
      restartCount: 4,
      state: {
        waiting: {
          reason: 'CrashLoopBackOff',
          message: `back-off 1m20s restarting failed container=web pod=web_default(${uid})`,
        },
      },
      lastState: { terminated: { exitCode: 1, reason: 'Error' } },
    });
    expect(t.api.pod('web')?.status?.phase).toBe('Running');
    const backOff = `BackOff: Back-off restarting failed container web in pod web_default(${uid})`;
    await t.until('its event', () => t.api.eventsOf('web').includes(backOff));
  });
});

describe('an image that cannot be pulled', () => {
  it('is named with its error, then waits, and is pulled when it is there', async () => {
    await t.start();
    t.api.addPod(apiPod('web', { containers: [webContainer({ image: 'localhost:1/none:1' })] }), nodeName);
    const reason = () => t.container('web', 'web')?.state?.waiting?.reason;
    await t.until('ErrImagePull', () => reason() === 'ErrImagePull');
    expect(t.container('web', 'web')?.state?.waiting?.message).toMatch(
      /^rpc error: code = NotFound desc = failed to pull/,
    );
    const message = t.container('web', 'web')?.state?.waiting?.message;
    await t.until('ImagePullBackOff', () => reason() === 'ImagePullBackOff');
    expect(t.container('web', 'web')?.state?.waiting?.message).toBe(
      `Back-off pulling image "localhost:1/none:1": ErrImagePull: ${message}`,
    );
    await t.until('its events', () => t.api.eventsOf('web').length >= 5);
    expect(t.api.eventsOf('web').slice(0, 5)).toEqual([
      'Pulling: Pulling image "localhost:1/none:1"',
      `Failed: Failed to pull image "localhost:1/none:1": ${message}`,
      'Failed: Error: ErrImagePull',
      'BackOff: Back-off pulling image "localhost:1/none:1"',
      'Failed: Error: ImagePullBackOff',
    ]);
    t.cri.images.publish('localhost:1/none:1');
    await t.untilReady('web');
  });
});

describe('a pod that the node cannot take', () => {
  it.each([
    {
      name: 'too much CPU',
      spec: { containers: [webContainer({ resources: { requests: { cpu: '1000' } } })] },
      reason: 'OutOfcpu',
      message: /^Node didn't have enough resource: cpu, requested: 1000000, used: 0, capacity: \d+$/,
    },
    {
      name: 'a volume of a kind it lacks',
      spec: {
        containers: [webContainer({ volumeMounts: [{ name: 'v', mountPath: '/v' }] })],
        volumes: [{ name: 'v', fc: { wwids: ['x'] } }],
      },
      reason: 'PodFeatureUnsupported',
      message: /volume "v" is of type fc/,
    },
    {
      name: 'another node’s label',
      spec: { nodeSelector: { zone: 'x' } },
      reason: 'NodeAffinity',
      message: /^Predicate NodeAffinity failed: node\(s\) didn't match Pod's node affinity\/selector$/,
    },
  ])('$name: event, failed status, nothing in the runtime; gone when deleted', async ({ spec, reason, message }) => {
    await t.start();
    t.api.addPod(apiPod('web', spec), nodeName);
    await t.until('the pod to be rejected', () => t.api.pod('web')?.status?.phase === 'Failed');
    const status = t.api.pod('web')?.status;
    expect(status?.reason).toBe(reason);
    expect(status?.message?.replace(/^Pod was rejected: /, '')).toMatch(message);
    expect(status?.message).toMatch(/^Pod was rejected: /);
    expect(status?.conditions).toBeUndefined();
    expect(status?.containerStatuses).toBeUndefined();
    await t.until('its event', () => t.api.eventsOf('web').length > 0);
    expect(t.api.eventsOf('web')[0]?.replace(`${reason}: `, '')).toMatch(message);
    t.api.deletePod('web');
    await t.untilGone('web');
    expect(t.cri.callsOf('RunPodSandbox')).toEqual([]);
  });
});

describe('what nobody asks for', () => {
  it('a pod that only the runtime has is ended and collected', async () => {
    const first = await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    await first.stop();
    t.api.deletePod('web', 0);
    t.cri.clearCalls();
    await t.start();
    await t.until('the orphan to be gone', () => t.cri.sandboxesOfPod('web').length === 0);
    expect(
      t.cri.callsOf('StopContainer').map(({ request }) => Number((request as { timeout: unknown }).timeout)),
    ).toEqual([2]);
  });
});
