/** Pods that come, wait, make room and are ended by the kubelet itself. */
import { rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodes } from '../../src/client/resource-types.ts';
import type { PodSpec } from '../../src/objects/generated/core-v1.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

beforeEach(async () => {
  t = await openFixture();
});
afterEach(async () => {
  await t.close();
});

const asking = (cpu: string, more: Partial<PodSpec> = {}): Partial<PodSpec> => ({
  containers: [webContainer({ resources: { requests: { cpu } } })],
  ...more,
});
const priority = 2_000_001_000;
/** All cpu that the node gives to pods. */
const allCpu = (): Promise<string> =>
  t.until('the node', () => t.api.find(nodes, undefined, nodeName)?.status?.allocatable?.['cpu']);
const stopTimeouts = (): number[] =>
  t.cri.callsOf('StopContainer').map(({ request }) => Number((request as { timeout: unknown }).timeout));
const statusOf = (name: string) => t.api.pod(name)?.status;

describe('a critical pod for which there is no room', () => {
  it('starts when a lesser one has ended, which shows why in one write', async () => {
    await t.start();
    t.api.addPod(apiPod('victim', asking(await allCpu(), { terminationGracePeriodSeconds: 7 })), nodeName);
    await t.untilReady('victim');
    t.api.addPod(apiPod('spared'), nodeName);
    await t.untilReady('spared');
    const hang = t.cri.hang('StopContainer');
    t.api.addPod(apiPod('critical', asking('100m', { priority })), nodeName);
    await hang.whenHung;
    expect(stopTimeouts()).toEqual([7]);
    expect(statusOf('victim')?.phase).toBe('Running');
    expect(t.cri.sandboxesOfPod('critical')).toEqual([]);
    hang.release();
    await t.untilReady('critical');
    expect(statusOf('victim')).toMatchObject({
      phase: 'Failed',
      reason: 'Preempting',
      message: 'Preempted in order to admit critical pod',
    });
    const write = t.api.podPatches.find(({ name, body }) => name === 'victim' && body.status?.phase === 'Failed');
    expect(write?.body.status?.conditions?.find(({ type }) => type === 'DisruptionTarget')).toMatchObject({
      status: 'True',
      reason: 'TerminationByKubelet',
      message: 'Pod was preempted by Kubelet to accommodate a critical pod.',
    });
    await t.until('its event', () =>
      t.api.eventsOf('victim').includes('Preempting: Preempted in order to admit critical pod'),
    );
    await t.until('its remains to be collected', () => t.cri.sandboxesOfPod('victim').length === 0);
    expect(t.api.pod('victim')).toBeDefined();
    expect(statusOf('spared')?.phase).toBe('Running');
  });

  it('does not wait for ever for one that does not end', async () => {
    await t.start();
    t.api.addPod(apiPod('victim', asking(await allCpu(), { terminationGracePeriodSeconds: 2 })), nodeName);
    await t.untilReady('victim');
    const hang = t.cri.hang('StopContainer');
    t.api.addPod(apiPod('critical', asking('100m', { priority })), nodeName);
    await hang.whenHung;
    await t.until('the end of patience', () =>
      t.api
        .eventsOf('victim')
        .includes('ExceededGracePeriod: Container runtime did not kill the pod within specified grace period.'),
    );
    await t.untilReady('critical');
    hang.release();
    await t.until('the victim to end', () => statusOf('victim')?.reason === 'Preempting');
  });
});

describe('a pod with a deadline', () => {
  it('fails when it has been active for that long', async () => {
    await t.start();
    t.api.addPod(apiPod('web', { activeDeadlineSeconds: 30, terminationGracePeriodSeconds: 4 }), nodeName);
    await t.untilReady('web');
    await t.clock.pass(20_000);
    expect(statusOf('web')?.phase).toBe('Running');
    const message = 'Pod was active on the node longer than the specified deadline';
    await t.until('its end', () => statusOf('web')?.phase === 'Failed', 15_000);
    expect(statusOf('web')).toMatchObject({ reason: 'DeadlineExceeded', message });
    expect(stopTimeouts()).toEqual([4]);
    await t.until('its event', () => t.api.eventsOf('web').includes(`DeadlineExceeded: ${message}`));
    expect(statusOf('web')?.conditions?.find(({ type }) => type === 'Ready')?.reason).toBe('PodFailed');
  });

  it('has succeeded when its containers end in time, however long the rest of its end takes', async () => {
    t.cri.behave({ name: 'web' }, { exits: { afterMs: 10_000, code: 0 } });
    await t.start();
    const hang = t.cri.hang('StopPodSandbox');
    t.api.addPod(apiPod('web', { activeDeadlineSeconds: 30, restartPolicy: 'Never' }), nodeName);
    await hang.whenHung;
    await t.clock.pass(25_000);
    hang.release();
    await t.until('its end', () => statusOf('web')?.phase === 'Succeeded');
    await t.clock.pass(3000);
    expect(statusOf('web')).not.toHaveProperty('reason');
    expect(t.api.eventsOf('web').filter((text) => text.startsWith('DeadlineExceeded'))).toEqual([]);
  });
});

describe('a static pod whose file is removed', () => {
  const file = 'web.json';
  const manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web' },
    spec: { containers: [webContainer()], terminationGracePeriodSeconds: 5 },
  };
  const name = `web-${nodeName}`;

  it('shows its mirror until it has ended, and starts anew when the file is put back meanwhile', async () => {
    await t.writeManifest(file, manifest);
    await t.start();
    const mirror = await t.untilReady(name);
    const hang = t.cri.hang('StopContainer');
    await rm(join(t.manifests, file));
    await hang.whenHung;
    await t.clock.pass(5000);
    expect(t.api.pod(name)?.metadata.uid).toBe(mirror.metadata.uid);
    await t.writeManifest(file, manifest);
    await t.clock.pass(25_000);
    hang.release();
    await t.until('another start', () => t.cri.callsOf('StartContainer').length === 2);
    await t.untilReady(name);
    expect(t.cri.sandboxesOfPod(name).map(({ config }) => config.metadata?.uid)).toContain(
      mirror.metadata.annotations?.['kubernetes.io/config.hash'],
    );
  });

  it('and that never ran, for the node cannot take it, is shown as rejected', async () => {
    await t.writeManifest(file, { ...manifest, spec: { ...manifest.spec, nodeSelector: { zone: 'x' } } });
    await t.start();
    await t.until('its mirror', () => statusOf(name)?.reason === 'NodeAffinity');
    expect(statusOf(name)).toMatchObject({
      phase: 'Failed',
      message: "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    });
    expect(t.cri.callsOf('RunPodSandbox')).toEqual([]);
    await rm(join(t.manifests, file));
    await t.untilGone(name);
  });
});

describe('a static pod from a URL', () => {
  it('runs, has its mirror, and ends when the URL has it no more', async () => {
    const pod = (name: string) => ({ metadata: { name }, spec: { containers: [webContainer()] } });
    let items = [pod('a'), pod('b')];
    const server = createServer((request, response) => {
      const isKnown = request.headers['x-node'] === 'yes';
      response.writeHead(isKnown ? 200 : 403).end(JSON.stringify({ apiVersion: 'v1', kind: 'PodList', items }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo; // it listens on TCP
    try {
      await t.start({
        settings: { staticPodURL: `http://127.0.0.1:${port}/pods`, staticPodURLHeader: { 'X-Node': ['yes'] } },
      });
      const mirror = await t.untilReady(`a-${nodeName}`);
      expect(mirror.metadata.annotations?.['kubernetes.io/config.source']).toBe('http');
      await t.untilReady(`b-${nodeName}`);
      items = [pod('b')];
      await t.untilGone(`a-${nodeName}`);
      await t.until('its sandbox to be collected', () => t.cri.sandboxesOfPod(`a-${nodeName}`).length === 0);
      expect(statusOf(`b-${nodeName}`)?.phase).toBe('Running');
    } finally {
      server.close();
    }
  });
});
