import { describe, expect, it } from 'vitest';
import { silentLogger } from '../base/logger.ts';
import { removeRemains } from './remove-remains.ts';

describe('removeRemains', () => {
  it.each([
    { fails: [], want: ['slow down', 'unmount', 'directory', 'group', 'logs'] },
    { fails: ['slow down'], want: ['slow down', 'unmount', 'directory', 'group', 'logs'] },
    { fails: ['unmount'], want: ['slow down', 'unmount', 'logs'] },
    { fails: ['directory', 'group'], want: ['slow down', 'unmount', 'directory', 'group', 'logs'] },
  ])('does what can be done when $fails fails', async ({ fails, want }) => {
    const calls: string[] = [];
    const say = (what: string) => (): Promise<void> => {
      calls.push(what);
      return fails.includes(what) ? Promise.reject(new Error('busy')) : Promise.resolve();
    };
    const need = {
      volumes: { unmount: say('unmount'), removePodDir: say('directory') },
      cgroups: { slowDown: say('slow down'), remove: say('group') },
      removeLogs: say('logs'),
      log: silentLogger,
    };
    await removeRemains(need, 'u1', new AbortController().signal);
    expect(calls).toEqual(want);
  });
});
