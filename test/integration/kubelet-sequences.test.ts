/**
 * The whole of a pod's life as an observer sees it who watches both sides of a kubelet: what it asks of the runtime and
 * writes to the API, in one order, and which events it tells. One story each for a start, a start that cannot be, a
 * crash, an end, an end for the node's sake, a refusal, a lost sandbox and a failing probe.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodes } from '../../src/client/resource-types.ts';
import type { ContainerStatus, Pod, PodStatus } from '../../src/objects/generated/core-v1.ts';
import type { GateStep } from '../fakes/fault-gate.ts';
import { type KubeletFixture, apiPod, nodeName, openFixture, webContainer } from './kubelet-fixture.ts';
import { MortalKubelet } from './mortal-kubelet.ts';

let t: KubeletFixture;
let kubelet: MortalKubelet;

beforeEach(async () => {
  t = await openFixture();
  kubelet = await MortalKubelet.start(t);
});
afterEach(async () => {
  await t.close();
});

// ---- the record

const stateText = ({ name, state, lastState, restartCount }: ContainerStatus): string => {
  const { waiting, running, terminated } = state ?? {};
  const now =
    terminated !== undefined
      ? `${terminated.reason}(${terminated.exitCode})`
      : running !== undefined
        ? 'running'
        : (waiting?.reason ?? 'created');
  const last = lastState?.terminated;
  const before = last === undefined ? '' : ` after ${last.reason}(${last.exitCode})`;
  return `${name}#${restartCount} ${now}${before}`;
};

/** Phase, reason, each container, and the conditions that hold. */
function statusText({ phase, reason, conditions = [], containerStatuses = [], ...rest }: PodStatus): string {
  const holding = conditions.filter(({ status }) => status === 'True').map(({ type }) => type);
  const containers = [...(rest.initContainerStatuses ?? []), ...containerStatuses].map(stateText);
  const parts = [`${phase} ${reason ?? ''}`.trim(), containers.join(', '), holding.join(' ')];
  return parts.filter((part) => part !== '').join(' | ');
}

const looks = /^(List|Version|Status|ImageFsInfo|RuntimeConfig|ContainerStatus|GetContainerEvents|ContainerStats)/;

/** What the kubelet did, in order: calls that change the runtime, the first look at a new sandbox, and writes of pods. */
function actsOf(pod: string, uid: string): string[] {
  const patches = t.api.podPatches.filter(({ name }) => name === pod);
  const acts: string[] = [];
  let told = 0;
  const isOurs = ({ podUid, method }: GateStep): boolean => podUid === uid || method === 'ImageStatus';
  for (const step of kubelet.gate.steps.filter(isOurs)) {
    const { method, container } = step;
    if (looks.test(method) || step.state === 'asked') continue;
    if (method === 'PodSandboxStatus' && acts.at(-1) !== 'RunPodSandbox') continue;
    const request = step.request as { timeout?: unknown; cmd?: string[]; options?: unknown };
    if (method === 'PATCH pods') {
      const patch = patches[told++];
      acts.push(`PATCH ${patch === undefined ? '?' : statusText(patch.status)}`);
    } else if (method === 'StopContainer') acts.push(`${method} ${container} ${Number(request.timeout)}s`);
    else if (method === 'ExecSync') acts.push(`${method} ${request.cmd?.join(' ')}`);
    else acts.push(container === undefined ? method : `${method} ${container}`);
  }
  return acts;
}

const eventsOf = (pod: string): string[] =>
  t.api
    .eventList()
    .filter(({ involvedObject }) => involvedObject.name === pod)
    .map(({ type, reason, message, count = 1 }) => `${type} ${reason}: ${message}${count > 1 ? ` (x${count})` : ''}`);

const withoutCounts = (events: string[]): string[] => events.map((text) => text.replace(/ \(x\d+\)$/, ''));

const untilEvent = (pod: string, start: string): Promise<unknown> =>
  t.until(`the event ${start}`, () => eventsOf(pod).some((text) => text.startsWith(start)), 200_000);

const uidOf = (pod: Pod): string => pod.metadata.uid ?? '';
const allConditions = 'PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled';
const letGo = ({ metadata: { name, uid } }: Pod) => ({
  name,
  options: { gracePeriodSeconds: 0, preconditions: { uid } },
});
/** Written only when cleaning up takes longer than a status of a pod that ends waits for the next one. */
const heldBack = /^PATCH Running \| web#0 Completed\(0\) \|/;
/** A container that runs for a moment and fails, each time. */
const crashes = { exits: { afterMs: 800, code: 1 } };

// ---- the stories

describe('a normal start', () => {
  it('shows each step once, and runs', async () => {
    t.cri.images.remove('web:1');
    t.cri.images.publish('web:1', { sizeBytes: 4321 });
    // Steps that follow fast are told at once: this pod is held up at its sandbox, then at its image.
    const sandbox = kubelet.gate.hold(({ method }) => method === 'RunPodSandbox');
    const pull = kubelet.gate.hold(({ method }) => method === 'PullImage');
    const pod = t.api.addPod(apiPod('web'), nodeName);
    await t.until('its first status', () => t.api.podPatches.length === 1);
    sandbox.release();
    await t.until('its status with a sandbox', () => t.api.podPatches.length === 2);
    pull.release();
    await t.untilReady('web');
    await untilEvent('web', 'Normal Started');
    const acts = actsOf('web', uidOf(pod));
    expect(acts.filter((act) => act.includes('Image'))).toEqual([
      'ImageStatus', // is it there
      'PullImage',
      'ImageStatus', // how big
      'ImageStatus', // whose user
    ]);
    expect(acts.filter((act) => act !== 'ImageStatus')).toEqual([
      'PATCH Pending | web#0 ContainerCreating | Initialized PodScheduled',
      'RunPodSandbox',
      'PodSandboxStatus',
      'PATCH Pending | web#0 ContainerCreating | PodReadyToStartContainers Initialized PodScheduled',
      'PullImage',
      'CreateContainer web',
      'StartContainer web',
      `PATCH Running | web#0 running | ${allConditions}`,
    ]);
    expect(eventsOf('web')).toEqual([
      'Normal Pulling: Pulling image "web:1"',
      expect.stringMatching(/^Normal Pulled: Successfully pulled image "web:1" in .* Image size: 4321 bytes\.$/),
      'Normal Created: Container created',
      'Normal Started: Container started',
    ]);
  });
});

describe('an image that cannot be pulled', () => {
  it('is asked for again after 10, 20 and 40 seconds', async () => {
    const pod = t.api.addPod(apiPod('web', { containers: [webContainer({ image: 'missing:1' })] }), nodeName);
    const pulls = (): number[] => t.cri.callsOf('PullImage').map(({ atMs }) => atMs);
    await t.until('the fourth pull', () => pulls().length >= 4, 200_000);
    const [first = 0, second = 0, third = 0, fourth = 0] = pulls();
    expect(second - first).toBeGreaterThanOrEqual(10_000);
    expect(third - second).toBeGreaterThanOrEqual(20_000);
    expect(fourth - third).toBeGreaterThanOrEqual(40_000);
    // A first failure that is followed by a look at once may be told with it: docs/differences.md, statuses that wait.
    const told = actsOf('web', uidOf(pod)).filter((act) => act !== 'ImageStatus');
    const waits = 'PATCH Pending | web#0 ImagePullBackOff | PodReadyToStartContainers Initialized PodScheduled';
    const fails = 'PATCH Pending | web#0 ErrImagePull | PodReadyToStartContainers Initialized PodScheduled';
    expect(told.filter((act) => act === 'PullImage' || act === waits)).toEqual([
      'PullImage',
      waits,
      'PullImage',
      waits,
      'PullImage',
      waits,
      'PullImage',
    ]);
    expect(told).toContain(fails);
    await t.until('its events', () => eventsOf('web').some((text) => /BackOff.*\(x\d+\)$/.test(text)));
    expect(withoutCounts(eventsOf('web'))).toEqual([
      'Normal Pulling: Pulling image "missing:1"',
      expect.stringMatching(/^Warning Failed: Failed to pull image "missing:1": rpc error: code = NotFound desc = /),
      'Warning Failed: Error: ErrImagePull',
      'Normal BackOff: Back-off pulling image "missing:1"',
      'Warning Failed: Error: ImagePullBackOff',
    ]);
  });
});

describe('a container that crashes', () => {
  it('starts again at once, and then waits', async () => {
    t.cri.behave({ name: 'web' }, crashes);
    const pod = t.api.addPod(apiPod('web'), nodeName);
    await t.until('its back-off', () => t.container('web', 'web')?.state?.waiting?.reason === 'CrashLoopBackOff');
    await untilEvent('web', 'Warning BackOff');
    const acts = actsOf('web', uidOf(pod)).filter((act) => !/^(RemoveContainer|PATCH Pending)/.test(act));
    const begun = 'PodReadyToStartContainers Initialized PodScheduled';
    expect(acts.slice(2)).toEqual([
      'ImageStatus',
      'CreateContainer web',
      'StartContainer web',
      `PATCH Running | web#0 running | ${allConditions}`,
      `PATCH Running | web#0 Error(1) | ${begun}`,
      'ImageStatus',
      'CreateContainer web',
      'StartContainer web',
      `PATCH Running | web#1 running after Error(1) | ${allConditions}`,
      `PATCH Running | web#1 Error(1) after Error(1) | ${begun}`,
      `PATCH Running | web#1 CrashLoopBackOff after Error(1) | ${begun}`,
    ]);
    expect(eventsOf('web').slice(0, 3)).toEqual([
      'Normal Pulled: Container image "web:1" already present on machine and can be accessed by the pod (x2)',
      'Normal Created: Container created (x2)',
      'Normal Started: Container started (x2)',
    ]);
    expect(withoutCounts(eventsOf('web')).slice(3)).toEqual([
      `Warning BackOff: Back-off restarting failed container web in pod web_default(${uidOf(pod)})`,
    ]);
  });
});

describe('a pod that is deleted', () => {
  it('ends with its grace, is told to have ended, and is let go of', async () => {
    t.cri.setExecScript(async () => {
      await t.clock.sleep(2500, new AbortController().signal);
      return { exitCode: 0 };
    });
    const preStop = { exec: { command: ['farewell'] } };
    const pod = t.api.addPod(apiPod('web', { containers: [webContainer({ lifecycle: { preStop } })] }), nodeName);
    await t.untilReady('web');
    kubelet.gate.steps.length = 0;
    t.api.podPatches.length = 0;
    t.api.deletePod('web', 30);
    await t.until('its sandbox to be collected', () => t.cri.sandboxesOfPod('web').length === 0, 200_000);
    await untilEvent('web', 'Normal Killing');
    expect(actsOf('web', uidOf(pod)).filter((act) => !heldBack.test(act))).toEqual([
      'ExecSync farewell',
      'StopContainer web 28s', // two whole seconds went to the hook
      'StopPodSandbox',
      'PATCH Succeeded | web#0 Completed(0) | Initialized PodScheduled',
      'DELETE pods',
      'RemoveContainer web',
      'StopPodSandbox',
      'RemovePodSandbox',
    ]);
    expect(eventsOf('web').slice(3)).toEqual(['Normal Killing: Stopping container web']);
    expect(t.api.podDeletes).toEqual([letGo(pod)]);
  });
});

describe('a pod that fails its readiness probe while it ends', () => {
  it('is told not to be ready before it has ended', async () => {
    let isReady = 0;
    t.cri.setExecScript(async ([command]) => {
      if (command === 'ready') return { exitCode: isReady };
      isReady = 1; // the hook tells the server to take no more
      await t.clock.sleep(20_000, new AbortController().signal);
      return { exitCode: 0 };
    });
    const container = webContainer({
      readinessProbe: { exec: { command: ['ready'] }, periodSeconds: 2, failureThreshold: 1 },
      lifecycle: { preStop: { exec: { command: ['farewell'] } } },
    });
    const pod = t.api.addPod(apiPod('web', { containers: [container] }), nodeName);
    await t.untilReady('web');
    kubelet.gate.steps.length = 0;
    t.api.podPatches.length = 0;
    t.api.deletePod('web', 30);
    await t.untilGone('web');
    const acts = actsOf('web', uidOf(pod)).filter((act) => act !== 'ExecSync ready' && !heldBack.test(act));
    // what it leaves in the runtime is collected meanwhile
    expect(acts.slice(0, acts.indexOf('DELETE pods') + 1)).toEqual([
      'ExecSync farewell',
      'PATCH Running | web#0 running | PodReadyToStartContainers Initialized PodScheduled',
      expect.stringMatching(/^StopContainer web (9|10)s$/),
      'StopPodSandbox',
      'PATCH Succeeded | web#0 Completed(0) | Initialized PodScheduled',
      'DELETE pods',
    ]);
  });
});

describe('a pod that has to make room', () => {
  it('ends, is told to have failed in one write with its cause, and stays on the API', async () => {
    const cpu = await t.until('the node', () => t.api.find(nodes, undefined, nodeName)?.status?.allocatable?.['cpu']);
    const asking = (amount: string) => [webContainer({ resources: { requests: { cpu: amount } } })];
    const victim = t.api.addPod(
      apiPod('victim', { containers: asking(cpu), terminationGracePeriodSeconds: 7 }),
      nodeName,
    );
    await t.untilReady('victim');
    await untilEvent('victim', 'Normal Started');
    kubelet.gate.steps.length = 0;
    t.api.podPatches.length = 0;
    t.api.addPod(apiPod('critical', { containers: asking('100m'), priority: 2_000_001_000 }), nodeName);
    await t.untilReady('critical');
    await t.until('its remains to be collected', () => t.cri.sandboxesOfPod('victim').length === 0);
    await untilEvent('victim', 'Normal Killing');
    const isOurs = (act: string): boolean => act !== 'ImageStatus' && !heldBack.test(act); // images are the other pod's
    expect(actsOf('victim', uidOf(victim)).filter(isOurs)).toEqual([
      'StopContainer web 7s',
      'StopPodSandbox',
      'PATCH Failed Preempting | web#0 Completed(0) | DisruptionTarget Initialized PodScheduled',
      'RemoveContainer web',
      'StopPodSandbox',
      'RemovePodSandbox',
    ]);
    expect(eventsOf('victim').slice(3)).toEqual([
      'Warning Preempting: Preempted in order to admit critical pod',
      'Normal Killing: Stopping container web',
    ]);
    expect(t.api.pod('victim')?.status?.phase).toBe('Failed');
    expect(t.api.podDeletes).toEqual([]);
  });
});

describe('a pod that is refused', () => {
  it('is told so in one write, and let go of when it is deleted', async () => {
    const pod = t.api.addPod(apiPod('web', { nodeSelector: { nobody: 'has-this' } }), nodeName);
    await t.until('its status', () => t.api.pod('web')?.status?.phase === 'Failed');
    await untilEvent('web', 'Warning');
    await t.clock.pass(5000);
    const message = `Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector`;
    expect(t.api.pod('web')?.status).toEqual({
      phase: 'Failed',
      reason: 'NodeAffinity',
      message: `Pod was rejected: ${message}`,
      qosClass: 'BestEffort',
      startTime: expect.any(String),
      observedGeneration: 1,
    });
    t.api.deletePod('web', 30);
    await t.untilGone('web');
    const acts = actsOf('web', uidOf(pod));
    expect(acts[0]).toBe('PATCH Failed NodeAffinity');
    expect(acts.slice(-2)).toEqual([
      'PATCH Failed NodeAffinity | web#0 ContainerStatusUnknown(137) | Initialized PodScheduled',
      'DELETE pods',
    ]);
    expect(acts.filter((act) => !act.startsWith('PATCH Failed NodeAffinity'))).toEqual(['DELETE pods']);
    expect(eventsOf('web')).toEqual([`Warning NodeAffinity: ${message}`]);
    expect(t.api.podDeletes).toEqual([letGo(pod)]);
  });
});

describe('a sandbox that is lost', () => {
  it('is made anew, and everything starts over in it', async () => {
    t.cri.behave({ name: 'init' }, { exits: { afterMs: 2000, code: 0 } });
    const pod = t.api.addPod(apiPod('web', { initContainers: [{ name: 'init', image: 'init:1' }] }), nodeName);
    await t.untilReady('web');
    await untilEvent('web', 'Normal Started');
    await t.clock.pass(3000);
    kubelet.gate.steps.length = 0;
    t.api.podPatches.length = 0;
    const seen = kubelet.gate.hold(({ method }) => method.startsWith('ListPodSandbox'));
    await t.until('no look at the runtime', () => seen.count > 0);
    t.cri.exitContainer({ pod: 'web', name: 'web' }, 255, 'Unknown');
    t.cri.killSandbox('web');
    seen.release();
    await t.until(
      'it to be back',
      () => t.container('web', 'web')?.restartCount === 1 && t.container('web', 'web')?.ready === true,
    );
    await untilEvent('web', 'Normal SandboxChanged');
    await t.clock.pass(3000);
    const begun = 'PodReadyToStartContainers Initialized PodScheduled';
    expect(actsOf('web', uidOf(pod)).filter((act) => act !== 'ImageStatus')).toEqual([
      'PATCH Running | init#0 Completed(0), web#0 Unknown(255) | Initialized PodScheduled',
      'StopPodSandbox',
      'RemoveContainer init',
      'RunPodSandbox',
      'PodSandboxStatus',
      `PATCH Running | init#0 Completed(0), web#0 Unknown(255) | ${begun}`,
      'CreateContainer init',
      'StartContainer init',
      `PATCH Pending | init#1 running after Completed(0), web#0 Unknown(255) | ${begun}`,
      `PATCH Running | init#1 Completed(0) after Completed(0), web#0 Unknown(255) | ${begun}`,
      'CreateContainer web',
      'StartContainer web',
      `PATCH Running | init#1 Completed(0) after Completed(0), web#1 running after Unknown(255) | ${allConditions}`,
    ]);
    expect(eventsOf('web')).toContain('Normal SandboxChanged: Pod sandbox changed, it will be killed and re-created.');
    expect(t.cri.sandboxesOfPod('web').at(-1)?.config.metadata?.attempt).toBe(1);
    expect(t.api.pod('web')?.status?.podIP).toBe('10.88.0.3');
  });
});

describe('a liveness probe that fails', () => {
  it('ends its container after three attempts, which starts again in the same turn', async () => {
    t.cri.setExecScript(([command]) => ({ exitCode: command === 'alive' ? 1 : 0, stdout: 'not today' }));
    const container = webContainer({
      livenessProbe: { exec: { command: ['alive'] }, periodSeconds: 5, terminationGracePeriodSeconds: 9 },
      lifecycle: { preStop: { exec: { command: ['farewell'] } } },
    });
    const pod = t.api.addPod(apiPod('web', { containers: [container] }), nodeName);
    await t.until('it to run again', () => t.container('web', 'web')?.restartCount === 1);
    await t.until('its events', () => eventsOf('web').some((text) => text.includes('Started') && text.includes('x2')));
    const acts = actsOf('web', uidOf(pod));
    expect(acts.slice(acts.indexOf('ExecSync alive'))).toEqual([
      'ExecSync alive',
      'ExecSync alive',
      'ExecSync alive',
      'ExecSync farewell',
      'StopContainer web 9s',
      'ImageStatus',
      'CreateContainer web',
      'StartContainer web',
      `PATCH Running | web#1 running after Completed(0) | ${allConditions}`,
    ]);
    expect(eventsOf('web')).toEqual([
      'Normal Pulled: Container image "web:1" already present on machine and can be accessed by the pod (x2)',
      'Normal Created: Container created (x2)',
      'Normal Started: Container started (x2)',
      'Warning Unhealthy: Liveness probe failed: not today (x3)',
      'Normal Killing: Container web failed liveness probe, will be restarted',
    ]);
  });
});
