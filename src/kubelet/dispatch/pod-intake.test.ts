import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import type { PodChange } from '../pod-model.ts';
import { uidOf } from '../pod-model.ts';
import type { PodState, PodUpdate } from './next-pod-state.ts';
import type { Rejection } from './admit-pod.ts';
import { PodIntake } from './pod-intake.ts';

const smallNode: Node = { metadata: { name: 'n1' }, spec: {}, status: { allocatable: { pods: '1', cpu: '1' } } };
const named = (uid: string, metadata: Partial<Pod['metadata']> = {}, status: Pod['status'] = {}): Pod => ({
  ...testPod({}, { uid, name: uid, ...metadata }),
  status,
});

let updates: PodUpdate[];
let notes: string[];
let rejections: Rejection[];
let running: Set<string>;
let lanes: Map<string, PodState>;
let pods: Pod[];
let node: Node;
let liveNode: (() => Promise<Node | undefined>) | undefined;
let victimEnd: Promise<void>;
let intake: PodIntake;
let stop: AbortController;
let living: Promise<void>;

beforeEach(() => {
  updates = [];
  notes = [];
  rejections = [];
  running = new Set();
  lanes = new Map();
  pods = [];
  node = smallNode;
  liveNode = undefined;
  victimEnd = Promise.resolve();
  stop = new AbortController();
  intake = new PodIntake({
    workers: {
      update: (update) => {
        updates.push(update);
        lanes.set(uidOf(update.pod), {
          phase: 'sync',
          pod: update.pod,
          graceSeconds: 0,
          kill: {},
          isRuntimeOnly: false,
        });
      },
      state: (uid) => lanes.get(uid),
    },
    pods: () => pods,
    staticOf: (mirror) => pods.find(({ metadata }) => metadata.name === mirror.metadata.name),
    isRunning: (uid) => running.has(uid),
    node: () => node,
    readNode: () => {
      notes.push('read node');
      return liveNode?.() ?? Promise.resolve(undefined);
    },
    forbidden: () => undefined,
    unsupported: () => undefined,
    preempt: async (pod, missing) => {
      notes.push(`preempt ${uidOf(pod)} for ${missing}`);
      await victimEnd;
      lanes.set(uidOf(pod), { phase: 'terminated', pod, graceSeconds: 1, kill: {}, isRuntimeOnly: false });
    },
    resizes: { given: (pod) => pod, take: () => {}, updated: () => {}, retry: () => {} },
    onAdmitted: (pod) => notes.push(`admitted ${uidOf(pod)}`),
    onRejected: (pod, rejection) => {
      notes.push(`rejected ${uidOf(pod)} ${rejection.reason}`);
      rejections.push(rejection);
    },
    onEvicted: (uid) => notes.push(`evicted ${uid}`),
    onCopyChanged: (uid) => notes.push(`copy ${uid}`),
    onUpdated: (pod) => notes.push(`updated ${uidOf(pod)}`),
    log: silentLogger,
  });
  living = intake.run(stop.signal);
});

afterEach(async () => {
  stop.abort();
  await living;
});

/** Lets decisions under way come as far as they can. */
const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};
const add = async (pod: Pod): Promise<void> => {
  pods.push(pod);
  intake.take([{ kind: 'add', pod }]);
  await settle();
};
const take = async (change: PodChange): Promise<void> => {
  intake.take([change]);
  await settle();
};

describe('PodIntake', () => {
  it('asks a new pod whether it fits, beside those that hold something', async () => {
    await add(named('a'));
    await add(named('b'));
    expect(notes).toEqual(['admitted a', 'rejected b OutOfpods']);
    expect(updates.map(({ pod }) => uidOf(pod))).toEqual(['a']);
    expect(intake.isRejected('b')).toBe(true);
  });

  it('counts neither finished nor refused pods', async () => {
    await add(named('a'));
    lanes.set('a', { phase: 'terminated', pod: named('a'), graceSeconds: 1, kill: {}, isRuntimeOnly: false });
    await add(named('b'));
    expect(notes).toEqual(['admitted a', 'admitted b']);
  });

  it.each([
    { name: 'that runs', prepare: () => running.add('b'), pod: named('b') },
    { name: 'that is to be deleted', prepare: () => {}, pod: named('b', { deletionTimestamp: 'now' }) },
    { name: 'that is over', prepare: () => {}, pod: named('b', {}, { phase: 'Succeeded' }) },
  ])('does not ask a pod $name', async ({ prepare, pod }) => {
    await add(named('a'));
    prepare();
    await add(pod);
    expect(notes).toEqual(['admitted a']);
    expect(updates.at(-1)?.pod).toBe(pod);
  });

  it('knows a finished pod of which nothing runs as ended, and one that runs not', async () => {
    await add(named('a', {}, { phase: 'Succeeded' }));
    running.add('b');
    await add(named('b', {}, { phase: 'Failed' }));
    expect(updates.map(({ hasEnded }) => hasEnded)).toEqual([true, false]);
  });

  it('leaves a pod alone that an earlier kubelet refused, until it is deleted', async () => {
    const pod = named(
      'a',
      {},
      { phase: 'Failed', reason: 'OutOfcpu', message: "Pod was rejected: Node didn't have enough resource: cpu" },
    );
    await add(pod);
    expect(updates).toEqual([]);
    expect(intake.isRejected('a')).toBe(true);
    const deleted = named('a', { deletionTimestamp: 'now' }, pod.status);
    await take({ kind: 'update', pod: deleted, old: pod });
    expect(updates).toEqual([{ pod: deleted }]);
  });

  it('leaves a refused pod alone when something of it changes', async () => {
    await add(named('a'));
    await add(named('b'));
    await take({ kind: 'update', pod: named('b', { labels: { x: 'y' } }), old: named('b') });
    expect(updates).toHaveLength(1);
  });

  it('sends updates to the lane, and says that the copy changed', async () => {
    await add(named('a'));
    const changed = named('a', { labels: { x: 'y' } });
    await take({ kind: 'update', pod: changed, old: named('a') });
    expect(updates.at(-1)).toEqual({ pod: changed });
    expect(notes.slice(1)).toEqual(['copy a', 'updated a']);
  });

  it('a change of the status alone reaches the lane only when the pod is over, or has readiness gates', async () => {
    await add(named('a'));
    await take({ kind: 'reconcile', pod: named('a', {}, { phase: 'Running' }), old: named('a') });
    expect(notes.slice(1)).toEqual(['copy a']);
    expect(updates).toHaveLength(1);
    const open = { conditions: [{ type: 'x', status: 'True' }] };
    const gated = {
      ...named('a', {}, open),
      spec: { ...named('a').spec, readinessGates: [{ conditionType: 'x' }] },
    };
    await take({ kind: 'reconcile', pod: gated, old: named('a') });
    expect(updates.slice(1)).toEqual([{ pod: gated }]);
    await take({ kind: 'reconcile', pod: named('a', {}, { phase: 'Failed' }), old: named('a') });
    expect(updates).toHaveLength(3);
    await take({ kind: 'reconcile', pod: { ...gated, metadata: { ...gated.metadata, uid: 'unknown' } }, old: gated });
    expect(updates).toHaveLength(3);
  });

  it('a removed pod ends with the grace of its spec; a refused one is forgotten', async () => {
    await add(named('a'));
    await add(named('b'));
    await take({ kind: 'remove', pod: named('a') });
    await take({ kind: 'remove', pod: named('b') });
    expect(updates.slice(1)).toEqual([{ pod: named('a'), kill: {} }]);
    expect(intake.isRejected('b')).toBe(false);
  });

  it('a mirror gives word to its static pod alone', async () => {
    pods = [named('static', { name: 'web' })];
    const mirror = named('mirror', { name: 'web', annotations: { 'kubernetes.io/config.mirror': 'static' } });
    await take({ kind: 'add', pod: mirror });
    await take({ kind: 'remove', pod: mirror });
    await take({ kind: 'add', pod: named('orphan', { annotations: { 'kubernetes.io/config.mirror': 'x' } }) });
    expect(notes).toEqual(['copy static', 'copy static']);
    expect(updates).toEqual([]);
  });

  it('an eviction that the API shows makes what is left of the pod useless', async () => {
    await add(named('a'));
    const evicted = named('a', {}, { phase: 'Failed', reason: 'Evicted' });
    await take({ kind: 'reconcile', pod: evicted, old: named('a') });
    expect(notes.at(-1)).toBe('evicted a');
  });

  it('a pod that comes again while it is on its way out is not asked again', async () => {
    await add(named('a'));
    lanes.set('a', { phase: 'terminating', pod: named('a'), graceSeconds: 1, kill: {}, isRuntimeOnly: false });
    await take({ kind: 'add', pod: named('a') });
    expect(notes).toEqual(['admitted a']);
    expect(updates.at(-1)).toMatchObject({ isNew: true });
  });

  describe('asks the API when a pod wants another node than it knows', () => {
    const picky: Pod = { ...named('a'), spec: { ...named('a').spec, nodeSelector: { zone: 'b' } } };
    const labelled: Node = { ...smallNode, metadata: { name: 'n1', labels: { zone: 'b' } } };
    it.each([
      { name: 'it has the label by now', live: () => Promise.resolve(labelled), want: ['read node', 'admitted a'] },
      { name: 'it has not', live: undefined, want: ['read node', 'rejected a NodeAffinity'] },
      {
        name: 'it cannot say',
        live: () => Promise.reject(new Error('away')),
        want: ['read node', 'rejected a NodeAffinity'],
      },
    ])('$name', async ({ live, want }) => {
      liveNode = live;
      await add(picky);
      expect(notes).toEqual(want);
    });
  });

  describe('a critical pod', () => {
    const critical = (uid: string, cpu = '0'): Pod => {
      const pod = named(uid);
      const resources = { requests: { cpu } };
      return {
        ...pod,
        spec: { ...pod.spec, priority: 2_000_001_000, containers: [{ name: 'c', image: 'i', resources }] },
      };
    };

    it('waits until others have made room; those behind it wait, too', async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      victimEnd = promise;
      await add(named('a'));
      await add(critical('c'));
      await add(named('b'));
      expect(notes).toEqual(['admitted a', 'preempt a for pods']);
      await take({ kind: 'update', pod: named('a', { labels: { x: 'y' } }), old: named('a') });
      expect(notes.slice(2)).toEqual(['copy a', 'updated a']); // pods with a lane wait for nobody
      resolve();
      await settle();
      expect(notes.slice(4)).toEqual(['admitted c', 'rejected b OutOfpods']);
    });

    it('that is gone or changed by then is taken as it is', async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      victimEnd = promise;
      await add(named('a'));
      await add(critical('c'));
      await add(critical('d'));
      pods = pods.filter((pod) => uidOf(pod) !== 'c');
      await take({ kind: 'remove', pod: critical('c') });
      resolve();
      await settle();
      expect(updates.map(({ pod }) => uidOf(pod))).toEqual(['a', 'd']);
    });

    it('for which no room can be made is refused', async () => {
      await add(critical('a'));
      await add(critical('c', '1500m'));
      expect(rejections).toEqual([
        {
          reason: 'UnexpectedAdmissionError',
          message:
            'Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: [(res: pods, q: 1), (res: cpu, q: 500), ]',
        },
      ]);
      expect(notes).toContain('admitted a');
    });

    it('that the node would not take with all its resources ends nobody', async () => {
      await add(named('a'));
      const pod = critical('c');
      await add({ ...pod, spec: { ...pod.spec, nodeName: 'elsewhere' } });
      expect(notes).toEqual(['admitted a', 'rejected c NodeName']);
    });
  });
});
