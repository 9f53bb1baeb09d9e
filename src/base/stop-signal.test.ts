import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

/** Says when it waits and when it was asked to stop, and then goes on until it is killed or asked twice. */
const program = `
  const { stopSignal } = await import(${JSON.stringify(new URL('stop-signal.ts', import.meta.url).href)});
  const signal = stopSignal();
  const alive = setInterval(() => {}, 1000);
  signal.addEventListener('abort', () => {
    console.log(signal.reason.message);
    if (process.argv[1] === 'ends') clearInterval(alive);
  });
  console.log('waiting');
`;

async function start(
  how: 'ends' | 'hangs',
): Promise<{ child: ReturnType<typeof spawn>; said: (text: string) => Promise<void> }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, how]);
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  const said = async (text: string): Promise<void> => {
    while (!output.includes(text)) await once(child.stdout, 'data');
  };
  await said('waiting');
  return { child, said };
}

describe('stopSignal', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('aborts at %s, and the process can end by itself', async (name) => {
    const { child } = await start('ends');
    child.kill(name);
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(0);
  });

  it('a second SIGINT ends at once what does not end by itself', async () => {
    const { child, said } = await start('hangs');
    child.kill('SIGINT');
    await said('received SIGINT');
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(130);
  });
});
