/** What hangs for one pod costs that pod alone. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodes, pods } from '../../src/client/resource-types.ts';
import { type KubeletFixture, apiPod, conditionOf, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

beforeEach(async () => {
  t = await openFixture();
});
afterEach(async () => {
  await t.close();
});

/** Whether a request's text names the pod: its sandbox configuration does, and ids of its sandbox or containers do. */
function names(pod: string): (request: unknown) => boolean {
  return (request) => {
    const text = JSON.stringify(request);
    const ids = [...t.cri.sandboxesOfPod(pod).map(({ id }) => id), ...t.cri.containersOfPod(pod).map(({ id }) => id)];
    return text.includes(`"name":"${pod}"`) || ids.some((id) => text.includes(id));
  };
}

describe('a call that hangs for one pod', () => {
  it.each(['RunPodSandbox', 'PodSandboxStatus', 'CreateContainer', 'StartContainer', 'ContainerStatus', 'PullImage'])(
    '%s: others start and end, and it recovers',
    async (method) => {
      await t.start();
      if (method === 'PullImage') t.cri.images.publish('slow:1');
      const hang = t.cri.hang(method, names('stuck'));
      t.api.addPod(
        apiPod('stuck', method === 'PullImage' ? { containers: [{ name: 'web', image: 'slow:1' }] } : {}),
        nodeName,
      );
      await hang.whenHung;
      t.api.addPod(apiPod('other'), nodeName);
      await t.untilReady('other');
      t.api.deletePod('other', 1);
      await t.untilGone('other');
      expect(hang.hanging).toBeGreaterThan(0);
      expect(t.api.pod('stuck')?.status?.phase).toBe('Pending');
      hang.release();
      await t.untilReady('stuck');
      t.api.deletePod('stuck', 1);
      await t.untilGone('stuck');
    },
  );

  it.each(['StopContainer', 'StopPodSandbox'])(
    '%s: others start and end, and it ends when it is let go',
    async (method) => {
      await t.start();
      t.api.addPod(apiPod('stuck'), nodeName);
      await t.untilReady('stuck');
      const hang = t.cri.hang(method, names('stuck'));
      t.api.deletePod('stuck', 2);
      await hang.whenHung;
      t.api.addPod(apiPod('other'), nodeName);
      await t.untilReady('other');
      t.api.deletePod('other', 1);
      await t.untilGone('other');
      expect(t.api.pod('stuck')?.status?.phase).toBe('Running');
      hang.release();
      await t.untilGone('stuck');
    },
  );

  it('a pull that hangs holds up other pulls for a minute, and then no longer', async () => {
    await t.start();
    for (const name of ['slow:1', 'other:1']) t.cri.images.publish(name);
    const hang = t.cri.hang('PullImage', names('stuck'));
    t.api.addPod(apiPod('stuck', { containers: [{ name: 'web', image: 'slow:1' }] }), nodeName);
    await hang.whenHung;
    const beganMs = t.clock.monotonicMs();
    t.api.addPod(apiPod('other', { containers: [{ name: 'web', image: 'other:1' }] }), nodeName);
    await t.until('the other pod to run', () => t.api.pod('other')?.status?.phase === 'Running', 300_000);
    expect(t.clock.monotonicMs() - beganMs).toBeGreaterThanOrEqual(50_000);
    expect(hang.hanging).toBeGreaterThan(0);
    hang.release();
    await t.untilReady('stuck');
  });

  it('an end asked for while an image is pulled does not wait for the pull', async () => {
    await t.start();
    t.cri.images.publish('slow:1');
    const hang = t.cri.hang('PullImage');
    t.api.addPod(apiPod('stuck', { containers: [{ name: 'web', image: 'slow:1' }] }), nodeName);
    await hang.whenHung;
    t.api.deletePod('stuck', 2);
    await t.untilGone('stuck');
    expect(t.cri.callsOf('CreateContainer')).toEqual([]);
  });

  it('a pull for a container that looks into a pod does not hide that the pod is not ready any more', async () => {
    let isReady = 0;
    t.cri.setExecScript(() => ({ exitCode: isReady }));
    t.cri.images.publish('slow:1');
    await t.start();
    const readinessProbe = { exec: { command: ['ready'] }, periodSeconds: 2, failureThreshold: 1 };
    t.api.addPod(apiPod('web', { containers: [webContainer({ readinessProbe })] }), nodeName);
    const pod = await t.untilReady('web');
    const hang = t.cri.hang('PullImage');
    const ephemeralContainers = [{ name: 'debug', image: 'slow:1' }];
    const metadata = { ...pod.metadata, generation: 2 };
    await t.api.update(pods, { ...pod, metadata, spec: { ...pod.spec, ephemeralContainers } });
    await hang.whenHung;
    isReady = 1;
    await t.until('it to be told', () => conditionOf(t.api.pod('web'), 'Ready') === 'False', 20_000);
    isReady = 0;
    await t.untilReady('web');
    expect(hang.hanging).toBe(1);
    hang.release();
  });

  it('a failed sandbox is told and tried again', async () => {
    t.cri.failNext('RunPodSandbox', 'UNKNOWN', 'no room', 1);
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    await t.until('its event', () => t.api.eventsOf('web').some((text) => text.startsWith('FailedCreatePodSandBox')));
    expect(t.api.eventsOf('web')).toContain(
      'FailedCreatePodSandBox: Failed to create pod sandbox: rpc error: code = Unknown desc = no room',
    );
  });

  it('a sandbox that fails and stays behind is not tried faster than one that leaves nothing', async () => {
    t.cri.setSandboxesFail('failed to set up the network');
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    const tries = (): number => t.cri.callsOf('RunPodSandbox').length;
    await t.until('the first try', () => tries() === 1);
    await t.clock.pass(30_000);
    expect(tries()).toBeLessThanOrEqual(4);
    t.cri.setSandboxesFail(undefined);
    await t.untilReady('web');
  });

  it('a look that fails at a pod that ran is told, and the pod goes on when it succeeds', async () => {
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    t.cri.failNext('ContainerStatus', 'UNKNOWN', 'the shim is stuck', Infinity, names('web'));
    t.cri.exitContainer({ pod: 'web', name: 'web' }, 1);
    const told = 'FailedSync: error determining status: rpc error: code = Unknown desc = the shim is stuck';
    await t.until('its event', () => t.api.eventsOf('web').includes(told), 100_000);
    t.cri.faults.stopFailing();
    await t.until('its next instance', () => t.container('web', 'web')?.restartCount === 1);
  });

  it('a runtime that says that it is not ready is asked nevertheless', async () => {
    await t.start();
    const isNodeReady = (): string | undefined =>
      t.api.find(nodes, undefined, nodeName)?.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    await t.until('the node', () => isNodeReady() === 'True');
    t.cri.setRuntimeReady(false);
    await t.until('the node to say so', () => isNodeReady() === 'False');
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    t.api.deletePod('web', 1);
    await t.untilGone('web');
  });

  it('without a network a pod waits, and starts when there is one', async () => {
    t.cri.setNetworkReady(false);
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.until('its event', () => t.api.eventsOf('web').length > 0);
    expect(t.api.eventsOf('web')[0]).toMatch(
      /^NetworkNotReady: network is not ready: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady/,
    );
    expect(t.cri.callsOf('RunPodSandbox')).toEqual([]);
    t.cri.setNetworkReady(true);
    await t.untilReady('web');
  });
});

describe('a sandbox that is lost', () => {
  it('is made anew with the containers, and the pod has its new address', async () => {
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    t.cri.exitContainer({ pod: 'web', name: 'web' }, 255);
    t.cri.killSandbox('web');
    await t.until('the pod to have its second sandbox', () =>
      t.cri.sandboxesOfPod('web').some(({ config }) => config.metadata?.attempt === 1),
    );
    await t.until(
      'the new address to be shown',
      () => t.api.pod('web')?.status?.podIP === '10.88.0.3' && t.container('web', 'web')?.ready === true,
    );
    expect(t.container('web', 'web')?.restartCount).toBeGreaterThanOrEqual(1);
    const changed = 'SandboxChanged: Pod sandbox changed, it will be killed and re-created.';
    await t.until('its event', () => t.api.eventsOf('web').includes(changed));
  });

  it('counts one restart of each container, also of those whose turn comes later', async () => {
    t.cri.behave({ image: 'init:1' }, { exits: { afterMs: 50, code: 0 } });
    await t.start();
    const init = (name: string) => ({ name, image: 'init:1' });
    const side = { name: 'side', image: 'web:1', restartPolicy: 'Always' };
    t.api.addPod(apiPod('web', { initContainers: [init('one'), side, init('two')] }), nodeName);
    await t.untilReady('web');
    for (const name of ['web', 'side']) t.cri.exitContainer({ pod: 'web', name }, 255);
    t.cri.killSandbox('web');
    const all = ['one', 'side', 'two', 'web'];
    await t.until('it to be back', () => t.container('web', 'web')?.restartCount === 1);
    await t.untilReady('web');
    expect(all.map((name) => t.container('web', name)?.restartCount)).toEqual([1, 1, 1, 1]);
  });
});
