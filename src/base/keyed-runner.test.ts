import { describe, expect, it } from 'vitest';
import { KeyedRunner } from './keyed-runner.ts';

/** Runs that end when they are told to. */
function gatedRunner(): { runner: KeyedRunner; started: string[]; finish: (key: string) => void } {
  const started: string[] = [];
  const open = new Map<string, () => void>();
  const runner = new KeyedRunner((key) => {
    started.push(key);
    return new Promise((resolve) => open.set(key, resolve));
  });
  return { runner, started, finish: (key) => open.get(key)?.() };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('KeyedRunner', () => {
  it('runs different keys side by side, one key once at a time', () => {
    const { runner, started } = gatedRunner();
    for (const key of ['a', 'b', 'a', 'a']) runner.mark(key);
    expect(started).toEqual(['a', 'b']);
    expect(runner.running).toBe(2);
  });

  it('any number of marks during a run cause exactly one more', async () => {
    const { runner, started, finish } = gatedRunner();
    for (let i = 0; i < 4; i++) runner.mark('a');
    finish('a');
    await turn();
    expect(started).toEqual(['a', 'a']);
    finish('a');
    await turn();
    expect(started).toEqual(['a', 'a']);
    expect(runner.running).toBe(0);
  });

  it('a mark after the run starts a new one', async () => {
    const { runner, started, finish } = gatedRunner();
    runner.mark('a');
    finish('a');
    await turn();
    runner.mark('a');
    expect(started).toEqual(['a', 'a']);
  });

  it('tells when nothing runs', async () => {
    const { runner, finish } = gatedRunner();
    await runner.whenIdle();
    runner.mark('a');
    runner.mark('b');
    let isIdle = false;
    const idle = runner.whenIdle().then(() => (isIdle = true));
    finish('a');
    await turn();
    expect(isIdle).toBe(false);
    finish('b');
    await idle;
  });
});
