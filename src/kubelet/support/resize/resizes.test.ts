import { beforeEach, describe, expect, it } from 'vitest';
import { testContainer, testInstance, testObserved, testPod } from '../../../../test/fixtures/kubelet-pods.ts';
import { type Clock, FakeClock, systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/logger.ts';
import type { Container, Pod, ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import { milliOf } from '../../../objects/quantity.ts';
import { uidOf } from '../../pod-model.ts';
import { ResourceRecords } from './resource-records.ts';
import { Resizes } from './resizes.ts';

const cpu = (amount: string): ResourceRequirements => ({ requests: { cpu: amount } });
const podOf = (uid: string, amount: string, generation = 1, more: Partial<Container> = {}): Pod =>
  testPod({ containers: [testContainer('a', { resources: cpu(amount), ...more })] }, { uid, name: uid, generation });
const runs = testObserved([testInstance('a')]);
const given = (pod: Pod): string | undefined => resizes.given(pod).spec.containers[0]?.resources?.requests?.['cpu'];

let desired: Map<string, Pod>;
let events: string[];
let told: string[];
let counted: string[];
let usesSwap: boolean;
let isComplete: boolean;
/** What the node has, in thousandths of a CPU. */
let capacityMilli: number;
let allocated: ResourceRecords;
let actuated: ResourceRecords;
let resizes: Resizes;

function open(clock: Clock = systemClock): Resizes {
  return new Resizes({
    allocated,
    actuated,
    desired: (uid) => desired.get(uid),
    refusal: (pod) => {
      const others = [...desired.values()].filter((one) => uidOf(one) !== uidOf(pod));
      const milli = [pod, ...others.map((other) => resizes.given(other))].reduce(
        (sum, { spec }) => sum + milliOf(spec.containers[0]?.resources?.requests?.['cpu']),
        0,
      );
      return milli > capacityMilli ? { message: `${milli} are too many` } : undefined;
    },
    mayUseSwap: () => usesSwap,
    onGiven: (pod) => told.push(`given ${uidOf(pod)}`),
    onStatusChanged: (uid) => told.push(`status ${uid}`),
    isComplete: () => isComplete,
    counts: {
      resizeRefused: (detail) => counted.push(`refused ${detail}`),
      resizeGrantedLate: (trigger) => counted.push(`granted late: ${trigger}`),
    },
    events: { pod: (_, type, reason, message) => events.push(`${type} ${reason} ${message}`) },
    clock,
    log: silentLogger,
  });
}

beforeEach(() => {
  desired = new Map();
  events = [];
  told = [];
  counted = [];
  usesSwap = false;
  isComplete = true;
  capacityMilli = 1000;
  const need = { path: '/nowhere/records', clock: systemClock, log: silentLogger };
  [allocated, actuated] = [new ResourceRecords(need), new ResourceRecords(need)];
  resizes = open();
});

/** The pod is here, and its container runs with what it asks for. */
async function start(pod: Pod): Promise<void> {
  desired.set(uidOf(pod), pod);
  resizes.take(pod, false);
  const [container] = resizes.given(pod).spec.containers;
  if (container !== undefined) await resizes.starts(resizes.given(pod), container);
}

function ask(pod: Pod): void {
  desired.set(uidOf(pod), pod);
  resizes.updated(pod);
  resizes.retry();
}

const conditions = (uid: string): string[] =>
  resizes
    .conditions(uid)
    .map(({ type, reason = '-', message = '-', observedGeneration }) =>
      [type, reason, message, observedGeneration].join(' '),
    );

/** What the pod's lane does. */
function carryOut(pod: Pod): void {
  const now = resizes.given(pod);
  for (const { name, resources = {} } of now.spec.containers) resizes.setContainer(uidOf(pod), name, resources);
  resizes.applied(now);
}

const summary = (amount: string, generation: number, error?: string): string =>
  JSON.stringify({
    containers: [{ name: 'a', resources: { requests: { cpu: amount } } }],
    generation,
    ...(error === undefined ? {} : { error }),
  });

describe('Resizes', () => {
  it('gives what fits, has it carried out, and says so at both ends', async () => {
    await start(podOf('u', '200m'));
    const wish = podOf('u', '400m', 2);
    expect(given(wish)).toBe('200m');
    ask(wish);
    expect([given(wish), told, resizes.isWanted('u')]).toEqual(['400m', ['given u'], true]);
    resizes.settle(resizes.given(wish), runs);
    expect(conditions('u')).toEqual(['PodResizeInProgress - - 2']);
    carryOut(wish);
    resizes.settle(resizes.given(wish), runs);
    expect([conditions('u'), resizes.isWanted('u')]).toEqual([[], false]);
    expect(events).toEqual([
      `Normal ResizeStarted Pod resize started: ${summary('400m', 2)}`,
      `Normal ResizeCompleted Pod resize completed: ${summary('400m', 2)}`,
    ]);
  });

  it('defers what does not fit, says it once, and gives it when there is room', async () => {
    await start(podOf('u', '200m'));
    await start(podOf('other', '500m'));
    const wish = podOf('u', '700m', 2);
    ask(wish);
    resizes.retry();
    expect([given(wish), conditions('u')]).toEqual(['200m', ['PodResizePending Deferred 1200 are too many 2']]);
    expect(events).toEqual([`Warning ResizeDeferred Pod resize Deferred: ${summary('700m', 2, '1200 are too many')}`]);
    desired.delete('other');
    resizes.retry();
    expect([given(wish), conditions('u')]).toEqual(['700m', ['PodResizeInProgress - - 2']]);
    expect(counted).toEqual(['granted late: pod_updated']);
  });

  it('never gives other memory to a container that may have swapped, unless it starts anew', async () => {
    const memory = (amount: string, generation: number, policy: string): Pod =>
      podOf('u', '1', generation, {
        resources: { requests: { memory: amount } },
        resizePolicy: [{ resourceName: 'memory', restartPolicy: policy }],
      });
    usesSwap = true;
    await start(memory('1Gi', 1, 'NotRequired'));
    ask(memory('2Gi', 2, 'NotRequired'));
    resizes.retry();
    const text = 'In-place resize of containers with swap is not supported.';
    expect([conditions('u'), resizes.figures()]).toEqual([
      [`PodResizePending Infeasible ${text} 2`],
      { deferred: 0, infeasible: 1, inProgress: 0 },
    ]);
    const asked = {
      containers: [{ name: 'a', resources: { requests: { memory: '2Gi' } } }],
      generation: 2,
      error: text,
    };
    expect(events).toEqual([`Warning ResizeInfeasible Pod resize Infeasible: ${JSON.stringify(asked)}`]);
    expect(counted).toEqual(['refused swap_limitation']);
    ask(memory('2Gi', 3, 'RestartContainer'));
    expect(resizes.figures()).toEqual({ deferred: 0, infeasible: 0, inProgress: 1 });
  });

  it('takes a wish back that became what the pod has', async () => {
    await start(podOf('u', '200m'));
    ask(podOf('u', '5', 2));
    expect(conditions('u')).toHaveLength(1);
    ask(podOf('u', '200m', 3));
    expect([conditions('u'), given(podOf('u', '200m'))]).toEqual([[], '200m']);
  });

  it('gives to one what another gives back, in the same round', async () => {
    await start(podOf('grows', '300m'));
    await start(podOf('shrinks', '700m'));
    ask(podOf('grows', '600m', 2));
    expect(told).toEqual(['status grows']);
    ask(podOf('shrinks', '100m', 2));
    expect(resizes.figures()).toEqual({ deferred: 0, infeasible: 0, inProgress: 2 });
    expect(told).toEqual(['status grows', 'given shrinks', 'given grows']);
    expect(counted).toEqual(['granted late: pod_updated']);
  });

  it('says what went wrong, once, and is done when it went well', async () => {
    await start(podOf('u', '200m'));
    const wish = podOf('u', '400m', 2);
    ask(wish);
    resizes.failed(resizes.given(wish), new Error('too much is in use'));
    resizes.failed(resizes.given(wish), new Error('too much is in use'));
    expect(conditions('u')).toEqual(['PodResizeInProgress Error too much is in use 2']);
    expect(events.at(-1)).toBe(`Warning ResizeError Pod resize error: ${summary('400m', 2, 'too much is in use')}`);
    expect(events).toHaveLength(2);
    expect(resizes.isWanted('u')).toBe(true);
    carryOut(wish);
    resizes.settle(resizes.given(wish), runs);
    expect(conditions('u')).toEqual([]);
  });

  it('waits for a container that starts anew', async () => {
    const policy = { resizePolicy: [{ resourceName: 'cpu', restartPolicy: 'RestartContainer' }] };
    await start(podOf('u', '200m', 1, policy));
    const wish = podOf('u', '400m', 2, policy);
    ask(wish);
    const now = resizes.given(wish);
    const [container] = now.spec.containers;
    if (container === undefined) throw new Error('the pod has no container');
    expect(resizes.mustRestart('u', container)).toBe(true);
    resizes.applied(now);
    resizes.settle(now, runs);
    expect(conditions('u')).toHaveLength(1);
    actuated.flush = () => Promise.resolve(void events.push('recorded'));
    await resizes.starts(now, container);
    expect(resizes.mustRestart('u', container)).toBe(false);
    resizes.settle(now, runs);
    expect(events.slice(1).map((event) => event.split(' ').slice(0, 2).join(' '))).toEqual([
      'recorded',
      'Normal ResizeCompleted',
    ]);
  });

  it('goes on after a restart where it was: with wishes, with what is in progress, and with what was changed meanwhile', async () => {
    await start(podOf('deferred', '200m'));
    await start(podOf('halfway', '200m'));
    await start(podOf('changed', '200m'));
    ask(podOf('deferred', '5', 2));
    ask(podOf('halfway', '300m', 2));
    const withConditions = (pod: Pod): Pod => ({ ...pod, status: { conditions: resizes.conditions(uidOf(pod)) } });
    const pods = [podOf('deferred', '5', 2), podOf('halfway', '300m', 2)].map(withConditions);
    events = [];
    resizes = open();
    for (const pod of [...pods, podOf('changed', '100m', 2)]) {
      desired.set(uidOf(pod), pod);
      resizes.take(pod, true);
    }
    resizes.retry();
    expect(conditions('deferred')).toEqual([expect.stringContaining('PodResizePending Deferred')]);
    expect([resizes.isWanted('halfway'), resizes.isWanted('changed')]).toEqual([true, true]);
    expect(given(podOf('changed', '100m', 2))).toBe('100m');
    expect(events).toEqual([`Normal ResizeStarted Pod resize started: ${summary('100m', 2)}`]);
  });

  it('carries out after a restart what was given before it and not carried out', async () => {
    await start(podOf('u', '200m'));
    ask(podOf('u', '300m', 2));
    const pod = podOf('u', '300m', 2); // its status was not written any more
    resizes = open();
    resizes.take(pod, true);
    resizes.settle(resizes.given(pod), runs);
    expect([given(pod), resizes.isWanted('u'), conditions('u')]).toEqual(['300m', true, ['PodResizeInProgress - - 2']]);
  });

  it('forgets pods that went while nobody looked, once it knows of all, and asks for those that wait every now and then', async () => {
    const clock = new FakeClock();
    const stop = new AbortController();
    resizes = open(clock);
    isComplete = false;
    await start(podOf('gone', '200m'));
    await start(podOf('waits', '200m'));
    await start(podOf('other', '500m'));
    desired.delete('gone');
    const wish = podOf('waits', '600m', 2);
    desired.set('waits', wish);
    resizes.updated(wish);
    const running = resizes.run(stop.signal);
    await clock.advance(29_999);
    expect([allocated.uids(), told]).toEqual([['gone', 'waits', 'other'], []]);
    isComplete = true;
    await clock.advance(1);
    expect([allocated.uids(), told]).toEqual([['waits', 'other'], ['status waits']]);
    desired.delete('other');
    await clock.advance(179_999);
    expect(given(wish)).toBe('200m');
    await clock.advance(1);
    expect([given(wish), counted]).toEqual(['600m', ['granted late: periodic_retry']]);
    stop.abort();
    await clock.advance(0);
    await running;
  });

  it('leaves a running pod with what its status says when there is no record of it', () => {
    const pod: Pod = {
      ...podOf('u', '5', 2),
      status: {
        containerStatuses: [
          {
            name: 'a',
            image: '',
            imageID: '',
            ready: true,
            restartCount: 0,
            state: { running: {} },
            resources: cpu('200m'),
          },
        ],
      },
    };
    desired.set('u', pod);
    resizes.take(pod, true);
    resizes.retry();
    expect([given(pod), conditions('u')]).toEqual(['200m', ['PodResizePending Deferred 5000 are too many 2']]);
  });

  it('keeps what a pod has when it asks for what nobody can read', async () => {
    await start(podOf('u', '200m'));
    ask(podOf('u', '1 cpu', 2));
    expect(given(podOf('u', '1 cpu', 2))).toBe('200m');
    expect(conditions('u')).toEqual([expect.stringMatching(/^PodResizePending Infeasible .*amount of resource "cpu"/)]);
  });

  it('forgets a pod whole', async () => {
    await start(podOf('u', '200m'));
    ask(podOf('u', '5', 2));
    resizes.forget('u');
    expect([conditions('u'), allocated.uids(), actuated.uids(), given(podOf('u', '5'))]).toEqual([[], [], [], '5']);
  });
});
