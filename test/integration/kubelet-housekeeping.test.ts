/** What housekeeping finds: pods outside of their control group, and what is remembered of pods that are gone. */
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PodSpec } from '../../src/objects/generated/core-v1.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;
beforeEach(async () => {
  t = await openFixture();
});
afterEach(() => t.close());

const init = { name: 'init', image: 'init:1' };

describe('a kubelet that finds no control group for pods that run', () => {
  it.each<{ name: string; spec: Partial<PodSpec>; phase: string; instances: number; sandboxes: number }>([
    { name: 'Always: begins anew', spec: {}, phase: 'Running', instances: 2, sandboxes: 2 },
    { name: 'Never: is over', spec: { restartPolicy: 'Never' }, phase: 'Failed', instances: 1, sandboxes: 1 },
    {
      name: 'still at its init containers: goes on',
      spec: { initContainers: [init] },
      phase: 'Pending',
      instances: 0,
      sandboxes: 1,
    },
  ])('$name', async ({ spec, phase, instances, sandboxes }) => {
    t.cri.behave({ name: 'web' }, { onTerm: 143 });
    t.api.addPod(apiPod('web', spec), nodeName);
    const isUp = (name: string): boolean => t.container('web', name)?.state?.running !== undefined;
    await t.until('it to run', () => isUp(spec.initContainers === undefined ? 'web' : 'init'));
    await (await started).stop();
    await rm(join(t.directory, 'cgroup', 'kubepods'), { recursive: true });
    const ids = (): string[] => t.cri.containersOfPod('web').map(({ id }) => id);
    const before = ids();
    t.cri.clearCalls();
    await t.start();
    const containers = (name: string) =>
      t.cri.containersOfPod('web').filter(({ config }) => config.metadata?.name === name);
    await t.until('the end of it', () => {
      const isOver = t.api.pod('web')?.status?.phase === phase && containers('web').length === instances;
      return isOver && t.cri.callsOf('ListContainers').length > 3;
    });
    expect(t.cri.sandboxesOfPod('web')).toHaveLength(sandboxes);
    expect(ids()).toEqual(expect.arrayContaining(before));
    expect(t.cri.callsOf('StopContainer')).toHaveLength(instances === 0 ? 0 : 1);
  });

  let started: ReturnType<KubeletFixture['start']>;
  beforeEach(() => {
    started = t.start();
  });
});

describe('a static pod that was refused and taken back', () => {
  it('is looked at anew when the same file comes again', async () => {
    await t.start();
    const manifest = (name: string): object => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: { containers: [webContainer({ ports: [{ containerPort: 80, hostPort: 8080 }] })] },
    });
    const [first, second] = [`first-${nodeName}`, `second-${nodeName}`];
    await t.writeManifest('first.json', manifest('first'));
    await t.untilReady(first);
    await t.writeManifest('second.json', manifest('second'));
    await t.until('its refusal', () => t.api.pod(second)?.status?.phase === 'Failed');
    for (const file of ['first.json', 'second.json']) await rm(join(t.manifests, file));
    for (const name of [first, second]) await t.untilGone(name);
    await t.writeManifest('second.json', manifest('second'));
    await t.untilReady(second);
  });
});

describe('a deleted pod that a finalizer keeps on the API', () => {
  it('leaves nothing on the node', async () => {
    await t.start();
    t.api.addPod(apiPod('kept', {}, { finalizers: ['example.com/wait'] }), nodeName);
    const pod = await t.untilReady('kept');
    t.api.deletePod('kept', 2);
    await t.until('its sandbox to be collected', () => t.cri.sandboxesOfPod('kept').length === 0, 90_000);
    const directory = join(t.directory, 'root', 'pods', pod.metadata.uid ?? '');
    await t.until('its directory to go', () => !existsSync(directory), 90_000);
    expect(t.api.pod('kept')).toMatchObject({ metadata: { uid: pod.metadata.uid }, status: { phase: 'Succeeded' } });
  });
});

describe('what a pod has left on the disk while nobody looked', () => {
  it('is found within a minute', async () => {
    await t.start();
    t.api.addPod(apiPod('web'), nodeName);
    await t.untilReady('web');
    const left = [join(t.directory, 'root', 'pods', 'gone', 'volumes'), join(t.directory, 'pod-logs', 'a_b_gone')];
    for (const path of left) await mkdir(path, { recursive: true });
    const isThere = (): boolean => left.some((path) => existsSync(path));
    await t.until('it to be gone', () => !isThere(), 70_000);
  });
});
