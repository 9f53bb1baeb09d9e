/** What pods are given while they run, seen in the kernel's control groups and in their statuses; and who asks too much. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findGroup, readCgroupMounts } from '../../src/adapters/cgroup-trees/cgroup-trees.ts';
import { cgroupOf } from '../../src/lab/plan-cluster.ts';
import type { Node, Pod, ResourceRequirements } from '../../src/objects/generated/core-v1.ts';
import { milliOf } from '../../src/objects/quantity.ts';
import { describeAsRoot } from './support/as-root.ts';
import { eventually, useLab } from './support/lab.ts';
import {
  applyObjects,
  awaitEvent,
  awaitPod,
  awaitReady,
  containerOf,
  eventsOf,
  getPod,
  patienceMs,
  podOf,
  shell,
  untilAsked,
} from './support/pods.ts';

const mi = 1024 ** 2;
const amounts = (cpu: [string, string], memory: [string, string]): ResourceRequirements => ({
  requests: { cpu: cpu[0], memory: memory[0] },
  limits: { cpu: cpu[1], memory: memory[1] },
});
const first = amounts(['100m', '200m'], ['32Mi', '64Mi']);
const more = amounts(['150m', '300m'], ['48Mi', '96Mi']);
const less = amounts(['50m', '100m'], ['24Mi', '48Mi']);

describeAsRoot('a resize', () => {
  const lab = useLab();

  const resize = (name: string, spec: object): Promise<string> =>
    lab.kubectl('patch', 'pod', name, '--subresource', 'resize', '--patch', JSON.stringify({ spec }));
  const resizeMain = (name: string, resources: object): Promise<string> =>
    resize(name, { containers: [{ name: 'main', resources }] });

  /** Limits as the kernel has them, of a pod's group or of one container's in it: CPU in thousandths, memory in bytes. */
  async function groupOf(pod: Pod, ...below: string[]): Promise<{ milliCpu: number; memoryBytes: number }> {
    const qosClass = pod.status?.qosClass ?? '';
    const parts = [
      'kubepods',
      ...(qosClass === 'Guaranteed' ? [] : [qosClass.toLowerCase()]),
      `pod${pod.metadata.uid}`,
    ];
    const path = join(cgroupOf(lab.stateRoot, lab.name), lab.nodeName(0), ...parts, ...below);
    const folders = await findGroup(await readCgroupMounts(), path);
    const read = async (...names: string[]): Promise<string> => {
      for (const folder of folders) {
        for (const name of names) {
          const text = await readFile(join(folder, name), 'utf8').catch(() => '');
          if (text !== '') return text.trim();
        }
      }
      throw new Error(`no ${names.join(' or ')} in ${folders.join(', ')} (${path})`);
    };
    const [quota = '', period = '100000'] = (await read('cpu.cfs_quota_us', 'cpu.max')).split(' ');
    const memory = await read('memory.limit_in_bytes', 'memory.max');
    return { milliCpu: (Number(quota) * 1000) / Number(period), memoryBytes: Number(memory) };
  }
  const containerGroup = (pod: Pod, name = 'main'): ReturnType<typeof groupOf> =>
    groupOf(pod, containerOf(pod, name)?.containerID?.split('//')[1] ?? '');
  const awaitResources = (name: string, resources: ResourceRequirements): Promise<Pod> =>
    awaitPod(
      lab,
      name,
      `resources ${JSON.stringify(resources)}`,
      (pod) =>
        JSON.stringify(containerOf(pod)?.resources) === JSON.stringify(resources) &&
        pod.status?.conditions?.some(({ type }) => type.startsWith('PodResize')) === false,
    );

  it('gives a running container more and less, without a restart, also when the agent dies', async () => {
    await applyObjects(lab, podOf('plain', [shell(untilAsked, { resources: first })]));
    const before = await awaitReady(lab, 'plain');
    expect(containerOf(before)).toMatchObject({ resources: first, allocatedResources: first.requests });
    expect(await containerGroup(before)).toEqual({ milliCpu: 200, memoryBytes: 64 * mi });

    await resizeMain('plain', more);
    const grown = await awaitResources('plain', { limits: more.limits, requests: more.requests });
    expect(await containerGroup(grown)).toEqual({ milliCpu: 300, memoryBytes: 96 * mi });
    expect(await groupOf(grown)).toEqual({ milliCpu: 300, memoryBytes: 96 * mi });
    expect(grown.status).toMatchObject({ allocatedResources: more.requests, observedGeneration: 2 });

    await lab.stop(0, 'agent', 'SIGKILL');
    await resizeMain('plain', less); // nobody looks
    await lab.start(0, 'agent');
    const shrunk = await awaitResources('plain', { limits: less.limits, requests: less.requests });
    expect(await containerGroup(shrunk)).toEqual({ milliCpu: 100, memoryBytes: 48 * mi });
    expect(await groupOf(shrunk)).toEqual({ milliCpu: 100, memoryBytes: 48 * mi });
    expect(containerOf(shrunk)).toMatchObject({ restartCount: 0, containerID: containerOf(before)?.containerID });

    const summary = (resources: ResourceRequirements, generation: number): string =>
      JSON.stringify({
        containers: [{ name: 'main', resources: { limits: resources.limits, requests: resources.requests } }],
        generation,
      });
    for (const [resources, generation] of [
      [more, 2],
      [less, 3],
    ] as const) {
      await awaitEvent(lab, 'plain', 'ResizeStarted', `Pod resize started: ${summary(resources, generation)}`);
      await awaitEvent(lab, 'plain', 'ResizeCompleted', `Pod resize completed: ${summary(resources, generation)}`);
    }
    expect((await eventsOf(lab, 'plain')).filter(({ reason }) => reason === 'Killing')).toEqual([]);
  });

  it('restarts a container that wants it so', async () => {
    const policy = [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }];
    await applyObjects(lab, podOf('anew', [shell(untilAsked, { resources: first, resizePolicy: policy })]));
    await awaitReady(lab, 'anew');
    await resizeMain('anew', { requests: { memory: '48Mi' }, limits: { memory: '96Mi' } });
    const after = await awaitPod(lab, 'anew', 'restart', (pod) => containerOf(pod)?.restartCount === 1);
    await awaitEvent(lab, 'anew', 'Killing', 'Container main resize requires restart');
    await awaitEvent(lab, 'anew', 'ResizeCompleted');
    expect(await containerGroup(after)).toEqual({ milliCpu: 200, memoryBytes: 96 * mi });
  });

  it('waits until there is room, also across a crash of the agent', async () => {
    const node = await lab.kubectlJson<Node>('get', 'node', lab.nodeName(0));
    const allMilli = milliOf(node.status?.allocatable?.['cpu']);
    const asks = (milli: number): ResourceRequirements => ({ requests: { cpu: `${milli}m` } });
    const half = Math.floor(allMilli * 0.4);
    await applyObjects(
      lab,
      podOf('roommate', [shell(untilAsked, { resources: asks(half) })]),
      podOf('waits', [shell(untilAsked, { resources: asks(10) })]),
    );
    await Promise.all([awaitReady(lab, 'roommate'), awaitReady(lab, 'waits')]);
    await expect(resizeMain('waits', asks(allMilli + 1))).rejects.toThrow(
      "Node didn't have enough allocatable resources: cpu, requested:",
    );

    const wanted = allMilli - half;
    await resizeMain('waits', asks(wanted));
    const isDeferred = (pod: Pod): boolean =>
      pod.status?.conditions?.some(({ type, reason }) => type === 'PodResizePending' && reason === 'Deferred') === true;
    const waiting = await awaitPod(lab, 'waits', 'deferral', isDeferred);
    expect(containerOf(waiting)?.allocatedResources).toEqual({ cpu: '10m' });
    await awaitEvent(lab, 'waits', 'ResizeDeferred', "Node didn't have enough resource: cpu");

    await lab.stop(0, 'agent', 'SIGKILL');
    await lab.start(0, 'agent');
    await lab.kubectl('delete', 'pod', 'roommate', '--wait=false');
    const pending = await getPod(lab, 'waits');
    expect(containerOf(pending)?.restartCount).toBe(0);
    await awaitPod(
      lab,
      'waits',
      'resize',
      (pod) => milliOf(containerOf(pod)?.allocatedResources?.['cpu']) === wanted && !isDeferred(pod),
    );
    await awaitEvent(lab, 'waits', 'ResizeCompleted');
    await lab.kubectl('delete', 'pod', 'waits', '--wait=false');
  });

  it('bounds a pod as a whole, and its containers by that', async () => {
    const own = amounts(['100m', '200m'], ['32Mi', '64Mi']);
    await applyObjects(
      lab,
      podOf('whole', [shell(untilAsked), shell(untilAsked, { name: 'other' })], { resources: own }),
    );
    const before = await awaitReady(lab, 'whole');
    expect(before.status).toMatchObject({ qosClass: 'Burstable', allocatedResources: own.requests, resources: own });
    expect(await groupOf(before)).toEqual({ milliCpu: 200, memoryBytes: 64 * mi });
    expect(await containerGroup(before)).toEqual({ milliCpu: 200, memoryBytes: 64 * mi });

    await resize('whole', { resources: more });
    const after = await awaitPod(lab, 'whole', 'resize', ({ status }) => status?.resources?.limits?.['cpu'] === '300m');
    await awaitEvent(lab, 'whole', 'ResizeCompleted');
    expect(await groupOf(after)).toEqual({ milliCpu: 300, memoryBytes: 96 * mi });
    expect(await containerGroup(after, 'other')).toEqual({ milliCpu: 300, memoryBytes: 96 * mi });
    expect(containerOf(after)?.restartCount).toBe(0);
  });

  it('is refused below what is in use, and tells who was killed for using more', async () => {
    const eat = 'x=aaaaaaaa; while :; do x=$x$x; done';
    const resources = { limits: { memory: '16Mi' } };
    await applyObjects(
      lab,
      podOf('holds', [
        shell(`head -c 20m /dev/zero > /dev/shm/held; ${untilAsked}`, {
          resources: amounts(['10m', '50m'], ['16Mi', '64Mi']),
        }),
      ]),
      podOf('greedy', [shell(eat, { resources })], { restartPolicy: 'Never' }),
      podOf('greedy-init', untilAsked, {
        restartPolicy: 'OnFailure',
        initContainers: [shell(`(${eat}); exit 0`, { name: 'init', resources })],
      }),
    );
    const killed = await awaitPod(
      lab,
      'greedy',
      'end',
      (pod) => containerOf(pod)?.state?.terminated !== undefined && pod.status?.phase === 'Failed',
    );
    expect(containerOf(killed)?.state?.terminated).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
    // its last process ended well, but something in it was killed: it is not done
    const again = await awaitPod(
      lab,
      'greedy-init',
      'restart',
      (pod) => (containerOf(pod, 'init')?.restartCount ?? 0) > 0,
    );
    const ended = containerOf(again, 'init');
    expect(ended?.lastState?.terminated).toMatchObject({ reason: 'OOMKilled' });
    await lab.kubectl('delete', 'pod', 'greedy-init', '--wait=false');

    await awaitReady(lab, 'holds');
    await eventually('20 MiB in use', patienceMs, async () => {
      const size = await lab.kubectl('exec', 'holds', '--', 'wc', '-c', '/dev/shm/held');
      return size.startsWith(String(20 * mi)) ? true : undefined;
    });
    await resizeMain('holds', { limits: { memory: '16Mi' } });
    const refused = await awaitPod(
      lab,
      'holds',
      'refusal',
      (pod) =>
        pod.status?.conditions?.some(({ type, reason }) => type === 'PodResizeInProgress' && reason === 'Error') ===
        true,
    );
    expect(containerOf(refused)).toMatchObject({ restartCount: 0, resources: { limits: { memory: '64Mi' } } });
    await awaitEvent(lab, 'holds', 'ResizeError', 'cannot decrease memory limits: ');
  });
});
