import { expect, it } from 'vitest';
import { formatWhy } from './format-why.ts';
import type { PodRecord } from './timeline-model.ts';
import { computeWhy } from './why-answer.ts';

const t0 = Date.UTC(2026, 0, 2, 10, 0, 0);

const record: PodRecord = {
  uid: 'uid-1',
  namespace: 'shop',
  name: 'web',
  dropped: 0,
  factsMs: t0 + 40_000,
  facts: {
    life: 'sync',
    isDeleted: false,
    isReady: false,
    graceSeconds: 0,
    gates: [],
    failure: 'x',
    retryMs: t0 + 60_000,
    containers: [
      {
        name: 'app',
        kind: 'regular',
        state: 'waiting',
        reason: 'CrashLoopBackOff',
        restartCount: 2,
        isReady: false,
        isStarted: false,
        lastExit: { exitCode: 1, reason: 'Error' },
      },
    ],
  },
  spans: [
    { name: 'seen', startMs: t0, durationMs: 0, outcome: 'ok' },
    {
      name: 'sandbox',
      startMs: t0 + 5,
      durationMs: 140,
      outcome: 'failed',
      by: 'network plugin "bridge"',
      text: 'no address\nleft',
    },
    { name: 'sandbox', startMs: t0 + 200, durationMs: 300, outcome: 'ok' },
    {
      name: 'start app',
      startMs: t0 + 1000,
      durationMs: 62,
      outcome: 'ok',
      again: { count: 2, startMs: t0 + 30_000, durationMs: 12_400 },
    },
    {
      name: 'exited app',
      startMs: t0 + 2000,
      durationMs: 0,
      outcome: 'failed',
      text: 'code 1 (Error)',
      again: { count: 1, startMs: t0 + 35_000, durationMs: 0 },
    },
    { name: 'start app', startMs: t0 + 39_000 },
  ],
};
const input = {
  namespace: 'shop',
  name: 'web',
  uid: undefined,
  records: [record, { ...record, uid: 'uid-0' }],
  live: undefined,
  names: ['shop/web'],
  starts: [t0 - 1000, t0 + 20_000],
  nowMs: t0 + 999_000,
};

it('a pod as people read it, from the file of a kubelet that is away', () => {
  expect(formatWhy(computeWhy(input), 'connect ECONNREFUSED')).toBe(
    `\
Pod:    shop/web (uid uid-1)
Note:   the kubelet does not answer (connect ECONNREFUSED); this is from its file, as of 2026-01-02T10:00:40.000Z
Cause:  Container "app" ends each time it is started (3 times, the last with code 1 (Error)), and waits out its back-off.
Next:   starts "app" again in 20s (10:01:00Z)

TIME (UTC)    TOOK  PHASE                          OUTCOME
10:00:00.000        seen                           ok
10:00:00.005  0.1s  sandbox                        failed       network plugin "bridge": no address / left
10:00:00.200  0.3s  sandbox                        ok
10:00:01.000  62ms  start app                      ok
10:00:02.000        exited app                     failed       code 1 (Error)
10:00:20.000        --- kubelet started again ---
10:00:30.000   12s  start app                      ok (2 more)
10:00:35.000        exited app                     failed       code 1 (Error)
10:00:39.000   ...  start app                      running

Other pods of this name, for --uid: uid-0
`,
  );
});

it('the same as JSON', () => {
  const { phases, ...answer } = computeWhy({ ...input, uid: 'uid-0' });
  expect(answer).toEqual({
    kind: 'PodExplanation',
    version: 1,
    source: 'file',
    asOf: '2026-01-02T10:00:40.000Z',
    pod: { namespace: 'shop', name: 'web', uid: 'uid-0' },
    situation: 'CrashLoop',
    cause: expect.stringContaining('ends each time it is started') as string,
    next: ['starts "app" again in 20s (10:01:00Z)'],
    phasesDropped: 0,
    kubeletStarts: ['2026-01-02T10:00:20.000Z'],
    otherUids: ['uid-1'],
    similar: [],
  });
  expect([phases[1], phases[3]]).toEqual([
    {
      phase: 'sandbox',
      start: '2026-01-02T10:00:00.005Z',
      durationSeconds: 0.14,
      outcome: 'failed',
      by: 'network plugin "bridge"',
      text: 'no address\nleft',
    },
    {
      phase: 'start',
      subject: 'app',
      start: '2026-01-02T10:00:01.000Z',
      durationSeconds: 0.062,
      outcome: 'ok',
      again: { count: 2, start: '2026-01-02T10:00:30.000Z', durationSeconds: 12.4 },
    },
  ]);
  expect(phases.at(-1)).toEqual({
    phase: 'start',
    subject: 'app',
    start: '2026-01-02T10:00:39.000Z',
    outcome: 'running',
  });
});

it.each([
  {
    name: 'a pod that nobody has seen',
    wanted: { name: 'wbe', records: [] },
    text: `\
Pod:    shop/wbe
Cause:  This node has not seen a pod "shop/wbe" as far as its file tells: it may not be scheduled yet, run on another node, or be gone for longer than is remembered.
Next:   ask the API server where it is: kubectl get pod -n shop wbe -o wide
Known:  shop/web
`,
  },
  {
    name: 'a uid that nobody has seen',
    wanted: { uid: 'uid-9' },
    text: `\
Pod:    shop/web (uid uid-9)
Cause:  This node knows pods of the name "shop/web", but none with the uid "uid-9".

Other pods of this name, for --uid: uid-1, uid-0
`,
  },
])('$name', ({ wanted, text }) => {
  expect(formatWhy(computeWhy({ ...input, ...wanted }))).toBe(text);
});
