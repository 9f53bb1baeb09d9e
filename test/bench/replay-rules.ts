/**
 * The floor of the proxy's figures: what its tools alone need for the same input, in a namespace with nothing else in it.
 * Runs inside a test node of its own; prints one line of JSON.
 *
 *     node test/bench/replay-rules.ts '{"inputs": [{"tool": …, "args": […], "path": …}]}'
 */
import { execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { systemClock } from '../../src/base/clock.ts';

export interface RecordedInput {
  tool: string;
  args: string[];
  path: string;
}

export interface ReplayOptions {
  inputs: RecordedInput[];
}

export interface ReplayResult {
  /** ms of each input, in their order. */
  tookMs: number[];
}

const execFileAsync = promisify(execFile);

function run({ tool, args, path }: RecordedInput): Promise<void> {
  const fd = openSync(path, 'r');
  const child = spawn(tool, args, { stdio: [fd, 'ignore', 'inherit'] });
  closeSync(fd);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${tool} does not take "${path}" again: exit code ${code}`));
    });
  });
}

/** Rules may count into objects of the kernel that have to be there before. */
async function makeCounters({ path }: RecordedInput): Promise<void> {
  const names = (await readFile(path, 'utf8')).matchAll(/--nfacct-name (\S+)/g);
  for (const name of new Set([...names].map((match) => match[1] ?? ''))) {
    await execFileAsync('nfacct', ['add', name]).catch(() => {}); // there already; else the tool says so
  }
}

const { inputs } = JSON.parse(process.argv[2] ?? '{}') as ReplayOptions; // given by our own program
const result: ReplayResult = { tookMs: [] };
for (const input of inputs) await makeCounters(input);
for (const input of inputs) {
  const startMs = systemClock.monotonicMs();
  await run(input);
  result.tookMs.push(systemClock.monotonicMs() - startMs);
}
console.log(JSON.stringify(result));
