import { describe, expect, it } from 'vitest';
import { exited, testInstance, testObserved, testSandbox } from '../../../test/fixtures/kubelet-pods.ts';
import { selectGarbage } from './select-garbage.ts';

const nowMs = 1_000_000;
const down = testSandbox({ isReady: false });
const ids = ['web-0', 'web-1', 'web-2'];
const three = [0, 1, 2].map((attempt) => exited('web', 1, { attempt }));
const youngNs = BigInt(nowMs - 1000) * 1_000_000n;

describe('selectGarbage', () => {
  it.each([
    {
      name: 'the newest of each name stays',
      pod: testObserved([...three, exited('db', 0)]),
      all: false,
      containers: ['web-1', 'web-0'],
      sandboxes: [],
    },
    {
      name: 'what runs is not counted',
      pod: testObserved([exited('web', 1), testInstance('web', { attempt: 1 })]),
      all: false,
      containers: [],
      sandboxes: [],
    },
    {
      name: 'of a pod that is gone nothing stays',
      pod: testObserved(three, [down]),
      all: true,
      containers: ids.toReversed(),
      sandboxes: ['sandbox-0'],
    },
    {
      name: 'what still runs of it stays',
      pod: testObserved([testInstance('web')], [testSandbox()]),
      all: true,
      containers: [],
      sandboxes: [],
    },
    {
      name: 'a sandbox that a container uses stays',
      pod: testObserved([testInstance('web')], [down]),
      all: true,
      containers: [],
      sandboxes: [],
    },
    {
      name: 'the newest sandbox stays while the pod does',
      pod: testObserved([], [testSandbox({ id: 's1', attempt: 1, isReady: false }), down]),
      all: false,
      containers: [],
      sandboxes: ['sandbox-0'],
    },
    {
      name: 'an old sandbox with a container that is kept stays',
      pod: testObserved([exited('web', 1)], [testSandbox({ id: 's1', attempt: 1 }), down]),
      all: false,
      containers: [],
      sandboxes: [],
    },
    {
      name: 'one that is ready is none',
      pod: testObserved([], [testSandbox({ id: 's1', attempt: 1 }), testSandbox()]),
      all: true,
      containers: [],
      sandboxes: [],
    },
    {
      name: 'one that was never started goes when it is replaced, and takes no place of one that ran',
      pod: testObserved([
        exited('web', 1, { attempt: 0 }),
        testInstance('web', { attempt: 1, state: 'created' }),
        testInstance('web', { attempt: 2 }),
      ]),
      all: false,
      containers: ['web-1'],
      sandboxes: [],
    },
    {
      name: 'a container that is about to start is spared',
      pod: testObserved([testInstance('web', { attempt: 1, state: 'created', createdAtNs: youngNs })]),
      all: false,
      containers: [],
      sandboxes: [],
    },
  ])('$name', ({ pod, all, containers, sandboxes }) => {
    const garbage = selectGarbage({ pods: [pod], mayRemoveAll: () => all, keepPerContainer: 1, minAgeMs: 0, nowMs });
    expect(garbage.containers.map(({ id }) => id)).toEqual(containers);
    expect(garbage.sandboxes.map(({ id }) => id)).toEqual(sandboxes);
  });

  it('leaves those alone that are too young', () => {
    const pods = [
      testObserved([
        exited('web', 1, { createdAtNs: youngNs }),
        exited('web', 1, { attempt: 1, createdAtNs: youngNs + 1n }),
      ]),
    ];
    expect(
      selectGarbage({ pods, mayRemoveAll: () => false, keepPerContainer: 0, minAgeMs: 5000, nowMs }).containers,
    ).toEqual([]);
    expect(
      selectGarbage({ pods, mayRemoveAll: () => false, keepPerContainer: 0, minAgeMs: 500, nowMs }).containers,
    ).toHaveLength(2);
  });

  it('says which have to be stopped first', () => {
    const pods = [testObserved([testInstance('web', { state: 'unknown', logPath: '/l/0.log' })])];
    expect(
      selectGarbage({ pods, mayRemoveAll: () => true, keepPerContainer: 1, minAgeMs: 0, nowMs }).containers,
    ).toEqual([{ uid: 'uid-1', id: 'web-0', logPath: '/l/0.log', isUnknown: true }]);
  });
});
