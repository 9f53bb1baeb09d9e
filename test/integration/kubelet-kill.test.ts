/**
 * `kill -9` at every step of a pod's start and of its end: before the other side hears of the step, and when it has
 * done it and the kubelet does not know yet. Whoever watches the API and the runtime sees one pod that starts and ends.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configMaps } from '../../src/client/resource-types.ts';
import type { PodStatus } from '../../src/objects/generated/core-v1.ts';
import type { GateStep, Moment } from '../fakes/fault-gate.ts';
import { type KubeletFixture, apiPod, conditionOf, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';
import { MortalKubelet } from './mortal-kubelet.ts';

const podName = 'whole';

/** Every step that is about the pod, in the words of the record below, as they come the first time. */
const startSteps = [
  'PATCH pods',
  'RunPodSandbox',
  'PodSandboxStatus',
  'CreateContainer init',
  'StartContainer init',
  'ContainerStatus init',
  'CreateContainer side',
  'StartContainer side',
  'ContainerStatus side',
  'CreateContainer one',
  'StartContainer one',
  'CreateContainer two',
  'StartContainer two',
  'ContainerStatus one',
  'ContainerStatus two',
  'ExecSync two',
  'PATCH pods ready',
];
const endSteps = [
  'ExecSync one preStop',
  'StopContainer two',
  'StopContainer one',
  'StopContainer side',
  'StopPodSandbox',
  'PATCH pods end',
  'DELETE pods',
  'RemoveContainer init',
  'RemoveContainer side',
  'RemoveContainer one',
  'RemoveContainer two',
  'RemovePodSandbox',
];

function nameOf({ method, container, request }: GateStep): string {
  if (method === 'PATCH pods') {
    const { status = {} } = request as { status?: Partial<PodStatus> }; // the kubelet's own patch
    if (status.phase === 'Succeeded' || status.phase === 'Failed') return `${method} end`;
    const isReady = status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True');
    return isReady === true ? `${method} ready` : method;
  }
  const isPreStop = method === 'ExecSync' && (request as { cmd: string[] }).cmd[0] === 'farewell';
  return [method, container, isPreStop ? 'preStop' : ''].filter((part) => part !== undefined && part !== '').join(' ');
}

async function open(onTestFinished: (close: () => Promise<void>) => void): Promise<KubeletFixture> {
  const t = await openFixture();
  onTestFinished(() => t.close());
  t.cri.behave({ name: 'init' }, { exits: { afterMs: 50, code: 0 } });
  await t.api.create(configMaps, { metadata: { name: 'settings', namespace: 'default' }, data: { key: 'value' } });
  return t;
}

function addPod(t: KubeletFixture): string {
  const probe = { exec: { command: ['probe'] }, periodSeconds: 2 };
  const pod = t.api.addPod(
    apiPod(podName, {
      terminationGracePeriodSeconds: 10,
      initContainers: [
        { name: 'init', image: 'init:1' },
        { name: 'side', image: 'web:1', restartPolicy: 'Always' },
      ],
      containers: [
        webContainer({
          name: 'one',
          lifecycle: { preStop: { exec: { command: ['farewell'] } } },
          volumeMounts: [{ name: 'settings', mountPath: '/settings' }],
        }),
        webContainer({ name: 'two', readinessProbe: probe, livenessProbe: probe }),
      ],
      volumes: [{ name: 'settings', configMap: { name: 'settings' } }],
    }),
    nodeName,
  );
  return pod.metadata.uid ?? '';
}

/** Everything that could tell of the pod is gone: runtime, volumes, logs. */
async function untilNothingIsLeft(t: KubeletFixture, uid: string): Promise<void> {
  await t.untilGone(podName);
  await t.until(
    'the runtime to be empty',
    () => t.cri.runtime.sandboxes.size === 0 && t.cri.runtime.containers.size === 0,
    200_000,
  );
  const left = async (): Promise<string[]> => [
    ...(await readdir(join(t.directory, 'root', 'pods'))).filter((name) => name === uid),
    ...(await readdir(join(t.directory, 'pod-logs'))),
    ...(await readdir(join(t.directory, 'container-logs'))),
  ];
  let last: string[] = ['?'];
  const looking = { isOver: false };
  const looks = (async () => {
    while (last.length > 0 && !looking.isOver) last = await left();
  })();
  try {
    await t.until('its files to be gone', () => last.length === 0, 200_000);
  } finally {
    looking.isOver = true;
    await looks;
  }
  expect(last).toEqual([]);
}

/** How often the runtime was really asked to do it. */
const done = (t: KubeletFixture, method: string): number => t.cri.callsOf(method).length;

/** Names of containers whose start reached the runtime, once for each time. */
function started(t: KubeletFixture): string[] {
  return startsOf(t).toSorted();
}

const names = new WeakMap<KubeletFixture, Map<string, string>>();
function startsOf(t: KubeletFixture): string[] {
  const known = names.get(t) ?? new Map<string, string>();
  for (const { id, config } of t.cri.runtime.containers.values()) known.set(id, config.metadata?.name ?? '');
  names.set(t, known);
  return t.cri
    .callsOf('StartContainer')
    .map(({ request }) => known.get((request as { container_id: string }).container_id) ?? 'unknown');
}

/** What a watcher on the API may never see of the pod, over all that was told. */
function expectSteadyStory(t: KubeletFixture): void {
  const order = ['Pending', 'Running', 'Succeeded', 'Failed'];
  const told = t.api.podPatches.filter(({ name }) => name === podName).map(({ status }) => status);
  let wasReady = false;
  let phase = 0;
  const restarts = new Map<string, number>();
  for (const status of told) {
    const now = order.indexOf(status.phase ?? 'Pending');
    expect(now, `phase ${status.phase} after ${order[phase]}`).toBeGreaterThanOrEqual(phase);
    phase = now;
    const isReady = status.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
    const isRunning = status.containerStatuses?.every(({ state }) => state?.running !== undefined) === true;
    if (wasReady && isRunning) expect(isReady, 'Ready flips while everything runs').toBe(true);
    wasReady = isReady;
    for (const { name, restartCount, lastState } of [
      ...(status.containerStatuses ?? []),
      ...(status.initContainerStatuses ?? []),
    ]) {
      expect(restartCount, `restart count of ${name}`).toBeGreaterThanOrEqual(restarts.get(name) ?? 0);
      restarts.set(name, restartCount);
      expect(lastState?.terminated, `last state of ${name}, which never ended`).toBeUndefined();
    }
  }
}

/** Everything runs once, and says so. */
async function expectWholePod(t: KubeletFixture, replaced: string | undefined): Promise<void> {
  const sandboxes = t.cri.sandboxesOfPod(podName);
  expect(sandboxes.filter(({ isReady }) => isReady)).toHaveLength(1);
  const containers = t.cri.containersOfPod(podName);
  const inState = (wanted: string): string[] =>
    containers.filter(({ state }) => state === wanted).map(({ config }) => config.metadata?.name ?? '');
  expect(inState('running').toSorted()).toEqual(['one', 'side', 'two']);
  await t.until(
    'no container to be left that was never started',
    () => !t.cri.containersOfPod(podName).some(({ state }) => state === 'created'),
    300_000,
  );
  expect(started(t)).toEqual(['init', 'one', 'side', 'two']);
  const restarts = ['init', 'side', 'one', 'two'].map((name) => [name, t.container(podName, name)?.restartCount]);
  expect(restarts).toEqual(['init', 'side', 'one', 'two'].map((name) => [name, name === replaced ? 1 : 0]));
  expect(conditionOf(t.api.pod(podName), 'Ready')).toBe('True');
  expectSteadyStory(t);
}

describe('the life of a pod', () => {
  it('has the steps at which the kubelet is killed below, and no other', async ({ onTestFinished }) => {
    const t = await open(onTestFinished);
    const kubelet = await MortalKubelet.start(t);
    const uid = addPod(t);
    await t.untilReady(podName);
    await t.clock.pass(3000);
    await expectWholePod(t, undefined);
    const firsts = (): string[] => [
      ...new Set(kubelet.gate.steps.filter(({ podUid }) => podUid === uid).map((step) => nameOf(step))),
    ];
    const isList = (name: string): boolean => name.startsWith('List');
    expect(
      firsts()
        .filter((name) => !isList(name))
        .toSorted(),
    ).toEqual(startSteps.toSorted());
    t.api.deletePod(podName, 10);
    await untilNothingIsLeft(t, uid);
    expect(
      firsts()
        .filter((name) => !isList(name))
        .toSorted(),
    ).toEqual([...startSteps, ...endSteps].toSorted());
  });
});

/**
 * What only reads leaves the world as it was: there "after" is "before". A container that was created and is not
 * started yet is one case. And one removed container is like another.
 */
function kills(steps: readonly string[]): Array<{ step: string; moment: Moment }> {
  const moments = (step: string): Moment[] => {
    if (/^(PodSandboxStatus|ContainerStatus|ExecSync two)/.test(step)) return ['before'];
    if (step.startsWith('StartContainer')) return ['after'];
    return ['before', 'after'];
  };
  return steps
    .filter((step) => !/^RemoveContainer (init|side|two)/.test(step))
    .flatMap((step) => moments(step).map((moment) => ({ step, moment })));
}
const startKills = kills(startSteps);
const endKills = kills(endSteps);

describe('kill -9 while a pod starts', () => {
  it.concurrent.for(startKills)('$moment $step: it starts once', async ({ step, moment }, { onTestFinished }) => {
    const t = await open(onTestFinished);
    const victim = await MortalKubelet.start(t);
    const held = victim.gate.hold((one) => nameOf(one) === step, moment);
    addPod(t);
    await t.until(`${step} to be held`, () => (startsOf(t), held.count > 0));
    await victim.kill();
    startsOf(t);
    await MortalKubelet.start(t);
    await t.untilReady(podName);
    await t.until('the old picture to be over', () => (startsOf(t), done(t, 'StartContainer') >= 4));
    await t.clock.pass(5000);
    const [method, container] = step.split(' ');
    const isCreated = method === 'CreateContainer' && moment === 'after'; // it is replaced, and that counts
    await expectWholePod(t, isCreated ? container : undefined);
  });
});

describe('kill -9 while a pod ends', () => {
  it.concurrent.for(endKills)('$moment $step: nothing is left', async ({ step, moment }, { onTestFinished }) => {
    const t = await open(onTestFinished);
    const victim = await MortalKubelet.start(t);
    const uid = addPod(t);
    await t.untilReady(podName);
    const held = victim.gate.hold((one) => nameOf(one) === step, moment);
    t.api.deletePod(podName, 10);
    await t.until(`${step} to be held`, () => held.count > 0, 200_000);
    await victim.kill();
    expect(t.cri.callsOf('StartContainer')).toHaveLength(4);
    await MortalKubelet.start(t);
    await untilNothingIsLeft(t, uid);
    expect(t.cri.callsOf('StartContainer')).toHaveLength(4);
    expect(t.cri.callsOf('RunPodSandbox')).toHaveLength(1);
    expectSteadyStory(t);
  });
});
