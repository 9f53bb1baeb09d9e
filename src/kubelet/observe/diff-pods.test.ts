import { describe, expect, it } from 'vitest';
import { exited, testInstance, testObserved, testSandbox } from '../../../test/fixtures/kubelet-pods.ts';
import type { CriContainer, CriSandbox } from '../../adapters/cri/cri-types.ts';
import type { ObservedPod } from '../pod-model.ts';
import { diffPods, isNews, makeObservedPod, podSignatures, sandboxIps } from './diff-pods.ts';

const sandbox = (more: Partial<CriSandbox> = {}): CriSandbox => ({ ...testSandbox(), ...more });
const container = (more: Partial<CriContainer> = {}): CriContainer => ({
  ...testInstance('web'),
  podUid: 'uid-1',
  ...more,
});

describe('podSignatures and diffPods', () => {
  const before = podSignatures([sandbox()], [container()]);
  it.each([
    {
      name: 'the same listing in another order',
      sandboxes: [sandbox()],
      containers: [container()],
      changed: [],
      gone: [],
    },
    {
      name: 'a container ended',
      sandboxes: [sandbox()],
      containers: [container({ state: 'exited' })],
      changed: ['uid-1'],
      gone: [],
    },
    {
      name: 'a container is new',
      sandboxes: [sandbox()],
      containers: [container(), container({ id: 'other' })],
      changed: ['uid-1'],
      gone: [],
    },
    { name: 'a container was removed', sandboxes: [sandbox()], containers: [], changed: ['uid-1'], gone: [] },
    {
      name: 'the sandbox is not ready any more',
      sandboxes: [sandbox({ isReady: false })],
      containers: [container()],
      changed: ['uid-1'],
      gone: [],
    },
    {
      name: 'another pod is new',
      sandboxes: [sandbox(), sandbox({ id: 's2', podUid: 'uid-2' })],
      containers: [container()],
      changed: ['uid-2'],
      gone: [],
    },
    { name: 'nothing is left', sandboxes: [], containers: [], changed: [], gone: ['uid-1'] },
    { name: 'only a container is left', sandboxes: [], containers: [container()], changed: ['uid-1'], gone: [] },
  ])('$name', ({ sandboxes, containers, changed, gone }) => {
    expect(diffPods(before, podSignatures(sandboxes, containers))).toEqual({ changed, gone });
  });

  it('does not depend on the order of the listing', () => {
    const two = [container(), container({ id: 'b' })];
    expect(podSignatures([sandbox()], two)).toEqual(podSignatures([sandbox()], two.toReversed()));
  });
});

describe('sandboxIps', () => {
  it.each([
    { ip: '10.0.0.1', additionalIps: [], want: ['10.0.0.1'] },
    { ip: '10.0.0.1', additionalIps: ['fd00::1'], want: ['10.0.0.1', 'fd00::1'] },
    { ip: '', additionalIps: ['fd00::1'], want: [] },
    { ip: '10.0.0.1', additionalIps: ['rubbish'], want: [] },
    { ip: 'rubbish', additionalIps: [], want: [] },
  ])('$ip and $additionalIps', ({ want, ...ips }) => expect(sandboxIps(ips)).toEqual(want));
});

describe('makeObservedPod', () => {
  it('orders sandboxes by attempt, age, id, and containers by age', () => {
    const pod = makeObservedPod(
      'uid-1',
      [
        testSandbox({ id: 'b' }),
        testSandbox({ id: 'old', attempt: 0, createdAtNs: 1n }),
        testSandbox({ id: 'new', attempt: 1, createdAtNs: 0n }),
        testSandbox({ id: 'c' }),
      ],
      [exited('web', 1), testInstance('web', { attempt: 2 }), exited('web', 1, { attempt: 1 })],
      undefined,
      7,
    );
    expect(pod.sandboxes.map(({ id }) => id)).toEqual(['new', 'c', 'b', 'old']);
    expect(pod.containers.map(({ id }) => id)).toEqual(['web-2', 'web-1', 'web-0']);
    expect(pod).toMatchObject({ uid: 'uid-1', name: 'web', namespace: 'default', observedMs: 7 });
  });

  const before = testObserved([], [testSandbox()]);
  it.each([
    {
      name: 'the newest ready sandbox has the addresses',
      sandboxes: [testSandbox({ attempt: 1, ip: '10.0.0.9' }), testSandbox()],
      before,
      want: ['10.0.0.9'],
    },
    {
      name: 'without a ready sandbox the old ones are kept',
      sandboxes: [testSandbox({ isReady: false, ip: '' })],
      before,
      want: ['10.0.0.2'],
    },
    { name: 'nothing to keep', sandboxes: [testSandbox({ isReady: false })], before: undefined, want: [] },
    {
      name: 'the newest is down while an older one is up: none',
      sandboxes: [testSandbox({ attempt: 1, isReady: false }), testSandbox()],
      before,
      want: [],
    },
    { name: 'host network: none', sandboxes: [testSandbox({ ip: '', isHostNetwork: true })], before, want: [] },
  ])('addresses: $name', ({ sandboxes, before: old, want }) => {
    expect(makeObservedPod('uid-1', sandboxes, [], old, 0).ips).toEqual(want);
  });

  it('a pod without any sandbox is named by its containers', () => {
    const labels = { 'io.kubernetes.pod.name': 'left', 'io.kubernetes.pod.namespace': 'over' };
    expect(makeObservedPod('uid-1', [], [exited('web', 0, { labels })], undefined, 0)).toMatchObject({
      name: 'left',
      namespace: 'over',
      ips: [],
    });
  });
});

describe('isNews', () => {
  const web = testInstance('web');
  const ended = exited('web', 1);
  const made = testInstance('web', { state: 'created' });
  const stopped = testSandbox({ isReady: false });
  it.each<{ name: string; before: ObservedPod | undefined; now: ObservedPod | undefined; want: boolean }>([
    { name: 'nothing was and nothing is', before: undefined, now: undefined, want: false },
    { name: 'a pod is new', before: undefined, now: testObserved([web]), want: true },
    { name: 'nothing changed', before: testObserved([web]), now: testObserved([web]), want: false },
    { name: 'a container has begun', before: testObserved([]), now: testObserved([web]), want: true },
    { name: 'one was made', before: testObserved([]), now: testObserved([made]), want: false },
    { name: 'one that was made has begun', before: testObserved([made]), now: testObserved([web]), want: true },
    {
      name: 'a sandbox came up',
      before: testObserved([], [stopped]),
      now: testObserved([], [testSandbox()]),
      want: true,
    },
    { name: 'a container ended', before: testObserved([web]), now: testObserved([ended]), want: true },
    { name: 'one has begun and ended in between', before: testObserved([]), now: testObserved([ended]), want: true },
    { name: 'it had ended before', before: testObserved([ended]), now: testObserved([ended]), want: false },
    { name: 'what had ended was removed', before: testObserved([ended]), now: testObserved([]), want: false },
    { name: 'what ran was removed', before: testObserved([web]), now: testObserved([]), want: true },
    { name: 'the pod is gone', before: testObserved([web]), now: undefined, want: true },
    { name: 'the sandbox is lost', before: testObserved([]), now: testObserved([], [stopped]), want: true },
    { name: 'a sandbox never came up', before: undefined, now: testObserved([], [stopped]), want: false },
    {
      name: 'another one never came up',
      before: testObserved([], [stopped]),
      now: testObserved([], [testSandbox({ id: 's1', attempt: 1, isReady: false }), stopped]),
      want: false,
    },
  ])('$name: $want', ({ before, now, want }) => {
    expect(isNews(before, now)).toBe(want);
  });
});
