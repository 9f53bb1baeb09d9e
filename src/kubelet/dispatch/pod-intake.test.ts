import { beforeEach, describe, expect, it } from 'vitest';
import { testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import type { PodChange } from '../pod-model.ts';
import { uidOf } from '../pod-model.ts';
import type { PodState, PodUpdate } from './next-pod-state.ts';
import { PodIntake } from './pod-intake.ts';

const node: Node = { metadata: { name: 'n1' }, spec: {}, status: { allocatable: { pods: '1', cpu: '1' } } };
const named = (uid: string, metadata: Partial<Pod['metadata']> = {}, status: Pod['status'] = {}): Pod => ({
  ...testPod({}, { uid, name: uid, ...metadata }),
  status,
});

let updates: PodUpdate[];
let notes: string[];
let running: Set<string>;
let lanes: Map<string, PodState>;
let pods: Pod[];
let intake: PodIntake;

beforeEach(() => {
  updates = [];
  notes = [];
  running = new Set();
  lanes = new Map();
  pods = [];
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
      mark: (uid) => notes.push(`mark ${uid}`),
      state: (uid) => lanes.get(uid),
    },
    pods: () => pods,
    staticOf: (mirror) => pods.find(({ metadata }) => metadata.name === mirror.metadata.name),
    isRunning: (uid) => running.has(uid),
    node: () => node,
    unsupported: () => undefined,
    onAdmitted: (pod) => notes.push(`admitted ${uidOf(pod)}`),
    onRejected: (pod, { reason }) => notes.push(`rejected ${uidOf(pod)} ${reason}`),
    onCopyChanged: (uid) => notes.push(`copy ${uid}`),
    onUpdated: (pod) => notes.push(`updated ${uidOf(pod)}`),
    log: silentLogger,
  });
});

const add = (pod: Pod): void => {
  pods.push(pod);
  intake.take([{ kind: 'add', pod }]);
};
const take = (change: PodChange): void => intake.take([change]);

describe('PodIntake', () => {
  it('asks a new pod whether it fits, beside those that hold something', () => {
    add(named('a'));
    add(named('b'));
    expect(notes).toEqual(['admitted a', 'rejected b OutOfpods']);
    expect(updates.map(({ pod }) => uidOf(pod))).toEqual(['a']);
    expect(intake.isRejected('b')).toBe(true);
  });

  it('counts neither finished nor refused pods', () => {
    add(named('a'));
    lanes.set('a', { phase: 'terminated', pod: named('a'), graceSeconds: 1, kill: {}, isRuntimeOnly: false });
    add(named('b'));
    expect(notes).toEqual(['admitted a', 'admitted b']);
  });

  it.each([
    { name: 'that runs', prepare: () => running.add('b'), pod: named('b') },
    { name: 'that is to be deleted', prepare: () => {}, pod: named('b', { deletionTimestamp: 'now' }) },
    { name: 'that is over', prepare: () => {}, pod: named('b', {}, { phase: 'Succeeded' }) },
  ])('does not ask a pod $name', ({ prepare, pod }) => {
    add(named('a'));
    prepare();
    add(pod);
    expect(notes).toEqual(['admitted a']);
    expect(updates.at(-1)?.pod).toBe(pod);
  });

  it('knows a finished pod of which nothing runs as ended, and one that runs not', () => {
    add(named('a', {}, { phase: 'Succeeded' }));
    running.add('b');
    add(named('b', {}, { phase: 'Failed' }));
    expect(updates.map(({ hasEnded }) => hasEnded)).toEqual([true, false]);
  });

  it('leaves a pod alone that an earlier kubelet refused, until it is deleted', () => {
    const pod = named(
      'a',
      {},
      { phase: 'Failed', reason: 'OutOfcpu', message: "Pod was rejected: Node didn't have enough resource: cpu" },
    );
    add(pod);
    expect(updates).toEqual([]);
    expect(intake.isRejected('a')).toBe(true);
    const deleted = named('a', { deletionTimestamp: 'now' }, pod.status);
    take({ kind: 'update', pod: deleted, old: pod });
    expect(updates).toEqual([{ pod: deleted }]);
  });

  it('leaves a refused pod alone when something of it changes', () => {
    add(named('a'));
    add(named('b'));
    take({ kind: 'update', pod: named('b', { labels: { x: 'y' } }), old: named('b') });
    expect(updates).toHaveLength(1);
  });

  it('sends updates to the lane, and says that the copy changed', () => {
    add(named('a'));
    const changed = named('a', { labels: { x: 'y' } });
    take({ kind: 'update', pod: changed, old: named('a') });
    expect(updates.at(-1)).toEqual({ pod: changed });
    expect(notes.slice(1)).toEqual(['copy a', 'updated a']);
  });

  it('a change of the status alone reaches the lane only when the pod is over, or has readiness gates', () => {
    add(named('a'));
    take({ kind: 'reconcile', pod: named('a', {}, { phase: 'Running' }), old: named('a') });
    expect(notes.slice(1)).toEqual(['copy a']);
    const gated = { ...named('a'), spec: { ...named('a').spec, readinessGates: [{ conditionType: 'x' }] } };
    take({ kind: 'reconcile', pod: gated, old: named('a') });
    expect(notes.slice(2)).toEqual(['copy a', 'mark a']);
    expect(updates).toHaveLength(1);
    take({ kind: 'reconcile', pod: named('a', {}, { phase: 'Failed' }), old: named('a') });
    expect(updates).toHaveLength(2);
  });

  it('a removed pod ends with the grace of its spec; a refused one is forgotten', () => {
    add(named('a'));
    add(named('b'));
    take({ kind: 'remove', pod: named('a') });
    take({ kind: 'remove', pod: named('b') });
    expect(updates.slice(1)).toEqual([{ pod: named('a'), kill: {} }]);
    expect(intake.isRejected('b')).toBe(false);
  });

  it('a mirror gives word to its static pod alone', () => {
    pods = [named('static', { name: 'web' })];
    const mirror = named('mirror', { name: 'web', annotations: { 'kubernetes.io/config.mirror': 'static' } });
    take({ kind: 'add', pod: mirror });
    take({ kind: 'remove', pod: mirror });
    take({ kind: 'add', pod: named('orphan', { annotations: { 'kubernetes.io/config.mirror': 'x' } }) });
    expect(notes).toEqual(['copy static', 'copy static']);
    expect(updates).toEqual([]);
  });
});
