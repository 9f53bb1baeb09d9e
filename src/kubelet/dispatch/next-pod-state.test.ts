import { describe, expect, it } from 'vitest';
import { testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { podGraceSeconds } from '../execute/compute-grace.ts';
import { type PodState, afterTurn, applyUpdate } from './next-pod-state.ts';

const pod = testPod();
const deleted = (grace: number) => testPod({}, { deletionTimestamp: 'now', deletionGracePeriodSeconds: grace });
const state = (more: Partial<PodState>): PodState => ({
  phase: 'sync',
  pod,
  graceSeconds: 0,
  kill: {},
  isRuntimeOnly: false,
  ...more,
});

describe('applyUpdate', () => {
  it.each([
    { name: 'a new pod is to run', old: undefined, update: { pod }, want: { phase: 'sync' }, interrupts: false },
    {
      name: 'a deleted pod is to end, with the grace of its deletion',
      old: state({}),
      update: { pod: deleted(5) },
      want: { phase: 'terminating', graceSeconds: 5 },
      interrupts: true,
    },
    {
      name: 'a shorter grace cuts the end short',
      old: state({ phase: 'terminating', graceSeconds: 30 }),
      update: { pod: deleted(5) },
      want: { graceSeconds: 5 },
      interrupts: true,
    },
    {
      name: 'a longer one does not',
      old: state({ phase: 'terminating', graceSeconds: 5 }),
      update: { pod: deleted(30) },
      want: { graceSeconds: 5 },
      interrupts: false,
    },
    {
      name: 'a pod that is finished on the API is to end',
      old: undefined,
      update: { pod: { ...pod, status: { phase: 'Failed' } } },
      want: { phase: 'terminating' },
      interrupts: true,
    },
    {
      name: 'a pod that vanished from the API keeps the grace of its spec',
      old: state({}),
      update: { pod, kill: {} },
      want: { phase: 'terminating', graceSeconds: 30 },
      interrupts: true,
    },
    {
      name: 'an eviction brings its own grace',
      old: state({}),
      update: { pod, kill: { gracePeriodSeconds: 1, isEviction: true } },
      want: { graceSeconds: 1, kill: { gracePeriodSeconds: 1, isEviction: true } },
      interrupts: true,
    },
    {
      name: 'what only the runtime knows ends at once',
      old: undefined,
      update: { pod, isRuntimeOnly: true },
      want: { phase: 'terminating', graceSeconds: 1, isRuntimeOnly: true },
      interrupts: true,
    },
    {
      name: 'no way back from the end',
      old: state({ phase: 'terminating', graceSeconds: 30 }),
      update: { pod },
      want: { phase: 'terminating' },
      interrupts: false,
    },
    {
      name: 'a finished pod takes no more',
      old: state({ phase: 'finished' }),
      update: { pod: deleted(5) },
      want: { phase: 'finished' },
      interrupts: false,
    },
  ] as const)('$name', ({ old, update, want, interrupts }) => {
    const step = applyUpdate(old, update, podGraceSeconds);
    expect(step.state).toMatchObject(want);
    expect(step.interrupts).toBe(interrupts);
  });
});

it('a pod that comes again with another spec while it ends is ended by the one that it had', () => {
  const other = testPod({ terminationGracePeriodSeconds: 1 });
  const ending = state({ phase: 'terminating', graceSeconds: 30 });
  const again = applyUpdate(ending, { pod: other, isNew: true }, podGraceSeconds);
  expect(again).toEqual({ state: { ...ending, isWantedAgain: true }, interrupts: false });
  const updated = applyUpdate(again.state, { pod: deleted(7) }, podGraceSeconds);
  expect(updated.state).toMatchObject({ pod, graceSeconds: 30, isWantedAgain: true });
  for (const phase of ['terminated', 'finished'] as const)
    expect(applyUpdate({ ...again.state, phase }, { pod: other }, podGraceSeconds).state.pod).toBe(pod);
});

it('a pod that was over before this process began is only cleaned up', () => {
  const over = { ...pod, status: { phase: 'Succeeded' } };
  expect(applyUpdate(undefined, { pod: over, hasEnded: true }, podGraceSeconds)).toMatchObject({
    state: { phase: 'terminated' },
    interrupts: false,
  });
  expect(applyUpdate(state({}), { pod: over, hasEnded: true }, podGraceSeconds).state.phase).toBe('terminating');
});

describe('afterTurn', () => {
  it.each([
    {
      name: 'a good sync is looked at again after the resync period',
      phase: 'sync',
      outcome: { kind: 'done' },
      want: { phase: 'sync', delayMs: 60_000 },
    },
    {
      name: 'a failed one after ten seconds',
      phase: 'sync',
      outcome: { kind: 'failed', message: 'x' },
      want: { phase: 'sync', delayMs: 10_000 },
    },
    {
      name: 'without network after one',
      phase: 'sync',
      outcome: { kind: 'failed', message: 'network is not ready: x' },
      want: { phase: 'sync', delayMs: 1000 },
    },
    {
      name: 'a back-off when it ends',
      phase: 'sync',
      outcome: { kind: 'failed', message: 'x', untilMs: 40_000 },
      want: { phase: 'sync', delayMs: 40_000 },
    },
    {
      name: 'but not later than the resync',
      phase: 'sync',
      outcome: { kind: 'failed', message: 'x', untilMs: 300_000 },
      want: { phase: 'sync', delayMs: 60_000 },
    },
    {
      name: 'a pod at its end terminates',
      phase: 'sync',
      outcome: { kind: 'terminal' },
      want: { phase: 'terminating', delayMs: undefined },
    },
    {
      name: 'then nothing of it runs',
      phase: 'terminating',
      outcome: { kind: 'done' },
      want: { phase: 'terminated', delayMs: undefined },
    },
    {
      name: 'then it is finished',
      phase: 'terminated',
      outcome: { kind: 'done' },
      want: { phase: 'finished', delayMs: undefined },
    },
    {
      name: 'a failed end is tried again',
      phase: 'terminating',
      outcome: { kind: 'failed', message: 'x' },
      want: { phase: 'terminating', delayMs: 10_000 },
    },
    {
      name: 'an interrupted turn follows at once',
      phase: 'sync',
      outcome: { kind: 'interrupted' },
      want: { phase: 'sync', delayMs: undefined },
    },
  ] as const)('$name', ({ phase, outcome, want }) => {
    expect(afterTurn(phase, outcome, 60_000, 0)).toEqual(want);
  });
});
