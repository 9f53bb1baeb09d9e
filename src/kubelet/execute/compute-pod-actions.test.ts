import { describe, expect, it } from 'vitest';
import {
  exited,
  testContainer,
  testInstance,
  testObserved,
  testPod,
  testSandbox,
} from '../../../test/fixtures/kubelet-pods.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import type { ObservedPod, ProbeResult } from '../pod-model.ts';
import { type PodAction, computePodActions } from './compute-pod-actions.ts';

/** An action in one word: `kill-pod`, `sandbox 1`, `start web`, `kill web`, `remove init-0`. */
function brief(action: PodAction): string {
  switch (action.kind) {
    case 'kill-pod':
      return action.sandboxChanged ? 'kill-pod, sandbox changed' : 'kill-pod';
    case 'create-sandbox':
      return `sandbox ${action.attempt}`;
    case 'start-container':
      return `start ${action.container.spec.name}`;
    case 'kill-container':
      return `kill ${action.name}: ${action.message}${action.graceSeconds === undefined ? '' : ` in ${action.graceSeconds} s`}`;
    case 'remove-container':
      return `remove ${action.containerId}`;
    case 'reset-container':
      return `reset ${action.containerId}${action.hasAsked ? ', which asked' : ''}`;
    case 'resize-pod':
      return 'resize';
  }
}

interface Row {
  name: string;
  pod: Pod;
  observed?: ObservedPod;
  liveness?: Record<string, ProbeResult>;
  startup?: Record<string, ProbeResult>;
  want: string[];
}

const two = { containers: [testContainer('a'), testContainer('b')] };
const withInit = { initContainers: [testContainer('i1'), testContainer('i2')] };
const withSidecar = {
  initContainers: [testContainer('side', { restartPolicy: 'Always' }), testContainer('i2')],
};
const stopped = testSandbox({ isReady: false });

const restartAllOn42 = {
  restartPolicy: 'Never',
  restartPolicyRules: [{ action: 'RestartAllContainers', exitCodes: { operator: 'In', values: [42] } }],
};
const restartAllPod = testPod({
  ...withSidecar,
  containers: [testContainer('web', restartAllOn42), testContainer('other')],
  ephemeralContainers: [{ name: 'debug', image: 'x' }],
});

const rows: Row[] = [
  { name: 'a new pod gets a sandbox and its containers', pod: testPod(two), want: ['sandbox 0', 'start a', 'start b'] },
  {
    name: 'everything runs: nothing to do',
    pod: testPod(two),
    observed: testObserved([testInstance('a'), testInstance('b')]),
    want: [],
  },
  {
    name: 'a pod that is being deleted is left to its end',
    pod: testPod(two, { deletionTimestamp: 'now' }),
    observed: testObserved([exited('a', 1)]),
    want: [],
  },
  {
    name: 'Always restarts a clean exit',
    pod: testPod(),
    observed: testObserved([exited('web', 0)]),
    want: ['start web'],
  },
  {
    name: 'OnFailure leaves a clean exit alone, and the pod ends',
    pod: testPod({ restartPolicy: 'OnFailure' }),
    observed: testObserved([exited('web', 0)]),
    want: ['kill-pod'],
  },
  {
    name: 'OnFailure restarts a crash',
    pod: testPod({ restartPolicy: 'OnFailure' }),
    observed: testObserved([exited('web', 137)]),
    want: ['start web'],
  },
  {
    name: 'Never leaves a crash alone, and the pod ends',
    pod: testPod({ restartPolicy: 'Never' }),
    observed: testObserved([exited('web', 137)]),
    want: ['kill-pod'],
  },
  {
    name: 'Never: one ended, one runs: nothing to do',
    pod: testPod({ ...two, restartPolicy: 'Never' }),
    observed: testObserved([exited('a', 0), testInstance('b')]),
    want: [],
  },
  {
    name: "a container's own policy goes before the pod's",
    pod: testPod({ restartPolicy: 'Never', containers: [testContainer('web', { restartPolicy: 'OnFailure' })] }),
    observed: testObserved([exited('web', 1)]),
    want: ['start web'],
  },
  {
    name: 'a rule for the exit code goes before the policy',
    pod: testPod({
      containers: [
        testContainer('web', {
          restartPolicy: 'Never',
          restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }],
        }),
      ],
    }),
    observed: testObserved([exited('web', 42)]),
    want: ['start web'],
  },
  {
    name: 'a rule that does not match leaves it to the policy',
    pod: testPod({
      containers: [
        testContainer('web', {
          restartPolicy: 'Never',
          restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }],
        }),
      ],
    }),
    observed: testObserved([exited('web', 1)]),
    want: ['kill-pod'],
  },
  {
    name: 'a container that was created and never started is started anew',
    pod: testPod(),
    observed: testObserved([testInstance('web', { state: 'created' })]),
    want: ['start web'],
  },
  {
    name: 'an unknown container is killed first',
    pod: testPod(),
    observed: testObserved([testInstance('web', { state: 'unknown' })]),
    want: ['kill web: Container is in "unknown" state, try killing it before restart', 'start web'],
  },
  {
    name: 'a changed image replaces the container, whatever the policy',
    pod: testPod({ restartPolicy: 'Never', containers: [testContainer('web', { image: 'other' })] }),
    observed: testObserved([testInstance('web')]),
    want: ['kill web: Container web definition changed, will be restarted', 'start web'],
  },
  {
    name: 'a change of anything else does not',
    pod: testPod({ containers: [testContainer('web', { args: ['x'] })] }),
    observed: testObserved([testInstance('web')]),
    want: [],
  },
  {
    name: 'failed liveness: killed and started',
    pod: testPod(),
    observed: testObserved([testInstance('web')]),
    liveness: { 'web-0': 'failure' },
    want: ['kill web: Container web failed liveness probe, will be restarted', 'start web'],
  },
  {
    name: 'failed startup with Never: killed for good, others stay',
    pod: testPod({ ...two, restartPolicy: 'Never' }),
    observed: testObserved([testInstance('a'), testInstance('b')]),
    startup: { 'a-0': 'failure' },
    want: ['kill a: Container a failed startup probe'],
  },

  // sandboxes
  {
    name: 'a stopped sandbox starts the pod over',
    pod: testPod(two),
    observed: testObserved([exited('a', 0), exited('b', 0)], [stopped]),
    want: ['kill-pod, sandbox changed', 'sandbox 1', 'start a', 'start b'],
  },
  {
    name: 'two ready sandboxes are replaced by one',
    pod: testPod(),
    observed: testObserved([testInstance('web')], [testSandbox({ id: 's1', attempt: 1 }), testSandbox()]),
    want: ['kill-pod, sandbox changed', 'sandbox 2', 'start web'],
  },
  {
    name: 'a sandbox without an address is replaced',
    pod: testPod(),
    observed: testObserved([testInstance('web')], [testSandbox({ ip: '' })]),
    want: ['kill-pod, sandbox changed', 'sandbox 1', 'start web'],
  },
  {
    name: 'the host network needs no address',
    pod: testPod({ hostNetwork: true }),
    observed: testObserved([testInstance('web')], [testSandbox({ ip: '', isHostNetwork: true })]),
    want: [],
  },
  {
    name: 'another network mode replaces the sandbox without word of a change',
    pod: testPod({ hostNetwork: true }),
    observed: testObserved([testInstance('web')], [testSandbox()]),
    want: ['kill-pod', 'sandbox 1', 'start web'],
  },
  {
    name: 'Never: a pod that has run is not started over',
    pod: testPod({ restartPolicy: 'Never' }),
    observed: testObserved([exited('web', 1)], [stopped]),
    want: ['kill-pod, sandbox changed'],
  },
  {
    name: 'Never: a pod that has not run yet gets its sandbox again',
    pod: testPod({ restartPolicy: 'Never' }),
    observed: testObserved([], [stopped]),
    want: ['kill-pod, sandbox changed', 'sandbox 1', 'start web'],
  },
  {
    name: 'OnFailure: what succeeded is not run again',
    pod: testPod({ ...two, restartPolicy: 'OnFailure' }),
    observed: testObserved([exited('a', 0), exited('b', 1)], [stopped]),
    want: ['kill-pod, sandbox changed', 'sandbox 1', 'start b'],
  },
  {
    name: 'OnFailure: all succeeded: only the rest is stopped',
    pod: testPod({ restartPolicy: 'OnFailure' }),
    observed: testObserved([exited('web', 0)], [stopped]),
    want: ['kill-pod, sandbox changed'],
  },
  {
    name: 'a new sandbox runs init containers again and drops the old ones',
    pod: testPod(withInit),
    observed: testObserved([exited('i1', 0), exited('i2', 0), exited('web', 255)], [stopped]),
    want: ['kill-pod, sandbox changed', 'remove i1-0', 'remove i2-0', 'sandbox 1', 'start i1'],
  },

  // init containers
  { name: 'the first init container comes first', pod: testPod(withInit), want: ['sandbox 0', 'start i1'] },
  {
    name: 'while it runs there is nothing to do',
    pod: testPod(withInit),
    observed: testObserved([testInstance('i1')]),
    want: [],
  },
  {
    name: 'when it is done the next starts',
    pod: testPod(withInit),
    observed: testObserved([exited('i1', 0)]),
    want: ['start i2'],
  },
  {
    name: 'when the last is done the others start',
    pod: testPod(withInit),
    observed: testObserved([exited('i1', 0), exited('i2', 0, { createdAtNs: 5n })]),
    want: ['start web'],
  },
  {
    name: 'how far it is shows even when older ones are gone',
    pod: testPod(withInit),
    observed: testObserved([exited('i2', 0)]),
    want: ['start web'],
  },
  {
    name: 'a failed one is tried again',
    pod: testPod(withInit),
    observed: testObserved([exited('i1', 1)]),
    want: ['start i1'],
  },
  {
    name: 'Never: a failed one fails the pod',
    pod: testPod({ ...withInit, restartPolicy: 'Never' }),
    observed: testObserved([exited('i1', 1)]),
    want: ['kill-pod'],
  },
  {
    name: 'out of memory is a failure, even with code 0',
    pod: testPod(withInit),
    observed: testObserved([exited('i1', 0, { reason: 'OOMKilled' })]),
    want: ['start i1'],
  },
  {
    name: 'old instances are pruned, the newest of each stays',
    pod: testPod(withInit),
    observed: testObserved([exited('i1', 1), exited('i1', 0, { attempt: 1 })]),
    want: ['remove i1-0', 'start i2'],
  },
  {
    name: 'a pod whose containers run is past its init containers, whatever is left of them',
    pod: testPod(withInit),
    observed: testObserved([exited('i1', 1), testInstance('web')]),
    want: [],
  },

  // sidecars
  { name: 'a sidecar starts like an init container', pod: testPod(withSidecar), want: ['sandbox 0', 'start side'] },
  {
    name: 'once it has started the next init container follows',
    pod: testPod(withSidecar),
    observed: testObserved([testInstance('side')]),
    want: ['start i2'],
  },
  {
    name: 'its startup probe holds the others up',
    pod: testPod({ initContainers: [testContainer('side', { restartPolicy: 'Always', startupProbe: {} })] }),
    observed: testObserved([testInstance('side')]),
    want: [],
  },
  {
    name: 'its startup probe lets the others go',
    pod: testPod({ initContainers: [testContainer('side', { restartPolicy: 'Always', startupProbe: {} })] }),
    observed: testObserved([testInstance('side')]),
    startup: { 'side-0': 'success' },
    want: ['start web'],
  },
  {
    name: 'one that exits comes back while the pod initialises',
    pod: testPod(withSidecar),
    observed: testObserved([exited('side', 0), testInstance('i2', { createdAtNs: 5_000_000_000n })]),
    want: ['start side'],
  },
  {
    name: 'one that exits comes back while the pod runs',
    pod: testPod(withSidecar),
    observed: testObserved([exited('side', 0), exited('i2', 0), testInstance('web')]),
    want: ['start side'],
  },
  {
    name: 'one that fails its liveness probe is replaced',
    pod: testPod(withSidecar),
    observed: testObserved([testInstance('side'), exited('i2', 0), testInstance('web')]),
    liveness: { 'side-0': 'failure' },
    want: ['kill side: Init container side failed liveness probe', 'start side'],
  },
  {
    name: 'while one runs, its last end stays: the wait for its next start begins there',
    pod: testPod(withSidecar),
    observed: testObserved([
      testInstance('side', { attempt: 2 }),
      exited('side', 0, { attempt: 1 }),
      exited('side', 0),
      exited('i2', 0),
      testInstance('web'),
    ]),
    liveness: { 'side-2': 'failure' },
    want: ['kill side: Init container side failed liveness probe', 'remove side-0', 'start side'],
  },
  {
    name: 'when the regular containers are done the pod ends, sidecar and all',
    pod: testPod({ ...withSidecar, restartPolicy: 'Never' }),
    observed: testObserved([testInstance('side'), exited('i2', 0), exited('web', 0)]),
    want: ['kill-pod'],
  },

  {
    name: 'one that exited together with the regular containers comes first',
    pod: testPod({ initContainers: [testContainer('side', { restartPolicy: 'Always', startupProbe: {} })] }),
    observed: testObserved([exited('side', 1), exited('web', 1)]),
    want: ['start side'],
  },
  {
    name: 'one with a changed image is replaced',
    pod: testPod({ initContainers: [testContainer('side', { restartPolicy: 'Always', image: 'other' })] }),
    observed: testObserved([testInstance('side'), testInstance('web')]),
    want: ['kill side: Init container side definition changed', 'start side'],
  },
  {
    name: 'one that fails its startup probe is replaced, and the others wait',
    pod: testPod({ initContainers: [testContainer('side', { restartPolicy: 'Always', startupProbe: {} })] }),
    observed: testObserved([testInstance('side')]),
    startup: { 'side-0': 'failure' },
    want: ['kill side: Init container side failed startup probe', 'start side'],
  },
  {
    name: 'Never: when the last regular container fails its probe, the whole pod is ended',
    pod: testPod({ ...withSidecar, restartPolicy: 'Never' }),
    observed: testObserved([testInstance('side'), exited('i2', 0), testInstance('web')]),
    liveness: { 'web-0': 'failure' },
    want: ['kill-pod'],
  },

  // the action RestartAllContainers
  {
    name: 'an exit that asks for all: what runs is killed first, regular containers before the others',
    pod: restartAllPod,
    observed: testObserved([testInstance('side'), exited('i2', 0), testInstance('other'), exited('web', 42)]),
    want: ['kill other: killing in 0 s', 'kill side: killing in 0 s'],
  },
  {
    name: 'then all are removed, older instances too, who asked for it last',
    pod: restartAllPod,
    observed: testObserved([
      exited('web', 1),
      exited('web', 42, { attempt: 1 }),
      exited('side', 137),
      exited('i2', 0),
      exited('other', 137),
      testInstance('debug'),
    ]),
    want: ['reset other-0', 'reset side-0', 'reset i2-0', 'reset web-0', 'reset web-1, which asked'],
  },
  {
    name: 'then the pod starts over in its sandbox',
    pod: restartAllPod,
    observed: testObserved([testInstance('debug')]),
    want: ['start side'],
  },
  {
    name: 'an init container may ask for it, too',
    pod: testPod({ initContainers: [testContainer('i1', restartAllOn42)] }),
    observed: testObserved([exited('i1', 42)]),
    want: ['reset i1-0, which asked'],
  },
  {
    name: 'another code asks for nothing',
    pod: restartAllPod,
    observed: testObserved([
      testInstance('side'),
      exited('i2', 0),
      testInstance('other'),
      exited('web', 1),
      exited('debug', 0),
    ]),
    want: [],
  },
  {
    name: 'rules of a container without a policy of its own count for nothing',
    pod: testPod({ containers: [testContainer('web', { restartPolicyRules: restartAllOn42.restartPolicyRules })] }),
    observed: testObserved([exited('web', 42)]),
    want: ['start web'],
  },
  {
    name: 'an exit in an earlier sandbox was seen to by its successor',
    pod: restartAllPod,
    observed: testObserved(
      [
        exited('web', 42, { sandboxId: 'gone' }),
        testInstance('side', { sandboxId: 's1' }),
        testInstance('debug', { sandboxId: 's1' }),
      ],
      [testSandbox({ id: 's1', attempt: 1 })],
    ),
    want: ['start i2'],
  },

  // ephemeral containers
  {
    name: 'an ephemeral container starts beside what runs',
    pod: testPod({ ephemeralContainers: [{ name: 'debug', image: 'x' }] }),
    observed: testObserved([testInstance('web')]),
    want: ['start debug'],
  },
  {
    name: 'it starts with a new sandbox',
    pod: testPod({ ...withInit, ephemeralContainers: [{ name: 'debug', image: 'x' }] }),
    want: ['sandbox 0', 'start debug', 'start i1'],
  },
  {
    name: 'it starts before init is done',
    pod: testPod({ ...withInit, ephemeralContainers: [{ name: 'debug', image: 'x' }] }),
    observed: testObserved([testInstance('i1')]),
    want: ['start debug'],
  },
  {
    name: 'it is never started again',
    pod: testPod({ ephemeralContainers: [{ name: 'debug', image: 'x' }] }),
    observed: testObserved([testInstance('web'), exited('debug', 1)]),
    want: [],
  },
];

describe('computePodActions', () => {
  it.each(rows)('$name', ({ pod, observed, liveness = {}, startup = {}, want }) => {
    const probes = { liveness: (id: string) => liveness[id], startup: (id: string) => startup[id] };
    expect(computePodActions({ pod, observed, probes }).map(brief)).toEqual(want);
  });
});

describe('computePodActions for a pod that was given other amounts', () => {
  const resized = (pod: Pod, observed: ObservedPod, ...restarts: string[]): string[] =>
    computePodActions({
      pod,
      observed,
      probes: { liveness: () => undefined, startup: () => undefined },
      resizes: { isWanted: () => true, mustRestart: (_, { name }) => restarts.includes(name) },
    }).map(brief);

  it.each([
    { name: 'sets them', pod: testPod(two), runs: ['a', 'b'], restarts: [], want: ['resize'] },
    {
      name: 'sets them before what is started with them, after what was ended for them',
      pod: testPod(two),
      runs: ['a', 'b'],
      restarts: ['b'],
      want: ['kill b: Container b resize requires restart', 'resize', 'start b'],
    },
    {
      name: 'starts a sidecar anew, too',
      pod: testPod(withSidecar),
      runs: ['side', 'web'],
      restarts: ['side'],
      want: ['kill side: Container side resize requires restart', 'start side', 'resize'],
    },
    {
      name: 'and an init container that runs',
      pod: testPod(withInit),
      runs: ['i1'],
      restarts: ['i1'],
      want: ['kill i1: Container i1 resize requires restart', 'start i1', 'resize'],
    },
  ])('$name', ({ pod, runs, restarts, want }) => {
    expect(resized(pod, testObserved(runs.map((name) => testInstance(name))), ...restarts)).toEqual(want);
  });

  it('sets them before a new sandbox is made', () => {
    expect(resized(testPod(two), testObserved([], [stopped]))).toEqual([
      'kill-pod, sandbox changed',
      'resize',
      'sandbox 1',
      'start a',
      'start b',
    ]);
  });
});
