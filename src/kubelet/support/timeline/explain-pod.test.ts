import { describe, expect, it } from 'vitest';
import { explainPod } from './explain-pod.ts';
import type { LiveFacts, Scene, Situation } from './scene.ts';
import type { ContainerFacts, PhaseSpan, PodFacts } from './timeline-model.ts';

const t0 = Date.UTC(2026, 0, 2, 10, 0, 0);
const nowMs = t0 + 60_000;

const ok = (name: string, atMs = 0): PhaseSpan => ({ name, startMs: t0 + atMs, durationMs: 10, outcome: 'ok' });
const failed = (name: string, text: string, more: Partial<PhaseSpan> = {}): PhaseSpan => ({
  ...ok(name),
  outcome: 'failed',
  text,
  ...more,
});
const open = (name: string, ageMs: number): PhaseSpan => ({ name, startMs: nowMs - ageMs });
const more = (count: number): Pick<PhaseSpan, 'again'> => ({ again: { count, startMs: t0 + 50_000, durationMs: 5 } });

const container = (facts: Partial<ContainerFacts>): ContainerFacts => ({
  name: 'web',
  kind: 'regular',
  state: 'waiting',
  restartCount: 0,
  isReady: false,
  isStarted: false,
  ...facts,
});
const running = (facts: Partial<ContainerFacts> = {}): ContainerFacts =>
  container({ state: 'running', isReady: true, isStarted: true, ...facts });
const ended = (exitCode: number, facts: Partial<ContainerFacts> = {}): ContainerFacts =>
  container({ state: 'terminated', exitCode, reason: exitCode === 0 ? 'Completed' : 'Error', ...facts });
const wait = (reason: string, message = '', facts: Partial<ContainerFacts> = {}): ContainerFacts =>
  container({ reason, message, ...facts });

interface Row {
  name: string;
  facts?: Partial<PodFacts>;
  containers?: ContainerFacts[];
  spans?: PhaseSpan[];
  live?: Partial<LiveFacts>;
  goneMs?: number;
  want: [Situation, string, ...string[]];
}

const retry = { retryMs: nowMs + 12_000 };
const inTwelve = 'in 12s (10:01:12Z)';

const rows: Row[] = [
  // ---- the start
  {
    name: 'seen, and nothing more',
    spans: [ok('seen')],
    want: ['Waiting', 'The kubelet has seen the pod and has not begun with it.'],
  },
  {
    name: 'prepared, while many others start',
    spans: [ok('seen'), ok('admitted'), ok('volumes')],
    containers: [wait('ContainerCreating')],
    want: [
      'Waiting',
      'The pod is prepared and waits for its turn at the container runtime, behind others that are being started.',
    ],
  },
  {
    name: 'refused at admission',
    facts: { life: 'rejected', phase: 'Failed', reason: 'OutOfcpu' },
    spans: [failed('admitted', "OutOfcpu: Node didn't have enough resource: cpu, requested: 9000")],
    want: [
      'Rejected',
      "This node refused the pod at admission: OutOfcpu: Node didn't have enough resource: cpu, requested: 9000.",
      'nothing: a refused pod is never started; delete it, and whoever made it may make another',
    ],
  },
  {
    name: 'refused before this file began: the status tells',
    facts: { life: 'rejected', reason: 'NodeAffinity', message: 'Pod was rejected: Predicate NodeAffinity failed' },
    want: [
      'Rejected',
      'This node refused the pod at admission: NodeAffinity: Pod was rejected: Predicate NodeAffinity failed.',
      'nothing: a refused pod is never started; delete it, and whoever made it may make another',
    ],
  },
  {
    name: 'a configMap that is not there',
    facts: { failure: 'Unable to attach or mount volumes: unmounted volumes=[config], …', ...retry },
    spans: [failed('volume config', 'configmap "settings" not found', more(4)), failed('volumes', 'Unable …')],
    containers: [wait('ContainerCreating')],
    want: [
      'VolumeNotReady',
      'The pod waits for volume "config" (configmap "settings" not found; tried 5 times).',
      `tries the volumes again ${inTwelve}`,
    ],
  },
  {
    name: 'two volumes, one of which came meanwhile',
    facts: { failure: 'Unable to attach or mount volumes: …', ...retry },
    spans: [failed('volume a', 'not there'), ok('volume a', 10), failed('volume b', 'no such host path.')],
    want: [
      'VolumeNotReady',
      'The pod waits for volume "b" (no such host path).',
      `tries the volumes again ${inTwelve}`,
    ],
  },
  {
    name: 'a volume that takes its time',
    spans: [open('volumes', 9000), open('volume share', 9000)],
    want: [
      'VolumeNotReady',
      'The pod waits for volume "share", which is being set up for 9s.',
      'makes the sandbox when all volumes are there',
    ],
  },
  {
    name: 'a volume that hangs',
    spans: [open('volumes', 45_000), open('volume share', 44_000)],
    want: [
      'StuckStep',
      'Setting up volume "share" has not come back for 44s; only this pod waits for it.',
      'goes on when it comes back; other pods are not held up',
    ],
  },
  {
    name: 'a control group that cannot be made',
    facts: { failure: 'unable to ensure pod container exists: mkdir /sys/fs/cgroup/x: no space left', ...retry },
    want: [
      'CgroupFailed',
      'The control group of the pod cannot be made: mkdir /sys/fs/cgroup/x: no space left.',
      `tries again ${inTwelve}`,
    ],
  },
  {
    name: 'the network of the node is not ready',
    facts: { failure: 'network is not ready: old words', ...retry },
    live: { networkError: 'NetworkReady=false message:cni plugin not initialized' },
    want: [
      'NetworkNotReady',
      'The pod network of this node is not ready: NetworkReady=false message:cni plugin not initialized.',
      'asks the runtime every few seconds, and starts the pod when the network is ready',
    ],
  },
  {
    name: 'a network plugin that has no address left',
    facts: { failure: 'RunPodSandbox failed', ...retry },
    spans: [failed('sandbox', 'no IP addresses available', { by: 'network plugin "bridge"', ...more(2) })],
    containers: [wait('ContainerCreating')],
    want: [
      'NetworkPluginFailed',
      'The network plugin "bridge" gives the pod no network (tried 3 times): no IP addresses available.',
      `makes the sandbox again ${inTwelve}`,
    ],
  },
  {
    name: 'a sandbox that the runtime refuses',
    facts: { failure: 'RunPodSandbox failed', ...retry },
    spans: [failed('sandbox', 'no runtime for "strange" is configured')],
    want: [
      'SandboxFailed',
      'The runtime cannot make the pod\'s sandbox: no runtime for "strange" is configured.',
      `makes the sandbox again ${inTwelve}`,
    ],
  },
  {
    name: 'a sandbox that failed before is made now',
    spans: [failed('sandbox', 'no room'), open('sandbox', 2000)],
    facts: { failure: 'x' },
    want: ['SandboxFailed', "The runtime cannot make the pod's sandbox: no room.", 'is making the sandbox again now'],
  },
  {
    name: 'the call for the sandbox hangs',
    spans: [open('sandbox', 95_000)],
    containers: [wait('ContainerCreating')],
    want: [
      'StuckStep',
      "The runtime's call to make the sandbox and its network has not come back for 1m35s; only this pod waits for it.",
      'goes on when it comes back; other pods are not held up',
    ],
  },
  {
    name: 'the runtime is away',
    facts: { phase: 'Pending' },
    live: { runtimeErrors: ['container runtime is down'] },
    containers: [wait('ContainerCreating')],
    want: [
      'RuntimeDown',
      'The container runtime does not answer, so nothing of the pod can be started: container runtime is down.',
      'asks the runtime again every few seconds, and goes on when it answers',
    ],
  },
  {
    name: 'the runtime is away under a pod that runs',
    facts: { phase: 'Running', isReady: true },
    live: { runtimeErrors: ['container runtime is down'] },
    containers: [running()],
    want: [
      'RuntimeDown',
      'The container runtime does not answer, so what ran may go on running, and nothing is told of it: container runtime is down.',
      'asks the runtime again every few seconds, and goes on when it answers',
    ],
  },
  {
    name: 'a static pod whose predecessor still ends',
    facts: { failure: 'static pod "default/a-node" waits for its predecessor "uid-0" to end' },
    want: [
      'WaitingForPredecessor',
      'The static pod "default/a-node" waits for its predecessor "uid-0" to end.',
      'starts when the predecessor has ended',
    ],
  },
  {
    name: 'an image is being pulled',
    spans: [ok('sandbox'), open('image web', 70_000), open('pull web:1', 69_000)],
    containers: [wait('ContainerCreating')],
    want: [
      'InProgress',
      'The pod is being started: pulling image "web:1" runs since 1m9s.',
      'calls the step stuck when it takes longer than 5m0s',
    ],
  },
  ...(
    [
      [0, '0 MB'],
      [1_540_000, '1.5 MB'],
      [312_400_000, '312 MB'],
      [4_240_000_000, '4.2 GB'],
    ] as const
  ).map(([pullFilledBytes, size]): Row => ({
    name: `an image is being pulled, ${size} so far`,
    spans: [ok('sandbox'), open('image web', 70_000), open('pull web:1 with secret mine', 69_000)],
    live: { pullFilledBytes },
    want: [
      'InProgress',
      `The pod is being started: pulling image "web:1" with secret mine runs since 1m9s, the disk with the images has filled by ${size} meanwhile.`,
      'calls the step stuck when it takes longer than 5m0s',
    ],
  })),
  {
    name: 'a pull that takes very long',
    spans: [ok('sandbox'), open('image web', 400_000), open('pull web:1', 390_000)],
    live: { pullFilledBytes: 0 },
    want: [
      'StuckStep',
      'Pulling image "web:1" has not come back for 6m30s, the disk with the images has filled by 0 MB meanwhile; only this pod waits for it.',
      'goes on when it comes back; other pods are not held up',
    ],
  },
  {
    name: 'an image cannot be pulled: the back-off repeats what the pull said',
    containers: [wait('ImagePullBackOff', 'Back-off pulling image "localhost:1/x": ErrImagePull: refused')],
    want: ['ImagePull', 'The image of container "web" cannot be pulled: refused.'],
  },
  ...(
    [
      ['ErrImagePull', 'ImagePull', 'The image of container "web" cannot be pulled', 'pulls again'],
      [
        'ErrImageNeverPull',
        'ImagePull',
        'The image of container "web" is not on this node and may not be pulled',
        'looks for it again',
      ],
      ['InvalidImageName', 'ImagePull', 'The image name of container "web" is not valid', 'tries again'],
      ['CreateContainerConfigError', 'ContainerConfig', 'Container "web" cannot be configured', 'tries again'],
      ['CreateContainerError', 'ContainerCreate', 'The runtime cannot create container "web"', 'creates it again'],
      ['RunContainerError', 'ContainerStart', 'The runtime cannot start container "web"', 'starts it again'],
      [
        'PostStartHookError',
        'PostStartHook',
        'The postStart hook of container "web" fails, which ends the container',
        'starts it again',
      ],
      ['SomethingNew', 'ContainerWaiting', 'Container "web" waits (SomethingNew)', 'tries again'],
    ] as const
  ).map(([reason, situation, words, again]): Row => ({
    name: reason,
    facts: retry,
    containers: [wait(reason, 'its words')],
    want: [situation, `${words}: its words.`, `${again} ${inTwelve}`],
  })),
  {
    name: 'a container that crashes again and again',
    facts: { failure: 'Cannot start …', retryMs: nowMs + 150_000 },
    spans: [failed('exited web', 'code 1 (Error)', more(13))],
    containers: [
      wait('CrashLoopBackOff', 'back-off 5m0s …', {
        restartCount: 13,
        lastExit: { exitCode: 1, reason: 'Error', message: 'no database\n' },
      }),
    ],
    want: [
      'CrashLoop',
      'Container "web" ends each time it is started (14 times, the last with code 1 (Error), saying: no database), and waits out its back-off.',
      'starts "web" again in 2m30s (10:03:30Z)',
    ],
  },
  {
    name: 'an init container that runs',
    spans: [ok('start first', 30_000)],
    containers: [running({ name: 'first', kind: 'init', isReady: false }), wait('PodInitializing')],
    want: [
      'InitContainerRunning',
      'Init container "first" runs for 30s, and the other containers wait for it to end.',
      'starts the next container when it has ended with code 0',
    ],
  },
  {
    name: 'an init container that failed',
    facts: retry,
    containers: [ended(2, { name: 'first', kind: 'init' }), wait('PodInitializing')],
    want: [
      'Restarting',
      'Init container "first" ended with code 2 (Error), and is to be started again.',
      `starts "first" ${inTwelve}`,
    ],
  },
  {
    name: 'a sidecar that does not start holds up the others',
    containers: [running({ name: 'side', kind: 'sidecar', isStarted: false, isReady: false }), wait('PodInitializing')],
    want: ['StartupProbe', 'Container "side" runs and its startup probe has not succeeded yet.'],
  },
  {
    name: 'a turn that failed in another way',
    facts: { failure: 'error making pod data directories: read-only file system', ...retry },
    want: [
      'TurnFailed',
      'The latest try to bring the pod up failed: error making pod data directories: read-only file system.',
      `tries again ${inTwelve}`,
    ],
  },

  // ---- probes
  {
    name: 'a startup probe that fails',
    spans: [failed('startup web', 'connection refused', more(3))],
    containers: [running({ isStarted: false, isReady: false })],
    live: { probes: [{ container: 'web', kind: 'startup', dueMs: nowMs + 3000 }] },
    want: [
      'StartupProbe',
      'Container "web" runs but fails its startup probe (4 times): connection refused.',
      'asks the startup probe of "web" again in 3s (10:01:03Z)',
    ],
  },
  {
    name: 'a readiness probe that fails, with its output',
    spans: [failed('readiness web', 'HTTP probe failed with statuscode: 503')],
    containers: [running({ isReady: false })],
    live: { probes: [{ container: 'web', kind: 'readiness', dueMs: nowMs + 100 }] },
    want: [
      'ReadinessProbe',
      'Container "web" runs but fails its readiness probe (once): HTTP probe failed with statuscode: 503.',
      'asks the readiness probe of "web" again now',
    ],
  },
  {
    name: 'a readiness probe that was not asked yet',
    containers: [running({ isReady: false })],
    want: ['ReadinessProbe', 'Container "web" runs and its readiness probe has not succeeded yet.'],
  },
  {
    name: 'a liveness probe that fails in a pod that is ready',
    facts: { isReady: true },
    spans: [ok('liveness web', 1), failed('liveness web', 'timed out', more(1))],
    containers: [running()],
    want: [
      'LivenessProbe',
      'Container "web" fails its liveness probe (2 times): timed out.',
      'restarts the container when the probe has failed as often as its failureThreshold says',
    ],
  },
  {
    name: 'a readiness gate of somebody else',
    facts: { gates: ['example.com/balanced'] },
    containers: [running()],
    want: [
      'ReadinessGate',
      'All containers are ready, but the readiness gate "example.com/balanced" is not true: its condition is set by somebody else.',
      "looks again when the pod's status changes",
    ],
  },
  {
    name: 'one container is over, the other goes on',
    facts: { phase: 'Running' },
    containers: [ended(0, { name: 'job' }), running()],
    want: ['ContainerEnded', 'Container "job" has ended with code 0, while other containers of the pod run.'],
  },
  {
    name: 'running and ready',
    facts: { phase: 'Running', isReady: true },
    spans: [ok('seen'), ok('ready', 5000)],
    containers: [running({ restartCount: 2 })],
    live: { probes: [{ container: 'web', kind: 'liveness', dueMs: nowMs + 4000 }] },
    want: [
      'Ready',
      'The pod runs and is ready since 10:00:05Z, after 2 restarts of its containers.',
      'asks the liveness probe of "web" in 4s (10:01:04Z)',
    ],
  },
  {
    name: 'ready, whatever failed on the way',
    facts: { phase: 'Running', isReady: true },
    spans: [failed('sandbox', 'no room'), ok('sandbox', 10), failed('volume a', 'x'), ok('volume a', 20)],
    containers: [running()],
    want: ['Ready', 'The pod runs and is ready.'],
  },

  // ---- the end
  {
    name: 'a preStop hook runs',
    facts: { life: 'terminating', isDeleted: true, graceSeconds: 30, phase: 'Running' },
    spans: [ok('deletion', 50_000), open('preStop web', 8000)],
    containers: [running()],
    want: [
      'Terminating',
      'The pod was deleted and is ending: the preStop hook of container "web" runs for 8s.',
      'stops the container when the hook ends, or at 10:01:20Z when the grace period of 30s is over',
    ],
  },
  {
    name: 'a container takes its grace period',
    facts: { life: 'terminating', isDeleted: true, graceSeconds: 30 },
    spans: [ok('deletion', 40_000), open('stop web', 20_000)],
    want: [
      'Terminating',
      'The pod was deleted and is ending: container "web" was told to end (SIGTERM) 20s ago.',
      'the runtime kills it at 10:01:10Z when the grace period of 30s is over',
    ],
  },
  {
    name: 'the call to stop does not come back',
    facts: { life: 'terminating', isDeleted: true, graceSeconds: 2 },
    spans: [ok('deletion', 0), open('stop web', 60_000)],
    want: [
      'StuckStep',
      'The pod was deleted and cannot end: the runtime\'s call to stop container "web" has not come back for 1m0s, long after the grace period of 2s; only this pod waits for it.',
      'goes on when the call comes back; other pods are not held up',
    ],
  },
  {
    name: 'the runtime cannot end it',
    facts: { life: 'terminating', isDeleted: true, failure: 'error killing pod: shim is gone', ...retry },
    want: [
      'Terminating',
      'The pod was deleted and cannot end: error killing pod: shim is gone.',
      `tries to end it again ${inTwelve}`,
    ],
  },
  {
    name: 'volumes that do not come down',
    facts: { life: 'terminated', isDeleted: true, failure: 'x', ...retry },
    spans: [failed('unmount', 'device or resource busy')],
    want: [
      'Terminating',
      'The pod was deleted and all its containers have ended, but cleaning up fails: device or resource busy.',
      `tries to clean up again ${inTwelve}`,
    ],
  },
  {
    name: 'an eviction under way',
    facts: {
      life: 'terminating',
      reason: 'Evicted',
      message: 'The node was low on resource: memory.',
      graceSeconds: 30,
    },
    want: ['Terminating', 'The pod was ended (Evicted) and is ending.', 'stops its containers, then its sandbox'],
  },
  {
    name: 'evicted',
    facts: { life: 'finished', phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' },
    containers: [ended(137)],
    want: [
      'Evicted',
      'The pod was evicted from this node: The node was low on resource: memory.',
      'nothing: it stays until somebody deletes it',
    ],
  },
  {
    name: 'done',
    facts: { life: 'finished', phase: 'Succeeded' },
    containers: [ended(0)],
    want: [
      'Succeeded',
      'The pod has done its work: it ended "web" with code 0.',
      'nothing: it stays until somebody deletes it',
    ],
  },
  {
    name: 'failed',
    facts: {
      life: 'finished',
      phase: 'Failed',
      reason: 'DeadlineExceeded',
      message: 'Pod was active too long',
      isDeleted: true,
    },
    containers: [ended(143)],
    want: [
      'Failed',
      'The pod has failed (DeadlineExceeded: Pod was active too long): it ended "web" with code 143 (Error).',
      'waits for the API server to remove the pod',
    ],
  },
  {
    name: 'gone',
    facts: { life: 'finished', phase: 'Succeeded', isDeleted: true },
    containers: [ended(0), ended(137, { name: 'side', reason: 'OOMKilled' })],
    goneMs: t0 + 30_000,
    want: [
      'Gone',
      'The pod is gone since 10:00:30Z: it was deleted, and ended "web" with code 0, "side" with code 137 (OOMKilled).',
      'nothing: it is only remembered',
    ],
  },
  {
    name: 'gone before it had begun',
    facts: { isDeleted: true },
    goneMs: t0 + 30_000,
    want: [
      'Gone',
      'The pod is gone since 10:00:30Z: it was deleted, and no container of it had run.',
      'nothing: it is only remembered',
    ],
  },
];

describe('explainPod', () => {
  it.each(rows)('$name', ({ facts, containers = [], spans = [], live, goneMs, want: [situation, cause, ...next] }) => {
    const scene: Scene = {
      record: {
        uid: 'u',
        namespace: 'default',
        name: 'p',
        spans,
        dropped: 0,
        ...(goneMs === undefined ? {} : { goneMs }),
      },
      facts: { life: 'sync', isDeleted: false, isReady: false, graceSeconds: 0, gates: [], containers, ...facts },
      live: {
        networkError: undefined,
        runtimeErrors: [],
        nextTurnMs: undefined,
        pullFilledBytes: undefined,
        probes: [],
        ...live,
      },
      nowMs,
    };
    expect(explainPod(scene)).toEqual({ situation, cause, next });
  });
});
