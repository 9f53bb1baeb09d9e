import { describe, expect, it } from 'vitest';
import { exited, testInstance, testObserved, testSandbox } from '../../../test/fixtures/kubelet-pods.ts';
import { selectGarbage, selectSurplus } from './select-garbage.ts';

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
    const garbage = selectGarbage({ maxPerContainer: 1 }, new Set(), { pods: [pod], mayRemoveAll: () => all });
    expect(garbage.containers.map(({ id }) => id)).toEqual(containers);
    expect(garbage.sandboxes.map(({ id }) => id)).toEqual(sandboxes);
  });

  it('keeps one exited instance whatever the policy says, and the last one while the next is about to start', () => {
    const pods = [testObserved([...three, testInstance('web', { attempt: 3, state: 'created' })])];
    const garbage = selectGarbage({ maxPerContainer: -1 }, new Set(), { pods, mayRemoveAll: () => false });
    expect(garbage.containers.map(({ id }) => id)).toEqual(['web-1', 'web-0']);
  });

  it('says which have to be stopped first', () => {
    const pods = [testObserved([testInstance('web', { state: 'unknown', logPath: '/l/0.log' })])];
    const input = { pods, mayRemoveAll: () => false };
    expect(selectGarbage({ maxPerContainer: 1 }, new Set(), input).containers).toEqual([]);
    expect(selectGarbage({ maxPerContainer: 1 }, new Set(['web-0']), input).containers).toEqual([
      { uid: 'uid-1', id: 'web-0', logPath: '/l/0.log', isUnknown: true },
    ]);
  });

  it('keeps the sandbox of what may still run', () => {
    const sandboxes = [testSandbox({ isReady: false })];
    const garbageOf = (state: 'unknown' | 'exited') =>
      selectGarbage({ maxPerContainer: 1 }, new Set(), {
        pods: [testObserved([testInstance('web', { state })], sandboxes)],
        mayRemoveAll: () => true,
      });
    expect(garbageOf('unknown')).toMatchObject({ containers: [{ id: 'web-0' }], sandboxes: [] });
    expect(garbageOf('exited')).toMatchObject({ containers: [{ id: 'web-0' }], sandboxes: [{ id: 'sandbox-0' }] });
  });
});

describe('selectSurplus', () => {
  const policy = { minAgeMs: 0, maxPerContainer: -1, maxTotal: -1 };
  const run = (attempt: number, name = 'web') => exited(name, 1, { attempt });
  const two = [testObserved([...three, run(5, 'db'), run(6, 'db')])];
  it.each([
    { name: 'negative counts: all stay', limits: {}, want: [] },
    { name: 'so many per container', limits: { maxPerContainer: 2 }, want: ['web-0'] },
    { name: 'none per container', limits: { maxPerContainer: 0 }, want: ['db-5', 'db-6', 'web-0', 'web-1', 'web-2'] },
    { name: 'enough in all: equal shares are not made', limits: { maxTotal: 5 }, want: [] },
    { name: 'an equal share each', limits: { maxTotal: 4 }, want: ['web-0'] },
    { name: 'at least one each, then the oldest', limits: { maxTotal: 1 }, want: ['db-5', 'web-0', 'web-1', 'web-2'] },
    { name: 'of pods that are gone everything', limits: {}, gone: true, want: ['db-5', 'db-6', ...ids] },
    { name: 'what is too young stays', limits: { maxPerContainer: 0, minAgeMs: nowMs - 6500 }, want: ids },
    {
      name: 'what is too young does not count',
      limits: { maxPerContainer: 1, minAgeMs: nowMs - 6500 },
      want: ['web-0', 'web-1'],
    },
  ])('$name', ({ limits, gone = false, want }) => {
    const found = selectSurplus({ ...policy, ...limits }, { pods: two, mayRemoveAll: () => gone, nowMs });
    expect([...found].toSorted()).toEqual([...want].toSorted());
  });

  it('takes what is of unknown state, and spares what is about to start', () => {
    const pods = [
      testObserved([
        testInstance('web', { state: 'unknown' }),
        testInstance('db', { state: 'created', createdAtNs: youngNs }),
      ]),
    ];
    const input = { pods, mayRemoveAll: () => false, nowMs };
    expect([...selectSurplus({ ...policy, maxPerContainer: 0 }, input)]).toEqual(['web-0']);
  });
});
