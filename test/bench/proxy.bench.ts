/**
 * kube-proxy among many Services of five endpoints each: how long until all rules are in place, how long a change of one
 * endpoint takes from the API server's answer to the first connection, and what it costs, beside what the tools alone
 * need for the same input. A real kube-proxy, our API server on a real etcd, network namespaces of its own. Run by
 * `npm run bench -- proxy`; needs root.
 *
 *     --services 100,1000,10000     --mode iptables,nftables     --rounds 50
 *     --back-to-back 10   changes without a pause between them
 *     --rest 10           seconds; 0 leaves it out
 *     --no-record         does not append to the results file
 */
import { appendFile, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../../src/base/clock.ts';
import { describeError } from '../../src/base/errors.ts';
import { PrivateNode } from '../e2e/support/private-node.ts';
import { describeRun } from './describe-run.ts';
import type { MeasureProxyOptions, MeasureProxyResult } from './measure-proxy.ts';
import { readUsage, usageBetween } from './process-usage.ts';
import {
  type BenchMode,
  type ProxyFigures,
  type ProxyMeasurement,
  computeProxyFigures,
  formatProxyFigures,
} from './proxy-figures.ts';
import { ProxyNode, type RunningProxy } from './proxy-on-a-node.ts';
import { makeRecorders, recordedInputs } from './record-rules.ts';
import type { RecordedInput, ReplayOptions, ReplayResult } from './replay-rules.ts';

const root = dirname(dirname(import.meta.dirname));
const resultsPath = join(root, 'docs', 'proxy-results.jsonl');
const measureTimeoutMs = 15 * 60_000;
const never = new AbortController().signal;
/** Longer than the proxy's least time between two syncs (1 s), so that no change waits for the one before. */
const pauseMs = 1600;
/** Changes that are recorded for the tools alone. */
const recordedChanges = 10;
/** Changes whose processor time is taken. */
const costedChanges = 10;
/** The proxy gives memory back half a minute after its start. */
const restAfterMs = 45_000;

interface BenchOptions {
  modes: BenchMode[];
  services: number[];
  rounds: number;
  backToBack: number;
  restSeconds: number;
  isRecorded: boolean;
}

function parseOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      services: { type: 'string', default: '100,1000,10000' },
      mode: { type: 'string', default: 'iptables,nftables' },
      rounds: { type: 'string', default: '50' },
      'back-to-back': { type: 'string', default: '10' },
      rest: { type: 'string', default: '10' },
      'no-record': { type: 'boolean', default: false },
    },
  });
  const number = (name: 'rounds' | 'back-to-back' | 'rest', min: number): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= min) return value;
    throw new Error(`--${name} must be a number from ${min} on: "${values[name]}"`);
  };
  const services = values.services.split(',').map(Number);
  if (services.some((count, i) => !(Number.isInteger(count) && count > (services[i - 1] ?? 0) && count <= 60_000))) {
    throw new Error(`--services must be growing numbers from 1 to 60000: "${values.services}"`);
  }
  const modes = values.mode.split(',').map((mode): BenchMode => {
    if (mode === 'iptables' || mode === 'nftables') return mode;
    throw new Error(`--mode must be iptables or nftables: "${mode}"`);
  });
  return {
    modes,
    services,
    rounds: number('rounds', 1),
    backToBack: number('back-to-back', 0),
    restSeconds: number('rest', 0),
    isRecorded: !values['no-record'],
  };
}

/** One proxy's life after another on one node, each among so many Services. */
class ProxyBench {
  readonly #node: ProxyNode;
  readonly #options: BenchOptions;
  #changes = 0;

  constructor(node: ProxyNode, options: BenchOptions) {
    this.#node = node;
    this.#options = options;
  }

  async measure(mode: BenchMode, services: number): Promise<ProxyMeasurement> {
    const { full, changes } = await this.#record(mode, services);
    const tookMs = await replay([...full, ...changes]);
    const toolFullMs = tookMs.slice(0, full.length).reduce((sum, ms) => sum + ms, 0);
    // a change may be more than one call
    const calls = Math.max(1, Math.round(changes.length / recordedChanges));
    const toolChangesMs = Array.from({ length: Math.floor(changes.length / calls) }, (_, i) =>
      tookMs.slice(full.length + i * calls, full.length + (i + 1) * calls).reduce((sum, ms) => sum + ms, 0),
    );
    const proxy = await this.#node.startProxy(mode);
    try {
      const { rounds, backToBack } = this.#options;
      const { startMs, syncMs } = proxy;
      const started = await readUsage(proxy.process.id.pid);
      const { spacedMs } = await this.#change(rounds, 0);
      const { backToBackMs } = await this.#change(0, backToBack);
      const loop = await this.#node.loopDelay(proxy);
      // from now on nothing but its work wakes the process
      const before = await readUsage(proxy.process.id.pid);
      await this.#change(costedChanges, 0);
      const { cpuSeconds } = usageBetween(before, await readUsage(proxy.process.id.pid));
      return {
        mode,
        services,
        startMs,
        syncMs,
        toolFullMs,
        toolChangesMs,
        spacedMs,
        backToBackMs,
        loop,
        startCpuSeconds: started.cpuSeconds,
        cpuSecondsPerChange: cpuSeconds / costedChanges,
        rssPeakBytes: await peakRssBytes(proxy),
        ...(await this.#rest(proxy)),
      };
    } finally {
      await this.#node.stopProxy(proxy);
    }
  }

  /** A life that is not timed: what the tools get to do, for all rules and for each change. */
  async #record(mode: BenchMode, services: number): Promise<{ full: RecordedInput[]; changes: RecordedInput[] }> {
    const directory = join(this.#node.node.directory, `recorded-${mode}-${services}`);
    const proxy = await this.#node.startProxy(mode, await makeRecorders(directory));
    try {
      const full = await recordedInputs(directory);
      await this.#change(recordedChanges, 0);
      return { full, changes: (await recordedInputs(directory)).slice(full.length) };
    } finally {
      await this.#node.stopProxy(proxy);
    }
  }

  async #change(rounds: number, backToBack: number): Promise<MeasureProxyResult> {
    const options: MeasureProxyOptions = {
      kubeconfig: this.#node.adminKubeconfig,
      changesBefore: this.#changes,
      rounds,
      pauseMs,
      backToBack,
    };
    const text = await this.#node.runScript('measure-proxy.ts', options, measureTimeoutMs);
    this.#changes += rounds + backToBack;
    return JSON.parse(text) as MeasureProxyResult; // printed by our own program
  }

  async #rest({ process: { id }, startMs }: RunningProxy): Promise<{ restCpuPercent: number; rssRestBytes: number }> {
    const { restSeconds, rounds } = this.#options;
    if (restSeconds > 0) {
      await systemClock.sleep(Math.max(3000, restAfterMs - startMs - (rounds + costedChanges) * pauseMs), never);
    }
    const from = await readUsage(id.pid);
    await systemClock.sleep(Math.max(1, restSeconds) * 1000, never);
    const { cpuPercent, rssBytesEnd } = usageBetween(from, await readUsage(id.pid));
    return { restCpuPercent: cpuPercent, rssRestBytes: rssBytesEnd };
  }
}

/** The tools alone, one call after the other, in a namespace of their own. */
async function replay(inputs: RecordedInput[]): Promise<number[]> {
  const node = await PrivateNode.open();
  try {
    const options: ReplayOptions = { inputs };
    const script = join(import.meta.dirname, 'replay-rules.ts');
    const command = [process.execPath, script, JSON.stringify(options)];
    const { stdout } = await node.run(command, undefined, measureTimeoutMs);
    return (JSON.parse(stdout) as ReplayResult).tookMs; // printed by our own program
  } finally {
    await node.close();
  }
}

/** The most that the process has had since its start. */
async function peakRssBytes({ process: { id } }: RunningProxy): Promise<number> {
  const status = await readFile(`/proc/${id.pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  const run = await describeRun(root);
  const node = await ProxyNode.open([process.execPath, join(root, 'dist', 'gantry.js')]);
  try {
    console.log(`${String(run['machine'])}, kernel ${run['kernel']}, ${run['etcd']}, commit ${run['commit']}`);
    const bench = new ProxyBench(node, options);
    const figures: ProxyFigures[] = [];
    for (const services of options.services) {
      await node.growTo(services);
      for (const mode of options.modes) {
        console.log(`${mode}, ${services} Services …`);
        figures.push(computeProxyFigures(await bench.measure(mode, services)));
      }
    }
    console.log(`\n${formatProxyFigures(figures)}`);
    if (options.isRecorded) {
      await appendFile(resultsPath, `${JSON.stringify({ ...run, rounds: options.rounds, figures })}\n`);
      console.log(`\nappended to ${resultsPath.slice(root.length + 1)}`);
    }
  } catch (err) {
    const log = await node.logEnd().catch(() => 'none');
    throw new Error(`Cannot measure; the end of kube-proxy's log:\n${log}`, { cause: err });
  } finally {
    await node.close();
  }
}

try {
  await main();
} catch (err) {
  console.error(`bench: ${describeError(err)}`);
  process.exitCode = 1;
}
