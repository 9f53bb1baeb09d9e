/**
 * The one-pod fence, with a crowd: each CRI method goes wrong for a pod of its own, all at once, while fifty other pods
 * start, are probed, report and go. Nothing is measured by the wall: the fifty get there while the others are stuck.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodes } from '../../src/client/resource-types.ts';
import type { Container } from '../../src/objects/generated/core-v1.ts';
import type { MatchRequest } from '../fakes/fake-faults.ts';
import { type KubeletFixture, apiPod, conditionOf, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';

let t: KubeletFixture;

beforeEach(async () => {
  t = await openFixture();
});
afterEach(async () => {
  await t.close();
});

const crowd = Array.from({ length: 50 }, (_, i) => `other-${i}`);
const readiness = { exec: { command: ['ready'] }, periodSeconds: 1 };

/** At which point of its pod's life each method is called, and how the pod shows it when the call fails. */
const startMethods: Record<string, RegExp> = {
  RunPodSandbox: /^FailedCreatePodSandBox: Failed to create pod sandbox: rpc error: code = Unknown desc = broken$/,
  PodSandboxStatus:
    /^FailedPodSandBoxStatus: Unable to get pod sandbox status: rpc error: code = Unknown desc = broken$/,
  ImageStatus: /^Failed: Error: ImageInspectError$/,
  PullImage: /^Failed: Failed to pull image ".*": broken$/,
  CreateContainer: /^Failed: Error: broken$/,
  StartContainer: /^Failed: Error: broken$/,
  ContainerStatus: /^FailedSync: error determining status: rpc error: code = Unknown desc = broken$/,
  ExecSync:
    /^Unhealthy: Readiness probe errored and resulted in unknown state: rpc error: code = Unknown desc = broken$/,
};
const endMethods: Record<string, RegExp> = {
  StopContainer:
    /^FailedKillPod: error killing pod: failed to "KillContainer" for "web" with KillContainerError: "rpc error: code = Unknown desc = broken"$/,
  StopPodSandbox:
    /^FailedKillPod: error killing pod: failed to "KillPodSandbox" for "[^"]+" with KillPodSandboxError: "rpc error: code = Unknown desc = broken"$/,
};
const cleanUpMethods = ['RemoveContainer', 'RemovePodSandbox'];
const loggingMethod = 'ReopenContainerLog';
const allMethods = [...Object.keys(startMethods), ...Object.keys(endMethods), ...cleanUpMethods, loggingMethod];

const podOf = (method: string): string => `bad-${method.toLowerCase()}`;
const imageOf = (method: string): string => `${method.toLowerCase()}:1`;

/** Whether a request is about the pod: it names the pod, its image, or an id of its sandbox or containers. */
function isAbout(method: string): MatchRequest {
  const name = podOf(method);
  const ids = new Set<string>();
  return (request) => {
    const text = JSON.stringify(request);
    for (const { id } of [...t.cri.sandboxesOfPod(name), ...t.cri.containersOfPod(name)]) ids.add(id);
    return (
      text.includes(`"name":"${name}"`) || text.includes(imageOf(method)) || [...ids].some((id) => text.includes(id))
    );
  };
}

function addBadPod(method: string): void {
  const more: Partial<Container> = method === 'ExecSync' ? { readinessProbe: readiness } : {};
  t.api.addPod(
    apiPod(podOf(method), {
      terminationGracePeriodSeconds: 2,
      containers: [webContainer({ image: imageOf(method), ...more })],
    }),
    nodeName,
  );
}

/** The pods whose fault comes late run before it. */
async function startLateOnes(): Promise<void> {
  for (const method of allMethods) {
    if (method === 'PullImage') t.cri.images.publish(imageOf(method));
    else t.cri.images.add(imageOf(method));
  }
  const late = [...Object.keys(endMethods), ...cleanUpMethods, loggingMethod];
  for (const method of late) addBadPod(method);
  for (const method of late) await t.untilReady(podOf(method));
}

/** Brings every bad pod to its fault. */
async function goWrong(): Promise<void> {
  for (const method of Object.keys(startMethods)) addBadPod(method);
  for (const method of [...Object.keys(endMethods), ...cleanUpMethods]) t.api.deletePod(podOf(method), 2);
  await loseLog(podOf(loggingMethod));
}

/** Its log file is gone: the next look at logs asks the runtime to open it again. */
async function loseLog(pod: string): Promise<void> {
  for (const { logPath } of t.cri.containersOfPod(pod)) await rm(logPath, { force: true });
}

const isNodeReady = (): boolean =>
  t.api.find(nodes, undefined, nodeName)?.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';

const probesOf = (pod: string): number => {
  const ids = t.cri.containersOfPod(pod).map(({ id }) => id);
  return t.cri
    .callsOf('ExecSync')
    .filter(({ request }) => ids.includes((request as { container_id: string }).container_id)).length;
};

/** Fifty pods live their whole lives. */
async function expectCrowdLives(): Promise<void> {
  for (const name of crowd) {
    t.api.addPod(
      apiPod(name, {
        terminationGracePeriodSeconds: 2,
        containers: [webContainer({ readinessProbe: readiness, livenessProbe: readiness })],
      }),
      nodeName,
    );
  }
  await t.until('the crowd to be ready', () => crowd.every((name) => conditionOf(t.api.pod(name), 'Ready') === 'True'));
  const [first = ''] = crowd;
  await loseLog(first);
  const probed = new Map(crowd.map((name) => [name, probesOf(name)]));
  await t.until('each of the crowd to be probed on', () =>
    crowd.every((name) => probesOf(name) >= (probed.get(name) ?? 0) + 6),
  );
  await t.until("a log of the crowd's to be opened again", () =>
    t.cri
      .callsOf('ReopenContainerLog')
      .some(({ request }) =>
        t.cri.containersOfPod(first).some(({ id }) => id === (request as { container_id: string }).container_id),
      ),
  );
  t.cri.exitContainer({ pod: first, name: 'web' }, 3);
  await t.until('its crash to be reported', () => t.container(first, 'web')?.restartCount === 1);
  expect(isNodeReady()).toBe(true);
  for (const name of crowd) t.api.deletePod(name, 2);
  await t.until('the crowd to be gone', () => crowd.every((name) => t.api.pod(name) === undefined));
  await t.until(
    'the crowd to have left the runtime',
    () => crowd.every((name) => t.cri.sandboxesOfPod(name).length === 0),
    90_000,
  );
  let left: string[] = crowd;
  await t.until(
    'its logs to be gone',
    () => {
      void readdir(join(t.directory, 'pod-logs')).then(
        (names) => (left = names.filter((name) => name.includes('other-'))),
      );
      return left.length === 0;
    },
    90_000,
  );
  expect(isNodeReady()).toBe(true);
}

/** Once the fault is over, each bad pod is where it should have been long ago: once. */
async function expectRecovery(): Promise<void> {
  for (const method of Object.keys(startMethods)) {
    await t.until(
      `${podOf(method)} to be ready`,
      () => conditionOf(t.api.pod(podOf(method)), 'Ready') === 'True',
      400_000,
    );
    const running = t.cri.containersOfPod(podOf(method)).filter(({ state }) => state === 'running');
    expect(running, `running containers of ${podOf(method)}`).toHaveLength(1);
    expect(t.cri.sandboxesOfPod(podOf(method)).filter(({ isReady }) => isReady)).toHaveLength(1);
  }
  for (const method of [...Object.keys(endMethods), ...cleanUpMethods]) {
    await t.untilGone(podOf(method));
    await t.until(
      `${podOf(method)} to leave the runtime`,
      () => t.cri.sandboxesOfPod(podOf(method)).length === 0,
      90_000,
    );
  }
  expect(isNodeReady()).toBe(true);
}

describe('every CRI method, each for one pod', () => {
  it('hangs: fifty others live on, and each pod recovers', async () => {
    await t.start();
    await startLateOnes();
    const hangs = allMethods.map((method) => ({ method, hang: t.cri.hang(method, isAbout(method)) }));
    await goWrong();
    for (const { method, hang } of hangs) await t.until(`${method} to hang`, () => hang.hanging > 0, 90_000);
    await expectCrowdLives();
    for (const { method, hang } of hangs) expect(hang.hanging, `${method} hangs on`).toBeGreaterThan(0);
    for (const { hang } of hangs) hang.release();
    await expectRecovery();
  });

  it('fails: fifty others live on, each pod says why, and recovers', async () => {
    await t.start();
    await startLateOnes();
    for (const method of allMethods) t.cri.failNext(method, 'UNKNOWN', 'broken', Infinity, isAbout(method));
    await goWrong();
    await expectCrowdLives();
    for (const [method, event] of Object.entries({ ...startMethods, ...endMethods })) {
      await t.until(`the event of ${podOf(method)}`, () =>
        t.api.eventsOf(podOf(method)).some((text) => event.test(text)),
      );
    }
    t.cri.faults.stopFailing();
    await expectRecovery();
  });
});
