import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from './clock.ts';
import { createLogger, silentLogger, verbositySetter } from './logger.ts';

let directory: string;
let fd: number;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gantry-logger-'));
  fd = openSync(join(directory, 'log'), 'a');
});
afterEach(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

/** The first `count` lines; they are written after the call. */
async function written(count: number): Promise<unknown[]> {
  for (;;) {
    const lines = readFileSync(join(directory, 'log'), 'utf8').split('\n').slice(0, -1);
    if (lines.length >= count) return lines.map((line) => JSON.parse(line) as unknown);
    await systemClock.sleep(2, new AbortController().signal);
  }
}

describe('createLogger', () => {
  it('writes one JSON object a line, with the name of the component and the fields of the child', async () => {
    const logger = createLogger({ name: 'kubelet', verbosity: 0, fd });
    logger.child({ pod: 'default/web' }).warn({ attempt: 2 }, 'cannot create sandbox, will retry');
    expect(await written(1)).toMatchObject([
      { name: 'kubelet', level: 40, pod: 'default/web', attempt: 2, msg: 'cannot create sandbox, will retry' },
    ]);
  });

  it.each([
    { verbosity: 0, want: ['info'] },
    { verbosity: 3, want: ['info'] },
    { verbosity: 4, want: ['info', 'debug'] },
    { verbosity: 6, want: ['info', 'debug', 'trace'] },
  ])('with --v=$verbosity says $want', async ({ verbosity, want }) => {
    const logger = createLogger({ name: 'x', verbosity, fd });
    logger.info('info');
    logger.debug('debug');
    logger.trace('trace');
    expect((await written(want.length)).map((line) => (line as { msg: string }).msg)).toEqual(want);
  });

  it('writes the causes of an error', async () => {
    const logger = createLogger({ name: 'x', verbosity: 0, fd });
    logger.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed');
    const [line] = await written(1);
    expect(line).toMatchObject({ err: { message: expect.stringContaining('outer') as string } });
    expect(JSON.stringify(line)).toContain('inner');
  });
});

it('verbositySetter changes a logger and the children that come after it', () => {
  const log = silentLogger.child({});
  log.level = 'info';
  const setVerbosity = verbositySetter(log);
  const grandchild = log.child({ room: 'a' }).child({ family: 'b' });
  setVerbosity(4);
  expect([log.level, grandchild.level]).toEqual(['debug', 'debug']);
  setVerbosity(0);
  expect([log.level, grandchild.level, silentLogger.level]).toEqual(['info', 'info', 'silent']);
});

it('silentLogger says nothing', () => {
  expect(silentLogger.isLevelEnabled('fatal')).toBe(false);
});
