import { describe, expect, it } from 'vitest';
import { exited, testInstance, testObserved, testSandbox } from '../../../test/fixtures/kubelet-pods.ts';
import type { CriContainer, CriSandbox } from '../../adapters/cri/cri-types.ts';
import { diffPods, makeObservedPod, podSignatures, sandboxIps } from './diff-pods.ts';

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
