import { describe, expect, it } from 'vitest';
import {
  exited,
  testContainer,
  testInstance,
  testObserved,
  testPod,
  testSandbox,
} from '../../../test/fixtures/kubelet-pods.ts';
import type { PodStatus } from '../../objects/generated/core-v1.ts';
import { decideSandbox } from '../execute/compute-pod-actions.ts';
import { isRestartingAll, mayRestartAll } from '../execute/compute-restart-all.ts';
import { hasEndedForGood, isToStartNext } from '../execute/restart-policy.ts';
import type { ProbeResults, StartFailure } from '../pod-model.ts';
import { type PodStatusInput, computePodStatus } from './compute-pod-status.ts';

const nowMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const now = '2026-01-02T03:04:05Z';
const unknownProbes = { liveness: () => undefined, readiness: () => undefined, startup: () => undefined };

function statusOf(more: Partial<PodStatusInput>): PodStatus {
  const pod = more.pod ?? testPod();
  const failures = more.failures ?? new Map<string, StartFailure>();
  return computePodStatus({
    pod,
    observed: undefined,
    old: undefined,
    failures,
    isToStart: (container) => isToStartNext(pod, container, more.observed),
    staysDown: (container, exitCode) => hasEndedForGood(pod, container, exitCode),
    needsSandbox: decideSandbox(pod, more.observed).kind === 'create',
    isRestartingAll: mayRestartAll(pod) ? isRestartingAll(pod, more.observed) : undefined,
    hasRecursiveReadOnly: false,
    hasStopSignals: false,
    probes: unknownProbes,
    hasProbe: ({ spec }, kind) => (kind === 'startup' ? spec.startupProbe : spec.readinessProbe) !== undefined,
    isEnding: false,
    override: undefined,
    lastWord: undefined,
    qosClass: 'BestEffort',
    hostIps: ['192.0.2.1'],
    runtimeName: 'containerd',
    terminationMessage: () => undefined,
    actualPod: pod,
    resizeConditions: [],
    nowMs,
    ...more,
  });
}

const two = { containers: [testContainer('a'), testContainer('b')] };
const withInit = { initContainers: [testContainer('i1')] };

const slow = testContainer('s', { restartPolicy: 'Always', startupProbe: {} });

describe('computePodStatus: phase', () => {
  it.each([
    { name: 'nothing there yet', pod: testPod(), containers: [], want: 'Pending' },
    { name: 'all run', pod: testPod(two), containers: [testInstance('a'), testInstance('b')], want: 'Running' },
    { name: 'one runs, one was never created', pod: testPod(two), containers: [testInstance('a')], want: 'Pending' },
    {
      name: 'one runs, one has ended for good',
      pod: testPod({ ...two, restartPolicy: 'Never' }),
      containers: [testInstance('a'), exited('b', 1)],
      want: 'Running',
    },
    {
      name: 'all ended well, Never',
      pod: testPod({ ...two, restartPolicy: 'Never' }),
      containers: [exited('a', 0), exited('b', 0)],
      want: 'Succeeded',
    },
    {
      name: 'one ended badly, Never',
      pod: testPod({ ...two, restartPolicy: 'Never' }),
      containers: [exited('a', 0), exited('b', 1)],
      want: 'Failed',
    },
    {
      name: 'ended well, OnFailure',
      pod: testPod({ restartPolicy: 'OnFailure' }),
      containers: [exited('web', 0)],
      want: 'Succeeded',
    },
    {
      name: 'ended badly, OnFailure: it comes back',
      pod: testPod({ restartPolicy: 'OnFailure' }),
      containers: [exited('web', 1)],
      want: 'Running',
    },
    { name: 'ended, Always: it comes back', pod: testPod(), containers: [exited('web', 0)], want: 'Running' },
    { name: 'init runs', pod: testPod(withInit), containers: [testInstance('i1')], want: 'Pending' },
    {
      name: 'init failed, Always: it comes back',
      pod: testPod(withInit),
      containers: [exited('i1', 1)],
      want: 'Pending',
    },
    {
      name: 'init failed, Never',
      pod: testPod({ ...withInit, restartPolicy: 'Never' }),
      containers: [exited('i1', 1)],
      want: 'Failed',
    },
    {
      name: 'init done, regular runs',
      pod: testPod(withInit),
      containers: [exited('i1', 0), testInstance('web')],
      want: 'Running',
    },
    { name: 'init pruned, regular runs', pod: testPod(withInit), containers: [testInstance('web')], want: 'Running' },
    {
      name: 'a sidecar that has not started keeps the pod pending',
      pod: testPod({ initContainers: [testContainer('s', { restartPolicy: 'Always' })] }),
      containers: [],
      want: 'Pending',
    },
    {
      name: 'a sidecar that starts again does not take a pod back',
      pod: testPod({ initContainers: [slow] }),
      containers: [testInstance('s', { attempt: 1 }), exited('s', 1), testInstance('web')],
      want: 'Running',
    },
    {
      name: 'in a new sandbox it does, whatever ran in the old one',
      pod: testPod({ initContainers: [slow] }),
      containers: [testInstance('s', { attempt: 1, sandboxId: 's1' }), exited('web', 255)],
      sandboxes: [testSandbox({ id: 's1', attempt: 1 }), testSandbox({ isReady: false })],
      want: 'Pending',
    },
    {
      name: 'a running sidecar alone keeps the pod running',
      pod: testPod({ initContainers: [testContainer('s', { restartPolicy: 'Always' })], restartPolicy: 'Never' }),
      containers: [testInstance('s'), exited('web', 0)],
      want: 'Running',
    },
    {
      name: 'an exited sidecar does not count',
      pod: testPod({ initContainers: [testContainer('s', { restartPolicy: 'Always' })], restartPolicy: 'Never' }),
      containers: [exited('s', 137), exited('web', 0)],
      want: 'Succeeded',
    },
  ])('$name: $want', ({ pod, containers, sandboxes, want }) => {
    expect(statusOf({ pod, observed: testObserved(containers, sandboxes) }).phase).toBe(want);
  });

  it.each([
    { name: 'a deleted pod whose containers ended well has succeeded', code: 0, want: 'Succeeded' },
    { name: 'a deleted pod whose container was killed has failed', code: 137, want: 'Failed' },
  ])('$name', ({ code, want }) => {
    expect(statusOf({ observed: testObserved([exited('web', code)]), isEnding: true }).phase).toBe(want);
  });

  it('a terminal phase stays, whatever the runtime shows', () => {
    const old = { phase: 'Failed', reason: 'DeadlineExceeded', message: 'm' };
    expect(statusOf({ old, observed: testObserved([testInstance('web')]) })).toMatchObject(old);
  });

  it('so does one that somebody else has told the API, with its reason', () => {
    const told = { phase: 'Failed', reason: 'NodeLost', message: 'gone for too long' };
    const pod = { ...testPod(), status: told };
    const old = { phase: 'Running' };
    expect(statusOf({ pod, old, observed: testObserved([testInstance('web')]) })).toMatchObject(told);
    expect(statusOf({ pod, old, isEnding: true, observed: testObserved([exited('web', 0)]) })).toMatchObject(told);
    const ended = { phase: 'Succeeded' };
    expect(statusOf({ pod, old: ended, observed: testObserved([exited('web', 0)]) }).phase).toBe('Succeeded');
  });

  it('an override says why the pod was ended', () => {
    const override = { phase: 'Failed', reason: 'DeadlineExceeded', message: 'took too long' };
    const status = statusOf({ override, observed: testObserved([testInstance('web')]) });
    expect(status).toMatchObject(override);
    expect(status.conditions?.find(({ type }) => type === 'Ready')).toMatchObject({
      status: 'False',
      reason: 'PodFailed',
    });
  });

  it('whom somebody else ends is ready until its containers are stopped', () => {
    const lastWord = { phase: 'Failed', reason: 'Preempting', message: 'made room' };
    const status = statusOf({ lastWord, observed: testObserved([testInstance('web')]) });
    expect(status).toMatchObject(lastWord);
    expect(status.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('True');
  });
});

describe('computePodStatus: conditions', () => {
  const conditions = (more: Partial<PodStatusInput>): Record<string, string> =>
    Object.fromEntries(
      (statusOf(more).conditions ?? []).map(({ type, status, reason, message }) => [
        type,
        [status, reason, message].filter((text) => text !== undefined).join(' '),
      ]),
    );

  it('of a pod that has just arrived', () => {
    expect(conditions({ pod: testPod(two) })).toEqual({
      PodReadyToStartContainers: 'False',
      Initialized: 'True',
      Ready: 'False ContainersNotReady containers with unready status: [a b]',
      ContainersReady: 'False ContainersNotReady containers with unready status: [a b]',
      PodScheduled: 'True',
    });
  });

  it('of a pod whose init containers are not done', () => {
    const pod = testPod({ initContainers: [testContainer('i1'), testContainer('i2')] });
    expect(conditions({ pod, observed: testObserved([exited('i1', 0)]) })).toMatchObject({
      PodReadyToStartContainers: 'True',
      Initialized: 'False ContainersNotInitialized containers with incomplete status: [i2]',
    });
  });

  it('of a pod that runs', () => {
    expect(conditions({ observed: testObserved([testInstance('web')]) })).toEqual({
      PodReadyToStartContainers: 'True',
      Initialized: 'True',
      Ready: 'True',
      ContainersReady: 'True',
      PodScheduled: 'True',
    });
  });

  it('of a pod that is done: a new sandbox would be needed', () => {
    const pod = testPod({ restartPolicy: 'Never' });
    expect(conditions({ pod, observed: testObserved([exited('web', 0)], [testSandbox({ isReady: false })]) })).toEqual({
      PodReadyToStartContainers: 'False',
      Initialized: 'True PodCompleted',
      Ready: 'False PodCompleted',
      ContainersReady: 'False PodCompleted',
      PodScheduled: 'True',
    });
  });

  it.each([
    {
      name: 'that nobody has set',
      set: [],
      want: 'corresponding condition of pod readiness gate "gate" does not exist.',
    },
    {
      name: 'that is false',
      set: [{ type: 'gate', status: 'False' }],
      want: 'the status of pod readiness gate "gate" is not "True", but False',
    },
  ])('a readiness gate $name keeps the pod from being ready', ({ set, want }) => {
    const pod = { ...testPod({ readinessGates: [{ conditionType: 'gate' }] }), status: { conditions: set } };
    expect(conditions({ pod, observed: testObserved([testInstance('web')]) })).toMatchObject({
      Ready: `False ReadinessGatesNotReady ${want}`,
      ContainersReady: 'True',
    });
  });

  it('keep the conditions of others and the time of the last change', () => {
    const pod = { ...testPod(), status: { conditions: [{ type: 'theirs', status: 'True' }] } };
    const first = statusOf({ pod, observed: testObserved([testInstance('web')]) });
    const second = statusOf({ pod, observed: testObserved([testInstance('web')]), old: first, nowMs: nowMs + 60_000 });
    expect(second.conditions).toEqual(first.conditions);
    expect(second.conditions?.[0]).toEqual({ type: 'theirs', status: 'True' });
  });
});

describe('computePodStatus: containers', () => {
  it('are sorted by name, with the API form of ids and times', () => {
    const pod = testPod({ containers: [testContainer('b'), testContainer('a')] });
    const status = statusOf({ pod, observed: testObserved([testInstance('a'), testInstance('b')]) });
    expect(status.containerStatuses?.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(status.containerStatuses?.[0]).toMatchObject({
      containerID: 'containerd://a-0',
      imageID: 'ref-of-a',
      state: { running: { startedAt: '1970-01-01T00:00:02Z' } },
      ready: true,
      started: true,
    });
  });

  it('the instance before is the last state', () => {
    const observed = testObserved([exited('web', 3), testInstance('web', { attempt: 1 })]);
    expect(statusOf({ observed }).containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      state: { running: {} },
      lastState: { terminated: { exitCode: 3, reason: 'Error', containerID: 'containerd://web-0' } },
    });
  });

  it('the instance before is the last state, even when it was collected meanwhile', () => {
    const old = statusOf({ observed: testObserved([exited('web', 3)]) });
    const observed = testObserved([exited('web', 0, { attempt: 1 })]);
    expect(statusOf({ observed, old }).containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      state: { terminated: { exitCode: 0 } },
      lastState: { terminated: { exitCode: 3, containerID: 'containerd://web-0' } },
    });
  });

  it('an instance that was never started is no last state, and hides none', () => {
    const created = testInstance('web', { attempt: 1, state: 'created', startedAtNs: 0n });
    const running = testInstance('web', { attempt: 2 });
    expect(statusOf({ observed: testObserved([created, running]) }).containerStatuses?.[0]?.lastState).toEqual({});
    expect(
      statusOf({ observed: testObserved([exited('web', 3), created, running]) }).containerStatuses?.[0],
    ).toMatchObject({ restartCount: 2, lastState: { terminated: { exitCode: 3 } } });
  });

  it('an ended container shows how it ended until a start is refused', () => {
    const observed = testObserved([exited('web', 1)]);
    expect(statusOf({ observed }).containerStatuses?.[0]?.state).toMatchObject({ terminated: { exitCode: 1 } });
    const failures = new Map([['web', { reason: 'CrashLoopBackOff', message: 'back-off 10s' }]]);
    expect(statusOf({ observed, failures }).containerStatuses?.[0]).toMatchObject({
      state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } },
      lastState: { terminated: { exitCode: 1 } },
    });
  });

  it.each([
    { name: 'without init containers', pod: testPod(), want: 'ContainerCreating' },
    { name: 'with init containers', pod: testPod(withInit), want: 'PodInitializing' },
  ])('wait $name', ({ pod, want }) => {
    expect(statusOf({ pod }).containerStatuses?.[0]?.state).toEqual({ waiting: { reason: want } });
  });

  it('one that ran and has vanished counts as a restart', () => {
    const old = statusOf({ observed: testObserved([testInstance('web')]) });
    expect(statusOf({ old, observed: testObserved([]) }).containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      state: { waiting: { reason: 'ContainerCreating' } },
      lastState: {
        terminated: {
          exitCode: 137,
          reason: 'ContainerStatusUnknown',
          message: 'The container could not be located when the pod was deleted.  The container used to be Running',
        },
      },
    });
  });

  it('a pruned init container of an initialised pod counts as done', () => {
    const status = statusOf({ pod: testPod(withInit), observed: testObserved([testInstance('web')]) });
    expect(status.initContainerStatuses?.[0]).toMatchObject({
      ready: true,
      state: { terminated: { exitCode: 0, reason: 'Completed' } },
    });
  });

  it('carry their last words', () => {
    const status = statusOf({ observed: testObserved([exited('web', 1)]), terminationMessage: () => 'out of cheese' });
    expect(status.containerStatuses?.[0]?.state?.terminated?.message).toBe('out of cheese');
  });
});

describe('computePodStatus: probes', () => {
  const probed = testPod({ containers: [testContainer('web', { readinessProbe: {}, startupProbe: {} })] });
  const observed = testObserved([testInstance('web')]);
  it.each([
    { name: 'nothing known yet', startup: undefined, readiness: undefined, started: false, ready: false },
    { name: 'started, readiness unknown', startup: 'success', readiness: undefined, started: true, ready: false },
    { name: 'started and ready', startup: 'success', readiness: 'success', started: true, ready: true },
    { name: 'started, not ready', startup: 'success', readiness: 'failure', started: true, ready: false },
    { name: 'not started', startup: 'failure', readiness: 'success', started: false, ready: false },
  ] as const)('$name', ({ startup, readiness, started, ready }) => {
    const probes = { liveness: () => undefined, startup: () => startup, readiness: () => readiness };
    expect(statusOf({ pod: probed, observed, probes }).containerStatuses?.[0]).toMatchObject({ started, ready });
  });

  it('a new process that has probed nothing yet keeps what was so', () => {
    const yes: ProbeResults = { liveness: () => undefined, startup: () => 'success', readiness: () => 'success' };
    const old = statusOf({ pod: probed, observed, probes: yes });
    expect(statusOf({ pod: probed, observed, old }).containerStatuses?.[0]).toMatchObject({
      started: true,
      ready: true,
    });
  });
});

describe('computePodStatus: addresses', () => {
  it.each([
    { name: 'one family', ips: ['10.0.0.2'], hostIps: ['192.0.2.1'], want: ['10.0.0.2'] },
    {
      name: "the node's family first",
      ips: ['10.0.0.2', 'fd00::2'],
      hostIps: ['2001:db8::1'],
      want: ['fd00::2', '10.0.0.2'],
    },
    {
      name: 'at most one of each',
      ips: ['10.0.0.2', '10.0.0.3', 'fd00::2'],
      hostIps: ['192.0.2.1'],
      want: ['10.0.0.2', 'fd00::2'],
    },
  ])('$name', ({ ips, hostIps, want }) => {
    const status = statusOf({ observed: { ...testObserved([]), ips }, hostIps });
    expect(status.podIPs?.map(({ ip }) => ip)).toEqual(want);
    expect(status.podIP).toBe(want[0]);
  });

  it.each([
    {
      name: 'a pod without a ready sandbox keeps what was told',
      sandboxes: [testSandbox({ isReady: false })],
      want: ['10.0.0.9'],
    },
    { name: 'so does one of which the runtime has nothing any more', sandboxes: [], want: ['10.0.0.9'] },
    {
      name: 'one with a ready sandbox has what that has',
      sandboxes: [testSandbox({ ip: '10.0.0.3' })],
      want: ['10.0.0.3'],
    },
  ])('$name', ({ sandboxes, want }) => {
    const old = { podIP: '10.0.0.9', podIPs: [{ ip: '10.0.0.9' }] };
    expect(statusOf({ observed: testObserved([], sandboxes), old }).podIPs?.map(({ ip }) => ip)).toEqual(want);
  });

  it("a pod in the host's network has the host's", () => {
    expect(statusOf({ pod: testPod({ hostNetwork: true }) })).toMatchObject({
      podIP: '192.0.2.1',
      hostIP: '192.0.2.1',
    });
  });

  it('the start time is when the pod was first looked at', () => {
    const first = statusOf({});
    expect(first.startTime).toBe(now);
    expect(statusOf({ old: first, nowMs: nowMs + 60_000 }).startTime).toBe(now);
  });
});

describe('computePodStatus: all containers start over', () => {
  const pod = testPod({
    initContainers: [testContainer('i1')],
    containers: [
      testContainer('b'),
      testContainer('a', {
        restartPolicy: 'Never',
        restartPolicyRules: [{ action: 'RestartAllContainers', exitCodes: { operator: 'In', values: [42] } }],
      }),
    ],
  });
  const restarting = (status: PodStatus) => status.conditions?.find(({ type }) => type === 'AllContainersRestarting');

  it('a pod in which no exit asks for that has no word of it', () => {
    expect(restarting(statusOf({ observed: testObserved([exited('web', 42)]) }))).toBeUndefined();
  });

  it('from the exit to the new start: conditions, waiting reason, last state and count', () => {
    const running = statusOf({ pod, observed: testObserved([exited('i1', 0), testInstance('a'), testInstance('b')]) });
    expect(running.conditions?.at(-1)).toMatchObject({ type: 'AllContainersRestarting', status: 'False' });
    expect(restarting(running)?.reason).toBeUndefined();

    const asked = statusOf({
      pod,
      old: running,
      observed: testObserved([exited('i1', 0), exited('a', 42), exited('b', 137)]),
    });
    expect(restarting(asked)).toMatchObject({
      status: 'True',
      reason: 'RestartAllContainersStarted',
      message: 'container exited with restart policy rule',
      observedGeneration: 1,
    });

    const reset = { reason: 'RestartingAllContainers', message: 'why' };
    const removed = statusOf({
      pod,
      old: asked,
      observed: testObserved([]),
      failures: new Map(['i1', 'a', 'b'].map((name) => [name, reset])),
    });
    expect(restarting(removed)?.status).toBe('False');
    expect(removed.conditions?.find(({ type }) => type === 'Initialized')?.status).toBe('True');
    expect(removed.containerStatuses?.[0]).toMatchObject({
      name: 'a',
      restartCount: 0,
      state: { waiting: reset },
      lastState: { terminated: { exitCode: 42 } },
    });

    const again = statusOf({
      pod,
      old: removed,
      observed: testObserved([exited('i1', 0, { attempt: 1 }), testInstance('a', { attempt: 1 })]),
      failures: new Map([['b', reset]]),
    });
    expect(again.containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      lastState: { terminated: { exitCode: 42 } },
    });
  });

  it.each([
    { code: 0, want: { status: 'False', reason: 'PodCompleted' } },
    { code: 1, want: { status: 'False', reason: 'PodFailed' } },
  ])('a pod that has ended with $code says that', ({ code, want }) => {
    const ended = { ...pod, spec: { ...pod.spec, restartPolicy: 'Never' } };
    const observed = testObserved([exited('i1', 0), exited('a', code), exited('b', code)]);
    expect(restarting(statusOf({ pod: ended, observed }))).toMatchObject(want);
  });
});

describe('computePodStatus: rows of the tables', () => {
  it('unready containers are named in the order of the spec', () => {
    const pod = testPod({ containers: [testContainer('b'), testContainer('a')] });
    expect(statusOf({ pod }).conditions?.find(({ type }) => type === 'ContainersReady')?.message).toBe(
      'containers with unready status: [b a]',
    );
  });

  it.each([
    { stopSignal: 'SIGUSR1', hasStopSignals: true, want: 'SIGUSR1' },
    { stopSignal: undefined, hasStopSignals: true, want: undefined },
    { stopSignal: 'SIGUSR1', hasStopSignals: false, want: undefined },
  ])('the runtime stops it with $stopSignal, gate $hasStopSignals: $want', ({ stopSignal, hasStopSignals, want }) => {
    const observed = testObserved([testInstance('web', { stopSignal })]);
    expect(statusOf({ observed, hasStopSignals }).containerStatuses?.[0]?.stopSignal).toBe(want);
  });

  it('a failed start of a container that stays down shows how it ended', () => {
    const failures = new Map([['web', { reason: 'RunContainerError', message: 'no such file' }]]);
    const observed = testObserved([exited('web', 128, { reason: 'StartError' })]);
    const stateWith = (restartPolicy: string) =>
      statusOf({ pod: testPod({ restartPolicy }), observed, failures }).containerStatuses?.[0]?.state;
    expect(stateWith('Never')).toMatchObject({ terminated: { exitCode: 128, reason: 'StartError' } });
    expect(stateWith('Always')).toEqual({ waiting: { reason: 'RunContainerError', message: 'no such file' } });
  });

  it('a runtime that no longer knows what ran: terminated, and one restart more', () => {
    const old = statusOf({ observed: testObserved([testInstance('web')]) });
    const observed = testObserved([testInstance('web', { state: 'unknown' })]);
    const status = statusOf({ old, observed });
    expect(status.containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      state: {
        terminated: {
          exitCode: 137,
          reason: 'ContainerStatusUnknown',
          message: 'The container could not be located when the pod was terminated',
        },
      },
    });
    expect(statusOf({ old: status, observed }).containerStatuses?.[0]?.restartCount).toBe(1);
  });

  it.each([
    { more: {}, supported: true, want: {} },
    { more: { readOnly: true }, supported: true, want: { readOnly: true, recursiveReadOnly: 'Disabled' } },
    {
      more: { readOnly: true, recursiveReadOnly: 'IfPossible' },
      supported: true,
      want: { readOnly: true, recursiveReadOnly: 'Enabled' },
    },
    {
      more: { readOnly: true, recursiveReadOnly: 'IfPossible' },
      supported: false,
      want: { readOnly: true, recursiveReadOnly: 'Disabled' },
    },
    {
      more: { readOnly: true, recursiveReadOnly: 'Enabled' },
      supported: true,
      want: { readOnly: true, recursiveReadOnly: 'Enabled' },
    },
  ])('a mount with $more, supported: $supported', ({ more, supported, want }) => {
    const pod = testPod({
      containers: [testContainer('web', { volumeMounts: [{ name: 'v', mountPath: '/v', ...more }] })],
    });
    const status = statusOf({ pod, observed: testObserved([testInstance('web')]), hasRecursiveReadOnly: supported });
    expect(status.containerStatuses?.[0]?.volumeMounts).toEqual([{ name: 'v', mountPath: '/v', ...want }]);
  });

  it("a host-network pod keeps the addresses that were told, and takes a second family's", () => {
    const pod = testPod({ hostNetwork: true });
    const old = statusOf({ pod, hostIps: ['192.0.2.1'] });
    const now = statusOf({ pod, old, hostIps: ['192.0.2.7', '2001:db8::7'] });
    expect(now.podIPs).toEqual([{ ip: '192.0.2.1' }, { ip: '2001:db8::7' }]);
    expect(now.hostIP).toBe('192.0.2.7');
  });
});
