import { describe, expect, it } from 'vitest';
import type { ContainerStatus, Pod } from '../../objects/generated/core-v1.ts';
import { podSummary } from './print-pod.ts';
import { humanDuration } from './print-table.ts';

const status = (state: ContainerStatus['state'], more: Partial<ContainerStatus> = {}): ContainerStatus => ({
  name: 'c',
  ready: false,
  restartCount: 0,
  image: 'x',
  imageID: '',
  state,
  ...more,
});
const running = status({ running: {} }, { ready: true });
const ended = (exitCode: number, reason = ''): ContainerStatus => status({ terminated: { exitCode, reason } });

function pod(podStatus: object, more: { init?: object[]; deleted?: boolean } = {}): Pod {
  const { init = [], deleted = false } = more;
  return {
    metadata: { name: 'p', ...(deleted ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
    spec: {
      containers: [{ name: 'c', image: 'x' }],
      initContainers: init.map((container, i) => ({ name: `i${i}`, image: 'x', ...container })),
    },
    status: { phase: 'Running', ...podStatus },
  };
}

describe('podSummary', () => {
  it.each([
    ['Pending', pod({ phase: 'Pending' })],
    [
      'SchedulingGated',
      pod({ phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] }),
    ],
    ['Running', pod({ containerStatuses: [running] })],
    ['CrashLoopBackOff', pod({ containerStatuses: [status({ waiting: { reason: 'CrashLoopBackOff' } })] })],
    ['Error', pod({ containerStatuses: [ended(1, 'Error')] })],
    ['ExitCode:3', pod({ containerStatuses: [ended(3)] })],
    ['Completed', pod({ phase: 'Succeeded', containerStatuses: [ended(0, 'Completed')] })],
    [
      'Init:0/2',
      pod(
        { phase: 'Pending', initContainerStatuses: [status({ waiting: { reason: 'PodInitializing' } })] },
        { init: [{}, {}] },
      ),
    ],
    ['Init:Error', pod({ phase: 'Pending', initContainerStatuses: [ended(1, 'Error')] }, { init: [{}] })],
    [
      'Init:ErrImagePull',
      pod(
        { phase: 'Pending', initContainerStatuses: [status({ waiting: { reason: 'ErrImagePull' } })] },
        { init: [{}] },
      ),
    ],
    ['Terminating', pod({ containerStatuses: [running] }, { deleted: true })],
    ['Evicted', pod({ phase: 'Failed', reason: 'Evicted' })],
  ])('shows %s', (want, given) => {
    expect(podSummary(given).status).toBe(want);
  });

  it('counts ready containers and restarts', () => {
    const given = pod({ containerStatuses: [{ ...running, restartCount: 2 }] });
    expect(podSummary(given)).toMatchObject({ ready: 1, total: 1, restarts: 2 });
  });
});

describe('humanDuration', () => {
  it.each([
    [45, '45s'],
    [119, '119s'],
    [200, '3m20s'],
    [180, '3m'],
    [1500, '25m'],
    [11_100, '3h5m'],
    [90_000, '25h'],
    [183_600, '2d3h'],
    [45 * 86_400, '45d'],
    [765 * 86_400, '2y35d'],
    [3400 * 86_400, '9y'],
  ])('%i seconds are %s', (seconds, want) => {
    expect(humanDuration(seconds * 1000)).toBe(want);
  });
});
