import { describe, expect, it } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { formatTimeline, runSteps } from './run-steps.ts';
import type { Step, StepTime } from './run-steps.ts';

const never = new AbortController().signal;

function step(name: string, needs: string[], run: (signal: AbortSignal) => Promise<void>): Step<undefined> {
  return { name, title: name, needs, run: (_context, signal) => run(signal) };
}

describe('runSteps', () => {
  it('starts a step when its needs are done, others at once', async () => {
    const clock = new FakeClock();
    const log: string[] = [];
    const timed = (name: string, needs: string[], ms: number): Step<undefined> =>
      step(name, needs, async (signal) => {
        log.push(`${name} starts`);
        await clock.sleep(ms, signal);
        log.push(`${name} ends`);
      });
    const done: StepTime[] = [];
    const steps = [timed('a', [], 10), timed('b', [], 30), timed('c', ['a'], 5), timed('d', ['b', 'c'], 1)];
    const running = runSteps(steps, undefined, { clock, onDone: (time) => done.push(time) }, never);
    await clock.advance(100);
    const times = await running;
    expect(log).toEqual(['a starts', 'b starts', 'a ends', 'c starts', 'c ends', 'b ends', 'd starts', 'd ends']);
    expect(times).toEqual(done);
    expect(times.map(({ name, startMs, durationMs }) => [name, startMs, durationMs])).toEqual([
      ['a', 0, 10],
      ['c', 10, 5],
      ['b', 0, 30],
      ['d', 30, 1],
    ]);
  });

  it('a failure stops what runs, starts nothing more and names its step', async () => {
    const clock = new FakeClock();
    const log: string[] = [];
    const steps = [
      step('slow', [], async (signal) => {
        await clock.sleep(1e9, signal);
        log.push(`slow was stopped: ${signal.aborted}`);
        signal.throwIfAborted();
      }),
      step('bad', [], () => Promise.reject(new Error('boom'))),
      step('later', ['slow'], () => {
        log.push('later ran');
        return Promise.resolve();
      }),
    ];
    const failure = await runSteps(steps, undefined, { clock, onDone: () => {} }, never).catch((err: unknown) => err);
    expect(failure).toMatchObject({ step: 'bad', message: 'Step "bad" failed', cause: { message: 'boom' } });
    expect(log).toEqual(['slow was stopped: true']);
  });

  it('refuses a need that does not come before', async () => {
    const steps = [step('a', ['b'], () => Promise.resolve())];
    await expect(runSteps(steps, undefined, { clock: new FakeClock(), onDone: () => {} }, never)).rejects.toThrow(
      'a needs b',
    );
  });
});

describe('formatTimeline', () => {
  it('draws where each step lies in the whole', () => {
    const text = formatTimeline([
      { name: 'b', title: 'second', startMs: 500, durationMs: 500 },
      { name: 'a', title: 'first', startMs: 0, durationMs: 500 },
    ]);
    expect(text.split('\n')).toEqual([
      `  first  |${'#'.repeat(20)}${' '.repeat(20)}| 0.50s`,
      `  second |${' '.repeat(20)}${'#'.repeat(20)}| 0.50s`,
      `  total   ${' '.repeat(40)}  1.00s`,
      '',
    ]);
  });
});
