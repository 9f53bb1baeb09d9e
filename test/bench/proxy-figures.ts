/** What the proxy may cost, and how a run compares. Pure. The figures are those of the design. */
import { against } from './budgets.ts';
import { type Spread, formatTable, percentile } from './statistics.ts';

export type BenchMode = 'iptables' | 'nftables';

/** Held up by the clock, and by the processor time of the loop's own thread: others cannot take that. */
export interface LoopDelay {
  p99Ms: number;
  maxMs: number;
  longestOwnMs: number;
}

export interface ProxyMeasurement {
  mode: BenchMode;
  services: number;
  /** From the start of the process to the first whole set of rules. */
  startMs: number;
  /** Of it the sync alone: from the lists to the rules. */
  syncMs: number;
  /** The tools alone on the same input: all of it, and each change beside it. */
  toolFullMs: number;
  toolChangesMs: number[];
  spacedMs: number[];
  backToBackMs: number[];
  startCpuSeconds: number;
  cpuSecondsPerChange: number;
  restCpuPercent: number;
  rssPeakBytes: number;
  rssRestBytes: number;
  loop: LoopDelay;
}

export interface ProxyFigures extends Omit<ProxyMeasurement, 'toolChangesMs' | 'spacedMs' | 'backToBackMs'> {
  change: Spread;
  backToBack: Spread;
  toolChange: Spread;
}

/** They are for so many Services of five endpoints. */
export const budgetServices = 10_000;
const budgets = {
  iptables: { changeP50Ms: 350, changeP99Ms: undefined, syncMs: undefined },
  nftables: { changeP50Ms: undefined, changeP99Ms: 50, syncMs: 2000 },
};
const rssBudgetMb = 150;
const loopBudgetMs = 50;

export function computeProxyFigures(measured: ProxyMeasurement): ProxyFigures {
  const { toolChangesMs, spacedMs, backToBackMs, ...others } = measured;
  return { ...others, change: spread(spacedMs), backToBack: spread(backToBackMs), toolChange: spread(toolChangesMs) };
}

const spread = (values: readonly number[]): Spread => ({ p50: percentile(values, 0.5), p99: percentile(values, 0.99) });

export function formatProxyFigures(figures: readonly ProxyFigures[]): string {
  const both = ({ p50, p99 }: Spread): string => `${p50.toFixed(0)} / ${p99.toFixed(0)}`;
  const sync = formatTable(
    ['mode', 'services', 'start → rules s', 'of it sync', 'tool alone', 'of the tool', 'CPU s'],
    figures.map((one) => [
      one.mode,
      String(one.services),
      seconds(one.startMs),
      against(one.syncMs / 1000, divided(budgetOf(one)?.syncMs, 1000), 2, ' s'),
      seconds(one.toolFullMs),
      `${(one.syncMs / one.toolFullMs).toFixed(2)} x`,
      one.startCpuSeconds.toFixed(2),
    ]),
  );
  const change = formatTable(
    ['mode', 'services', 'change p50', 'p99', 'tool alone ms p50/p99', 'back to back ms p50/p99', 'CPU ms'],
    figures.map((one) => [
      one.mode,
      String(one.services),
      against(one.change.p50, budgetOf(one)?.changeP50Ms, 0, ' ms'),
      against(one.change.p99, budgetOf(one)?.changeP99Ms, 0, ' ms'),
      both(one.toolChange),
      both(one.backToBack),
      (1000 * one.cpuSecondsPerChange).toFixed(0),
    ]),
  );
  const process = formatTable(
    ['mode', 'services', 'RSS peak', 'at rest MB', 'at rest CPU %', 'loop held, own time', 'by the clock ms p99/max'],
    figures.map((one) => [
      one.mode,
      String(one.services),
      against(one.rssPeakBytes / 1e6, one.services === budgetServices ? rssBudgetMb : undefined, 0, ' MB'),
      (one.rssRestBytes / 1e6).toFixed(0),
      one.restCpuPercent.toFixed(1),
      against(one.loop.longestOwnMs, one.services === budgetServices ? loopBudgetMs : undefined, 0, ' ms'),
      `${one.loop.p99Ms} / ${one.loop.maxMs}`,
    ]),
  );
  return [sync, change, process].join('\n\n');
}

const seconds = (ms: number): string => (ms / 1000).toFixed(2);
const divided = (value: number | undefined, by: number): number | undefined =>
  value === undefined ? undefined : value / by;

function budgetOf({ mode, services }: ProxyFigures): (typeof budgets)[BenchMode] | undefined {
  return services === budgetServices ? budgets[mode] : undefined;
}
