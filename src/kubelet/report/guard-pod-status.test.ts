import { describe, expect, it } from 'vitest';
import { testContainer, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { ContainerStatus, PodStatus } from '../../objects/generated/core-v1.ts';
import { closePodStatus, findIllegalTransition, withDisruption } from './guard-pod-status.ts';

const running: Partial<ContainerStatus> = { state: { running: { startedAt: '2026-01-01T00:00:00Z' } } };
const waiting: Partial<ContainerStatus> = { state: { waiting: { reason: 'ContainerCreating' } } };
const ended = (exitCode: number): Partial<ContainerStatus> => ({ state: { terminated: { exitCode } } });
const status = (name: string, more: Partial<ContainerStatus>): ContainerStatus => ({
  name,
  image: '',
  imageID: '',
  ready: false,
  restartCount: 0,
  ...more,
});
const statuses = (more: Partial<ContainerStatus>): PodStatus => ({ containerStatuses: [status('web', more)] });
const lost = {
  state: {
    terminated: {
      exitCode: 137,
      reason: 'ContainerStatusUnknown',
      message: 'The container could not be located when the pod was terminated',
    },
  },
};
const init = (...names: string[]) => ({ initContainers: names.map((name) => testContainer(name)) });
const sidecar = { initContainers: [testContainer('side', { restartPolicy: 'Always' })] };

describe('findIllegalTransition', () => {
  const up = (): boolean => false;
  const down = (): boolean => true;
  it.each([
    { name: 'an ended container that stays down runs', old: statuses(ended(0)), now: statuses(running), want: 'web' },
    { name: 'an ended container that stays down waits', old: statuses(ended(1)), now: statuses(waiting), want: 'web' },
    { name: 'an ended container that may start again', old: statuses(ended(1)), now: statuses(running), may: up },
    { name: 'an ended container that is still ended', old: statuses(ended(1)), now: statuses(ended(1)) },
    { name: 'a running container that ends', old: statuses(running), now: statuses(ended(1)) },
    { name: 'an ended container of which nothing is told', old: statuses(ended(1)), now: {} },
    { name: 'nothing was told before', old: undefined, now: statuses(running) },
    {
      name: 'a failed init container runs',
      pod: testPod(init('a')),
      old: { initContainerStatuses: [status('a', ended(1))] },
      now: { initContainerStatuses: [status('a', running)] },
      want: 'a',
    },
    {
      name: 'a done init container runs again, for a new sandbox',
      pod: testPod(init('a')),
      old: { initContainerStatuses: [status('a', ended(0))] },
      now: { initContainerStatuses: [status('a', running)] },
    },
    {
      name: 'a rule may start all containers again',
      pod: testPod({
        containers: [testContainer('web', { restartPolicyRules: [{ action: 'RestartAllContainers' }] })],
      }),
      old: statuses(ended(0)),
      now: statuses(running),
    },
    {
      name: 'a sidecar starts again',
      pod: testPod(sidecar),
      old: { initContainerStatuses: [status('side', ended(1))] },
      now: { initContainerStatuses: [status('side', running)] },
    },
  ])('$name', ({ pod = testPod(), old, now, may = down, want }) => {
    expect(findIllegalTransition(pod, old, now, may)).toBe(want);
  });
});

describe('closePodStatus', () => {
  it.each([
    { name: 'a container that waits was lost', of: statuses(waiting), want: { ...statuses(lost), phase: 'Failed' } },
    { name: 'a container that seemed to run was lost', of: statuses(running), want: statuses(lost) },
    { name: 'an end that is known stays', of: statuses(ended(0)), want: statuses(ended(0)) },
    {
      name: 'a phase that is terminal stays',
      of: { ...statuses(ended(0)), phase: 'Succeeded' },
      want: { ...statuses(ended(0)), phase: 'Succeeded' },
    },
    {
      name: 'a static pod has no last word',
      pod: testPod({}, { annotations: { 'kubernetes.io/config.source': 'file' } }),
      of: { ...statuses(running), phase: 'Running' },
      want: { ...statuses(lost), phase: 'Running' },
    },
    {
      name: 'a pod that never came past its first init container: that one was lost, the rest never was',
      pod: testPod(init('a', 'b')),
      of: { ...statuses(waiting), initContainerStatuses: [status('a', waiting), status('b', waiting)] },
      want: { ...statuses(waiting), initContainerStatuses: [status('a', lost), status('b', waiting)] },
    },
    {
      name: 'init containers up to the last that ran',
      pod: testPod(init('a', 'b', 'c')),
      of: {
        ...statuses(waiting),
        initContainerStatuses: [
          status('a', waiting),
          status('b', { ...waiting, lastState: { terminated: { exitCode: 1 } } }),
          status('c', waiting),
        ],
      },
      want: {
        ...statuses(waiting),
        initContainerStatuses: [
          status('a', lost),
          status('b', { ...lost, lastState: { terminated: { exitCode: 1 } } }),
          status('c', waiting),
        ],
      },
    },
    {
      name: 'the last init container is done: the rest was lost',
      pod: testPod(init('a')),
      of: { ...statuses(waiting), initContainerStatuses: [status('a', ended(0))] },
      want: { ...statuses(lost), initContainerStatuses: [status('a', ended(0))] },
    },
    {
      name: 'a sidecar that had not started: nothing began',
      pod: testPod(sidecar),
      of: { ...statuses(waiting), initContainerStatuses: [status('side', { ...running, started: false })] },
      want: { ...statuses(waiting), initContainerStatuses: [status('side', { ...lost, started: false })] },
    },
  ])('$name', ({ pod = testPod(), of, want }) => {
    expect(closePodStatus(pod, of)).toEqual({ phase: 'Failed', ...want });
  });
});

describe('withDisruption', () => {
  const conditions = ['theirs', 'PodReadyToStartContainers', 'Ready'].map((type) => ({ type, status: 'True' }));
  const told = { type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet', message: 'm' };

  it('is told before the conditions of the pod itself, with its time and generation', () => {
    const { conditions: now } = withDisruption(testPod(), { conditions }, undefined, 'm', 1_700_000_000_000);
    expect(now?.map(({ type }) => type)).toEqual(['theirs', 'DisruptionTarget', 'PodReadyToStartContainers', 'Ready']);
    expect(now?.[1]).toEqual({ ...told, lastTransitionTime: '2023-11-14T22:13:20Z', observedGeneration: 1 });
  });

  it('stays as it was told first', () => {
    const { conditions: now } = withDisruption(testPod(), { conditions }, { conditions: [told] }, 'other', 0);
    expect(now?.[1]).toEqual(told);
  });

  it('is not there when nobody said so', () => {
    expect(withDisruption(testPod(), { conditions }, { conditions }, undefined, 0)).toEqual({ conditions });
  });
});
