/**
 * A full node of 110 mixed pods (init containers, sidecars, probes each second, restarts) for a quarter of an hour, and
 * whether its probes come in time and its agent stays small. Run by `npm run bench -- soak`; needs root.
 *
 *     --minutes 15     --program kubelet     --no-record
 */
import { appendFile, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeError } from '../../src/base/errors.ts';
import { PrivateContainerd, missingForContainerd } from '../e2e/support/containerd.ts';
import type { Program } from './budgets.ts';
import { describeRun } from './describe-run.ts';
import { nodeIp, nodeName, startLab } from './lab-on-a-node.ts';
import type { SoakOptions, SoakResult } from './measure-soak.ts';
import { innerPid } from './process-usage.ts';
import { formatSoak, judgeSoak } from './soak-verdict.ts';

const root = dirname(dirname(import.meta.dirname));
const resultsPath = join(root, 'docs', 'soak-results.jsonl');

async function measure(containerd: PrivateContainerd, which: Program, minutes: number): Promise<SoakResult> {
  const program = [process.execPath, join(root, 'dist', 'gantry.js')];
  const { agent, adminKubeconfig } = await startLab(containerd, program, which);
  const options: SoakOptions = {
    kubeconfig: adminKubeconfig,
    nodeName,
    images: containerd.images,
    nodeIp,
    agentPid: await innerPid(agent.id.pid),
    minutes,
  };
  const script = join(import.meta.dirname, 'measure-soak.ts');
  const command = [process.execPath, script, JSON.stringify(options)];
  try {
    const { stdout } = await containerd.node.run(command, undefined, (minutes + 15) * 60_000);
    return JSON.parse(stdout) as SoakResult; // printed by our own program
  } catch (err) {
    const log = await readFile(agent.logPath, 'utf8');
    throw new Error(`Cannot measure; the end of the log of ${which}:\n${log.slice(-4000)}`, { cause: err });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '15' },
      program: { type: 'string', default: 'kubelet' },
      'no-record': { type: 'boolean', default: false },
    },
  });
  const minutes = Number(values.minutes);
  const { program } = values;
  if (!(Number.isInteger(minutes) && minutes > 0)) throw new Error(`--minutes must be a number above 0: "${minutes}"`);
  if (program !== 'kubelet' && program !== 'agent') throw new Error(`--program must be kubelet or agent: "${program}"`);
  const missing = await missingForContainerd();
  if (missing.length > 0) throw new Error(`Cannot run here: it needs ${missing.join(', ')}`);
  const run = await describeRun(root);
  const containerd = await PrivateContainerd.open();
  try {
    const result = await measure(containerd, program, minutes);
    const verdicts = judgeSoak(result, program);
    console.log(formatSoak(result, verdicts));
    if (!values['no-record']) {
      await appendFile(resultsPath, `${JSON.stringify({ ...run, program, ...result, verdicts })}\n`);
      console.log(`\nappended to ${resultsPath.slice(root.length + 1)}`);
    }
    process.exitCode = verdicts.every(({ isMet }) => isMet) ? 0 : 1;
  } finally {
    await containerd.close();
  }
}

try {
  await main();
} catch (err) {
  console.error(`soak: ${describeError(err)}`);
  process.exitCode = 1;
}
