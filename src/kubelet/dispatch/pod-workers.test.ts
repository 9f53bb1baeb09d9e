import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testPod } from '../../../test/fixtures/kubelet-pods.ts';
import { FakeClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';
import { podGraceSeconds } from '../execute/compute-grace.ts';
import { uidOf } from '../pod-model.ts';
import type { PodState, TurnOutcome } from './next-pod-state.ts';
import { PodWorkers } from './pod-workers.ts';

type Turn = (pod: Pod, interrupt: AbortSignal) => Promise<TurnOutcome>;

const done: TurnOutcome = { kind: 'done' };
let clock: FakeClock;
let stop: AbortController;
let turns: string[];
let finished: string[];
let onSync: Turn;
let onTerminate: (state: PodState, signal: AbortSignal) => Promise<TurnOutcome>;
let workers: PodWorkers;
let running: Promise<void>;

beforeEach(() => {
  clock = new FakeClock();
  stop = new AbortController();
  turns = [];
  finished = [];
  onSync = () => Promise.resolve(done);
  onTerminate = () => Promise.resolve(done);
  workers = new PodWorkers({
    sync: (pod, interrupt) => {
      turns.push(`sync ${uidOf(pod)}`);
      return onSync(pod, interrupt);
    },
    terminate: (state, signal) => {
      turns.push(`terminate ${uidOf(state.pod)} ${state.graceSeconds}`);
      return onTerminate(state, signal);
    },
    finish: ({ pod }) => {
      turns.push(`finish ${uidOf(pod)}`);
      return Promise.resolve(done);
    },
    graceOf: podGraceSeconds,
    resyncMs: 60_000,
    onFinished: (uid) => finished.push(uid),
    clock,
    log: silentLogger,
  });
  running = workers.run(stop.signal);
});

afterEach(async () => {
  stop.abort();
  await running;
});

const pod = (uid: string, more: Partial<Pod['metadata']> = {}): Pod => testPod({}, { uid, name: uid, ...more });
const settle = (): Promise<void> => clock.advance(0);
const hung = (): { turn: Turn; release: (outcome?: TurnOutcome) => void } => {
  const { promise, resolve } = Promise.withResolvers<TurnOutcome>();
  return { turn: () => promise, release: (outcome = done) => resolve(outcome) };
};

describe('PodWorkers', () => {
  it('brings a pod through its life, one turn after the other', async () => {
    workers.update({ pod: pod('a') });
    await settle();
    workers.update({ pod: pod('a', { deletionTimestamp: 'now', deletionGracePeriodSeconds: 5 }) });
    await settle();
    expect(turns).toEqual(['sync a', 'terminate a 5', 'finish a']);
    expect(finished).toEqual(['a']);
    expect(workers.isFinished('a')).toBe(true);
    workers.forget('a');
    expect(workers.state('a')).toBeUndefined();
  });

  it('a finished pod takes no turn any more, and is not forgotten before', async () => {
    workers.update({ pod: pod('a') });
    workers.forget('a');
    workers.update({ pod: pod('a'), kill: {} });
    await settle();
    workers.update({ pod: pod('a') });
    workers.mark('a');
    await clock.advance(200_000);
    expect(turns.filter((turn) => turn !== 'sync a')).toEqual(['terminate a 30', 'finish a']);
  });

  it('one that ended before this process began is only cleaned up', async () => {
    workers.update({ pod: pod('a'), hasEnded: true });
    expect(workers.couldHaveRunningContainers('a', true)).toBe(false);
    await workers.kill(pod('a'), {}, stop.signal);
    await settle();
    expect(turns).toEqual(['finish a']);
  });

  it('takes a turn at the resync, within half as much again', async () => {
    workers.update({ pod: pod('a') });
    await clock.advance(59_999);
    expect(turns).toHaveLength(1);
    await clock.advance(30_001);
    expect(turns).toHaveLength(2);
  });

  it('takes one more turn for any number of changes during a turn, with the newest', async () => {
    const { turn, release } = hung();
    const seen: Array<number | undefined> = [];
    onSync = (now, interrupt) => {
      seen.push(now.metadata.generation);
      return seen.length === 1 ? turn(now, interrupt) : Promise.resolve(done);
    };
    workers.update({ pod: pod('a', { generation: 1 }) });
    await settle();
    workers.update({ pod: pod('a', { generation: 2 }) });
    workers.update({ pod: pod('a', { generation: 3 }) });
    workers.mark('a');
    expect(seen).toEqual([1]);
    release();
    await settle();
    expect(seen).toEqual([1, 3]);
  });

  it('a hung pod holds up nobody else', async () => {
    const { turn, release } = hung();
    onSync = (now, interrupt) => (uidOf(now) === 'a' ? turn(now, interrupt) : Promise.resolve(done));
    workers.update({ pod: pod('a') });
    workers.update({ pod: pod('b') });
    workers.update({ pod: pod('b'), kill: { gracePeriodSeconds: 1 } });
    await settle();
    expect(finished).toEqual(['b']);
    release();
    await settle();
    expect(workers.state('a')?.phase).toBe('sync');
  });

  it('interrupts a sync when the pod is to end, and ends it then', async () => {
    onSync = (_, interrupt) =>
      new Promise((_resolve, reject) => interrupt.addEventListener('abort', () => reject(new Error('interrupted'))));
    workers.update({ pod: pod('a') });
    await settle();
    workers.update({ pod: pod('a', { deletionTimestamp: 'now', deletionGracePeriodSeconds: 7 }) });
    await settle();
    expect(turns).toEqual(['sync a', 'terminate a 7', 'finish a']);
  });

  it('interrupts an end when its time is cut short, and asks again with what is left', async () => {
    onTerminate = (state, signal) =>
      state.graceSeconds === 1
        ? Promise.resolve(done)
        : new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('interrupted'))));
    workers.update({ pod: pod('a', { deletionTimestamp: 'now', deletionGracePeriodSeconds: 30 }) });
    await settle();
    workers.update({ pod: pod('a', { deletionTimestamp: 'now', deletionGracePeriodSeconds: 60 }) });
    await settle();
    workers.update({ pod: pod('a', { deletionTimestamp: 'now', deletionGracePeriodSeconds: 1 }) });
    await settle();
    expect(turns).toEqual(['terminate a 30', 'terminate a 1', 'finish a']);
  });

  it('a failed turn comes again after ten to fifteen seconds, a failed end too', async () => {
    let failures = 1;
    onSync = () => Promise.resolve(failures-- > 0 ? { kind: 'failed', message: 'x' } : done);
    workers.update({ pod: pod('a') });
    await clock.advance(9999);
    expect(turns).toHaveLength(1);
    await clock.advance(5001);
    expect(turns).toHaveLength(2);

    onTerminate = () => Promise.reject(new Error('the shim is stuck'));
    workers.update({ pod: pod('a'), kill: {} });
    await settle();
    expect(workers.couldHaveRunningContainers('a', true)).toBe(true);
    onTerminate = () => Promise.resolve(done);
    await clock.advance(15_000);
    expect(finished).toEqual(['a']);
  });

  it.each<{ name: string; outcome: TurnOutcome; changes: boolean[]; turnsTaken: number }>([
    { name: 'a change in a turn that went well', outcome: done, changes: [false], turnsTaken: 2 },
    { name: 'none', outcome: done, changes: [], turnsTaken: 1 },
    {
      name: 'a change in a turn that failed',
      outcome: { kind: 'failed', message: 'x' },
      changes: [false],
      turnsTaken: 1,
    },
    {
      name: 'news in a turn that failed, whatever came after it',
      outcome: { kind: 'failed', message: 'x' },
      changes: [true, false],
      turnsTaken: 2,
    },
  ])('what the runtime shows during a turn: $name: $turnsTaken', async ({ outcome, changes, turnsTaken }) => {
    let isFirst = true;
    onSync = () => {
      if (isFirst) for (const isNews of changes) workers.noteChange('a', isNews);
      isFirst = false;
      return Promise.resolve(outcome);
    };
    workers.update({ pod: pod('a') });
    await clock.advance(9000);
    expect(turns).toHaveLength(turnsTaken);
    workers.noteChange('a', false);
    workers.noteChange('nobody', true);
    await settle();
    expect(turns).toHaveLength(turnsTaken + 1);
  });

  it('turns that each come from what the one before has done slow down', async () => {
    onSync = () => {
      workers.noteChange('a', true);
      return Promise.resolve(done);
    };
    workers.update({ pod: pod('a') });
    await settle();
    expect(turns).toHaveLength(11);
    await clock.advance(5000);
    expect(turns).toHaveLength(16);
    onSync = () => Promise.resolve(done);
    await clock.advance(1000);
    expect(turns).toHaveLength(17);
    workers.mark('a');
    await clock.advance(5000);
    expect(turns).toHaveLength(18);
  });

  it('a pod that came to its end by itself is ended with its own grace', async () => {
    onSync = () => Promise.resolve({ kind: 'terminal' });
    workers.update({ pod: pod('a') });
    await settle();
    expect(turns).toEqual(['sync a', 'terminate a 30', 'finish a']);
  });

  it('a pod that the node cannot have after all ends with that word', async () => {
    const override = { phase: 'Failed', reason: 'Full', message: 'no room' };
    const words: unknown[] = [];
    onSync = () => Promise.resolve({ kind: 'terminal', override });
    onTerminate = ({ kill }) => Promise.resolve(void words.push(kill.overrideStatus)).then(() => done);
    workers.update({ pod: pod('a') });
    await settle();
    expect(turns).toEqual(['sync a', 'terminate a 30', 'finish a']);
    expect([...words, workers.state('a')?.kill.overrideStatus]).toEqual([override, override]);
  });

  it('kill waits until nothing of the pod runs', async () => {
    const { turn, release } = hung();
    onTerminate = (state, signal) => turn(state.pod, signal);
    workers.update({ pod: pod('a') });
    await settle();
    let isOver = false;
    const killed = workers.kill(pod('a'), { gracePeriodSeconds: 2 }, stop.signal).then(() => (isOver = true));
    await settle();
    expect(isOver).toBe(false);
    release();
    expect(await killed).toBe(true);
    expect(turns).toContain('terminate a 2');
  });

  it.each([
    { name: 'ten seconds at least', graceSeconds: 2, limitMs: 10_000 },
    { name: 'half as long again as the end may take', graceSeconds: 21, limitMs: 31_000 },
    { name: 'with the grace of the spec', graceSeconds: undefined, limitMs: 45_000 },
  ])('kill waits no longer than it may: $name', async ({ graceSeconds, limitMs }) => {
    const { turn, release } = hung();
    onTerminate = (state, signal) => turn(state.pod, signal);
    workers.update({ pod: pod('a') });
    await settle();
    let outcome: boolean | undefined;
    void workers.kill(pod('a'), { gracePeriodSeconds: graceSeconds }, stop.signal).then((it) => (outcome = it));
    await clock.advance(limitMs - 1);
    expect(outcome).toBeUndefined();
    await clock.advance(1);
    expect(outcome).toBe(false);
    release();
  });

  it('remembers that a pod on its way out has come again', async () => {
    const { turn, release } = hung();
    onTerminate = (state, signal) => turn(state.pod, signal);
    workers.update({ pod: pod('a'), isNew: true });
    await settle();
    expect(workers.state('a')?.isWantedAgain).toBeUndefined();
    workers.update({ pod: pod('a'), kill: {} });
    workers.update({ pod: pod('a'), isNew: true });
    release();
    await settle();
    expect(workers.state('a')).toMatchObject({ phase: 'finished', isWantedAgain: true });
    expect(turns.filter((one) => one === 'sync a')).toHaveLength(1);
  });

  it.each([
    { name: 'unknown, sources have not spoken', complete: false, want: true },
    { name: 'unknown, all sources have spoken', complete: true, want: false },
  ])('whether containers could run: $name', ({ complete, want }) => {
    expect(workers.couldHaveRunningContainers('x', complete)).toBe(want);
  });

  it('static pods of one name run one after the other, in the order of their arrival', async () => {
    const file = (uid: string): Pod =>
      pod(uid, { name: 'web', annotations: { 'kubernetes.io/config.source': 'file' } });
    const { turn, release } = hung();
    onTerminate = (state, signal) => turn(state.pod, signal);
    workers.update({ pod: file('old') });
    await settle();
    workers.update({ pod: file('old'), kill: {} });
    workers.update({ pod: file('new') });
    workers.update({ pod: file('newer') });
    await clock.advance(100_000);
    expect(turns).toEqual(['sync old', 'terminate old 30']);
    release();
    await settle();
    expect(turns.slice(2)).toEqual(['finish old', 'sync new']);
    workers.update({ pod: pod('beside', { name: 'web' }) });
    await settle();
    expect(turns.at(-1)).toBe('sync beside'); // a pod of the API waits for nobody
  });
});
