import { describe, expect, it } from 'vitest';
import { FakeClock } from './clock.ts';
import { asError, withDeadline } from './deadline.ts';
import { DeadlineError } from './errors.ts';

const never = new AbortController().signal;
/** Work that ends only with its signal. */
const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));

describe('withDeadline', () => {
  it('gives the result of work that is in time, and leaves no sleeper', async () => {
    const clock = new FakeClock();
    expect(await withDeadline('the work', 1000, clock, never, () => Promise.resolve(5))).toBe(5);
    expect(clock.sleeping).toBe(0);
  });

  it('passes a failure on as it is', async () => {
    const failure = new Error('broken');
    const work = (): Promise<never> => Promise.reject(failure);
    await expect(withDeadline('the work', 1000, new FakeClock(), never, work)).rejects.toBe(failure);
  });

  it('tells the work and the caller when time is over', async () => {
    const clock = new FakeClock();
    let told: unknown;
    const result = withDeadline('Pulling "web"', 5000, clock, never, (signal) => {
      signal.addEventListener('abort', () => (told = signal.reason));
      return untilAborted(signal);
    });
    const failed = expect(result).rejects.toThrow('Pulling "web" took longer than 5s');
    await clock.advance(5000);
    await failed;
    expect(told).toBeInstanceOf(DeadlineError);
  });

  it('abandons work that does not listen', async () => {
    const clock = new FakeClock();
    const result = withDeadline('deaf work', 1500, clock, never, () => new Promise<never>(() => {}));
    const failed = expect(result).rejects.toThrow('deaf work took longer than 1.5s');
    await clock.advance(1500);
    await failed;
  });

  it('ends with the parent, for its reason', async () => {
    const clock = new FakeClock();
    const stop = new AbortController();
    const result = withDeadline('the work', 5000, clock, stop.signal, untilAborted);
    stop.abort(new Error('shutting down'));
    await expect(result).rejects.toThrow('shutting down');
    expect(clock.sleeping).toBe(0);
  });
});

describe('asError', () => {
  it('keeps errors and wraps the rest', () => {
    const error = new Error('x');
    expect(asError(error)).toBe(error);
    expect(asError('words')).toEqual(new Error('words'));
  });
});
