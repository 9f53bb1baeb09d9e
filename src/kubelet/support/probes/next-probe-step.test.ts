import { describe, expect, it } from 'vitest';
import type { ContainerStatus, Pod, PodStatus } from '../../../objects/generated/core-v1.ts';
import {
  type ProbeMemory,
  type ProbeTarget,
  type ResultCount,
  bareContainerId,
  countResult,
  nextProbeStep,
} from './next-probe-step.ts';

const bootMs = Date.parse('2026-01-01T00:01:00Z');
const nowMs = bootMs + 60_000;
const at = (ms: number): string => new Date(ms).toISOString();

function target(
  kind: ProbeTarget['kind'],
  more: Partial<ProbeTarget> & { deleted?: boolean; policy?: string } = {},
): ProbeTarget {
  const { deleted, policy = 'Always', ...rest } = more;
  const container = { name: 'web', image: 'web' };
  const pod: Pod = {
    metadata: { name: 'p', uid: 'u', ...(deleted === true ? { deletionTimestamp: at(nowMs) } : {}) },
    spec: { containers: [container], restartPolicy: policy },
  };
  return { pod, container, isSidecar: false, kind, spec: {}, ...rest };
}

function statusWith(more: Partial<ContainerStatus>, phase = 'Running'): PodStatus {
  const web: ContainerStatus = {
    name: 'web',
    image: '',
    imageID: '',
    ready: false,
    restartCount: 0,
    containerID: 'containerd://new',
    started: true,
    state: { running: { startedAt: at(bootMs + 30_000) } },
    ...more,
  };
  return { phase, containerStatuses: [web] };
}

const knows = (containerId: string | undefined, isOnHold = false): ProbeMemory => ({ containerId, isOnHold });
const old = { state: { running: { startedAt: at(bootMs - 60_000) } } };
const ended = { state: { terminated: { exitCode: 1 } } };

describe('nextProbeStep', () => {
  it.each([
    {
      name: 'no status: wait',
      t: target('liveness'),
      status: undefined,
      memory: knows(undefined),
      want: { action: 'wait' },
    },
    {
      name: 'a finished pod: end',
      t: target('liveness'),
      status: statusWith({}, 'Succeeded'),
      memory: knows('new'),
      want: { action: 'end' },
    },
    {
      name: 'no container yet: wait',
      t: target('liveness'),
      status: statusWith({ containerID: '' }),
      memory: knows(undefined),
      want: { action: 'wait' },
    },
    {
      name: 'new container: liveness starts as success, and is asked',
      t: target('liveness'),
      status: statusWith({}),
      memory: knows(undefined),
      want: { action: 'probe', publish: 'success', memory: knows('new') },
    },
    {
      name: 'new container: readiness starts as failure, and is asked',
      t: target('readiness'),
      status: statusWith({}),
      memory: knows(undefined),
      want: { action: 'probe', publish: 'failure', memory: knows('new') },
    },
    {
      name: 'new container: startup starts as unknown, and is asked',
      t: target('startup'),
      status: statusWith({ started: false }),
      memory: knows(undefined),
      want: { action: 'probe', publish: 'unknown', memory: knows('new') },
    },
    {
      name: 'next instance: the old result is void and the hold ends',
      t: target('liveness'),
      status: statusWith({}),
      memory: knows('old', true),
      want: { action: 'probe', forget: 'old', publish: 'success', memory: knows('new') },
    },
    {
      name: 'a container from before our start gets no initial value',
      t: target('readiness'),
      status: statusWith(old),
      memory: knows(undefined),
      want: { action: 'probe', memory: knows('new') },
    },
    {
      name: 'a sidecar from before our start that had started stays so',
      t: target('startup', { isSidecar: true }),
      status: statusWith(old),
      memory: knows(undefined),
      want: { action: 'wait', publish: 'success', memory: knows('new') },
    },
    {
      name: 'on hold: wait',
      t: target('liveness'),
      status: statusWith({}),
      memory: knows('new', true),
      want: { action: 'wait' },
    },
    {
      name: 'not running, will be restarted: failure',
      t: target('readiness'),
      status: statusWith(ended),
      memory: knows('new'),
      want: { action: 'wait', publish: 'failure' },
    },
    {
      name: 'not running, for good: failure, and end',
      t: target('readiness', { policy: 'Never' }),
      status: statusWith(ended),
      memory: knows('new'),
      want: { action: 'end', publish: 'failure' },
    },
    {
      name: 'not running, waiting, policy Never: go on',
      t: target('readiness', { policy: 'Never' }),
      status: statusWith({ state: { waiting: {} } }),
      memory: knows('new'),
      want: { action: 'wait', publish: 'failure' },
    },
    {
      name: 'a sidecar restarts whatever the pod says',
      t: target('readiness', { policy: 'Never', container: { name: 'web', image: '', restartPolicy: 'Always' } }),
      status: statusWith(ended),
      memory: knows('new'),
      want: { action: 'wait', publish: 'failure' },
    },
    {
      name: 'deleted: liveness succeeds and ends',
      t: target('liveness', { deleted: true }),
      status: statusWith({}),
      memory: knows('new'),
      want: { action: 'end', publish: 'success' },
    },
    {
      name: 'deleted: readiness goes on',
      t: target('readiness', { deleted: true }),
      status: statusWith({}),
      memory: knows('new'),
      want: { action: 'probe' },
    },
    {
      name: 'within the initial delay: wait',
      t: target('liveness', { spec: { initialDelaySeconds: 31 } }),
      status: statusWith({}),
      memory: knows('new'),
      want: { action: 'wait' },
    },
    {
      name: 'after the initial delay: probe',
      t: target('liveness', { spec: { initialDelaySeconds: 30 } }),
      status: statusWith({}),
      memory: knows('new'),
      want: { action: 'probe' },
    },
    {
      name: 'not started: readiness waits',
      t: target('readiness'),
      status: statusWith({ started: false }),
      memory: knows('new'),
      want: { action: 'wait' },
    },
    {
      name: 'started: startup idles',
      t: target('startup'),
      status: statusWith({}),
      memory: knows('new'),
      want: { action: 'wait' },
    },
  ] as const)('$name', ({ t, status, memory, want }) => {
    const step = nextProbeStep(t, status, memory, nowMs, bootMs);
    expect(step).toEqual({ memory, ...want });
  });

  it('looks among init containers for a sidecar', () => {
    const status = statusWith({});
    const step = nextProbeStep(
      target('readiness', { isSidecar: true }),
      { phase: 'Running', initContainerStatuses: status.containerStatuses },
      knows('new'),
      nowMs,
      bootMs,
    );
    expect(step.action).toBe('probe');
  });
});

describe('countResult', () => {
  const s = 'success';
  const f = 'failure';
  it.each([
    { name: 'three failures by default', results: [f, f, f], spec: {}, published: [false, false, true] },
    {
      name: 'a success between starts anew',
      results: [f, f, s, f, f, f],
      spec: {},
      published: [false, false, true, false, false, true],
    },
    { name: 'two successes when asked for', results: [s, s], spec: { successThreshold: 2 }, published: [false, true] },
    { name: 'one failure when asked for', results: [f], spec: { failureThreshold: 1 }, published: [true] },
  ] as const)('$name', ({ results, spec, published }) => {
    let count: ResultCount = { last: undefined, run: 0 };
    const seen = results.map((result) => {
      const next = countResult(count, result, spec);
      count = next.count;
      return next.isPublished;
    });
    expect(seen).toEqual(published);
  });
});

describe('bareContainerId', () => {
  it.each([
    ['containerd://abc', 'abc'],
    ['cri-o://abc', 'abc'],
    ['abc', 'abc'],
    ['', undefined],
    [undefined, undefined],
  ])('%s → %s', (id, want) => {
    expect(bareContainerId(id)).toBe(want);
  });
});
