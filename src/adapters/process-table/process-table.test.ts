import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import {
  findByEnvironment,
  identifyProcess,
  isRunning,
  listeningPorts,
  parseStat,
  signalProcess,
  waitUntilGone,
} from './process-table.ts';

const never = new AbortController().signal;

describe('parseStat', () => {
  const tail = `S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0`;
  it.each([
    { name: 'a plain name', stat: `7 (sh) ${tail}`, want: { state: 'S', startTicks: '4242' } },
    {
      name: 'a name with blanks and parentheses',
      stat: `7 (a) b (c)) ${tail}`,
      want: { state: 'S', startTicks: '4242' },
    },
    { name: 'half a line', stat: '7 (sh) S 1', want: undefined },
  ])('$name', ({ stat, want }) => {
    expect(parseStat(stat)).toEqual(want);
  });
});

describe('listeningPorts', () => {
  it('counts listeners, not connections', () => {
    const table = `  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000
   1: 0100007F:1F90 0100007F:ABCD 01 00000000:00000000 00:00000000
   2: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 0 0
`;
    expect(listeningPorts(table)).toEqual([2379, 6443]);
  });
});

describe('a process', () => {
  it('is found by its environment, and gone when it was killed', async () => {
    const value = `mark-${process.pid}`;
    const child = spawn('sleep', ['100'], { env: { GANTRY_TEST_MARK: value, PATH: process.env['PATH'] } });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    try {
      await new Promise((resolve) => child.once('spawn', resolve));
      const found = (await findByEnvironment('GANTRY_TEST_MARK')).filter((entry) => entry.value === value);
      expect(found.map(({ pid }) => pid)).toEqual([child.pid]);
      const [id] = found;
      if (id === undefined) return;
      expect(await signalProcess({ ...id, startTicks: '1' }, 'SIGKILL')).toBe(false); // somebody else had this pid before
      expect(await isRunning(id)).toBe(true);
      expect(await signalProcess(id, 'SIGKILL')).toBe(true);
      expect(await waitUntilGone(id, 5000, systemClock, never)).toBe(true);
      expect(await identifyProcess(id.pid)).toBeUndefined();
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });
});
