/**
 * Pod start and end through our kubelet beside what the runtime alone needs for the same pods in the same run, and
 * what the agent uses. Run by `npm run bench`; needs root.
 *
 *     --pods 1,10,30   how many at once     --rounds 5      of each
 *     --floor-only     the runtime alone    --rest 30       seconds; 0 leaves it out
 *     --program agent  kubelet and kube-proxy in one process
 *     --volumes 8      in each pod; the runtime's floor stays that of pods without
 *     --no-record      does not append to the results file
 */
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { Cri } from '../../src/adapters/cri/cri.ts';
import { describeError } from '../../src/base/errors.ts';
import { PrivateContainerd, missingForContainerd } from '../e2e/support/containerd.ts';
import {
  type FloorResult,
  type Program,
  computePodFigures,
  computeRestFigures,
  formatPodFigures,
  formatRestFigures,
} from './budgets.ts';
import { describeRun } from './describe-run.ts';
import { nodeName, startLab } from './lab-on-a-node.ts';
import { measureFloor } from './measure-floor.ts';
import type { MeasureOptions, MeasureResult } from './measure-pods.ts';
import { innerPid } from './process-usage.ts';

const root = dirname(dirname(import.meta.dirname));
const resultsPath = join(root, 'docs', 'bench-results.jsonl');
const measureTimeoutMs = 15 * 60_000;

interface BenchOptions {
  counts: number[];
  rounds: number;
  restSeconds: number;
  volumes: number;
  isFloorOnly: boolean;
  isRecorded: boolean;
  program: Program;
}

function parseOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      pods: { type: 'string', default: '1,10,30' },
      rounds: { type: 'string', default: '5' },
      rest: { type: 'string', default: '30' },
      program: { type: 'string', default: 'kubelet' },
      volumes: { type: 'string', default: '0' },
      'floor-only': { type: 'boolean', default: false },
      'no-record': { type: 'boolean', default: false },
    },
  });
  const counts = values.pods.split(',').map(Number);
  const rounds = Number(values.rounds);
  const restSeconds = Number(values.rest);
  if (counts.some((count) => !(Number.isInteger(count) && count > 0 && count <= 110))) {
    throw new Error(`--pods must be numbers from 1 to 110: "${values.pods}"`);
  }
  if (!(Number.isInteger(rounds) && rounds > 0))
    throw new Error(`--rounds must be a number above 0: "${values.rounds}"`);
  if (!(restSeconds >= 0)) throw new Error(`--rest must be seconds: "${values.rest}"`);
  const volumes = Number(values.volumes);
  if (!(Number.isInteger(volumes) && volumes >= 0)) throw new Error(`--volumes must be a number: "${values.volumes}"`);
  const { program } = values;
  if (program !== 'kubelet' && program !== 'agent') throw new Error(`--program must be kubelet or agent: "${program}"`);
  const [isFloorOnly, isRecorded] = [values['floor-only'], !values['no-record']];
  return { counts, rounds, restSeconds, volumes, isFloorOnly, isRecorded, program };
}

/** With nothing else on the runtime: the kubelet would take these pods for leftovers. */
async function measureFloors(containerd: PrivateContainerd, options: BenchOptions): Promise<FloorResult[]> {
  const cri = new Cri({ endpoint: containerd.endpoint, requestTimeoutMs: 120_000 });
  const floorOptions = {
    image: containerd.images.pause,
    logRoot: join(containerd.node.directory, 'floor-logs'),
    cgroupParent: `${containerd.cgroupParent}/floor`,
  };
  try {
    await measureFloor(cri, 1, floorOptions); // warms the page cache; not counted
    const floors: FloorResult[] = [];
    for (const count of options.counts) {
      const rounds: number[][] = [];
      for (let i = 0; i < options.rounds; i++) rounds.push(await measureFloor(cri, count, floorOptions));
      floors.push({ count, rounds });
    }
    return floors;
  } finally {
    cri.close();
  }
}

async function measureAgent(containerd: PrivateContainerd, options: BenchOptions): Promise<MeasureResult> {
  const program = [process.execPath, join(root, 'dist', 'gantry.js')];
  const { agent, adminKubeconfig } = await startLab(containerd, program, options.program);
  const measureOptions: MeasureOptions = {
    kubeconfig: adminKubeconfig,
    runtimeEndpoint: containerd.endpoint,
    nodeName,
    image: containerd.images.pause,
    counts: options.counts,
    rounds: options.rounds,
    agentPid: await innerPid(agent.id.pid),
    restSeconds: options.restSeconds,
    volumes: options.volumes,
  };
  const script = join(import.meta.dirname, 'measure-pods.ts');
  const command = [process.execPath, script, JSON.stringify(measureOptions)];
  try {
    const { stdout } = await containerd.node.run(command, undefined, measureTimeoutMs);
    return JSON.parse(stdout) as MeasureResult; // printed by our own program
  } catch (err) {
    const log = await readFile(agent.logPath, 'utf8');
    throw new Error(`Cannot measure; the end of the log of ${options.program}:\n${log.slice(-4000)}`, { cause: err });
  }
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  const missing = await missingForContainerd();
  if (missing.length > 0) throw new Error(`Cannot run the benchmark here: it needs ${missing.join(', ')}`);
  const run = await describeRun(root);
  const containerd = await PrivateContainerd.open();
  try {
    console.log(`${String(run['machine'])}, kernel ${run['kernel']}, ${run['containerd']}, commit ${run['commit']}`);
    const floors = await measureFloors(containerd, options);
    const measured = options.isFloorOnly ? undefined : await measureAgent(containerd, options);
    const pods = computePodFigures(floors, measured);
    const rest = computeRestFigures(measured);
    console.log(`\n${formatPodFigures(pods, options.program)}`);
    if (rest.length > 0) console.log(`\n${formatRestFigures(rest, options.program)}`);
    if (options.isRecorded && measured !== undefined) {
      await mkdir(dirname(resultsPath), { recursive: true });
      const { program, rounds, volumes } = options;
      const record = { ...run, program, rounds, ...(volumes > 0 ? { volumes } : {}), pods, rest };
      await appendFile(resultsPath, `${JSON.stringify(record)}\n`);
      console.log(`\nappended to ${resultsPath.slice(root.length + 1)}`);
    }
  } finally {
    await containerd.close();
  }
}

try {
  await main();
} catch (err) {
  console.error(`bench: ${describeError(err)}`);
  process.exitCode = 1;
}
