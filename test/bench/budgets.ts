/** What pod start and the agent may cost, and how a run compares. Pure. The figures are those of the design. */
import type { MeasureResult } from './measure-pods.ts';
import { type Spread, formatTable, spreadOfRounds } from './statistics.ts';

/** create → Ready, as a multiple of the same run's floor. */
const ratioBudgets: Record<number, number> = { 1: 1.5, 10: 1.25, 30: 1.25, 100: 1.25 };
/** create → Ready of so many pods: processor seconds of the kubelet. */
const cpuSecondsBudgets: Record<number, number> = { 30: 1.0, 100: 3.7 };
const goneBudgetMs = 1250;
export const rssBudgetMb: Record<Program, number> = { kubelet: 110, agent: 140 };
const restCpuPercentBudget = 1;

/** The kubelet alone, or with kube-proxy in the same process. */
export type Program = 'kubelet' | 'agent';

export interface FloorResult {
  count: number;
  rounds: number[][];
}

export interface PodFigures {
  count: number;
  floor: Spread;
  /** Left out when only the floor was measured. */
  ready?: Spread;
  gone?: Spread;
  ratio?: number;
  cpuSeconds?: number;
  rssMb?: number;
}

export interface RestFigures {
  count: number;
  cpuPercent: number;
  rssMb: number;
  wakeUpsPerSecond: number;
}

const megabyte = 1_000_000;

export function computePodFigures(floors: readonly FloorResult[], measured: MeasureResult | undefined): PodFigures[] {
  return floors.map(({ count, rounds }) => {
    const floor = spreadOfRounds(rounds);
    const results = measured?.rounds.find((round) => round.count === count)?.results;
    if (results === undefined) return { count, floor };
    const ready = spreadOfRounds(results.map(({ readyMs }) => readyMs));
    return {
      count,
      floor,
      ready,
      gone: spreadOfRounds(results.map(({ goneMs }) => goneMs)),
      ratio: ready.p50 / floor.p50,
      cpuSeconds: spreadOfRounds(results.map(({ start }) => [start.cpuSeconds])).p50,
      rssMb: Math.max(...results.map(({ start }) => start.rssBytesEnd)) / megabyte,
    };
  });
}

export function computeRestFigures(measured: MeasureResult | undefined): RestFigures[] {
  return (measured?.rest ?? []).map(({ count, usage }) => ({
    count,
    cpuPercent: usage.cpuPercent,
    rssMb: usage.rssBytesEnd / megabyte,
    wakeUpsPerSecond: usage.wakeUpsPerSecond,
  }));
}

export function formatPodFigures(figures: readonly PodFigures[], program: Program): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(3);
  const rows = figures.map(({ count, floor, ready, gone, ratio, cpuSeconds, rssMb }) => [
    String(count),
    `${seconds(floor.p50)} / ${seconds(floor.p99)}`,
    ready === undefined ? '–' : `${seconds(ready.p50)} / ${seconds(ready.p99)}`,
    ratio === undefined ? '–' : against(ratio, ratioBudgets[count], 2, ' x'),
    gone === undefined ? '–' : `${seconds(gone.p50)} / ${seconds(gone.p99)}`,
    gone === undefined ? '–' : against(gone.p50 / 1000, count === 1 ? goneBudgetMs / 1000 : undefined, 2, ' s'),
    cpuSeconds === undefined ? '–' : against(cpuSeconds, cpuSecondsBudgets[count], 2, ' s'),
    rssMb === undefined ? '–' : against(rssMb, rssBudgetMb[program], 0, ' MB'),
  ]);
  const head = [
    'pods',
    'floor s p50/p99',
    'Ready s p50/p99',
    'of the floor',
    'gone s p50/p99',
    'gone p50',
    'CPU',
    'RSS',
  ];
  return formatTable(head, rows);
}

export function formatRestFigures(figures: readonly RestFigures[], program: Program): string {
  const rows = figures.map(({ count, cpuPercent, rssMb, wakeUpsPerSecond }) => [
    String(count),
    against(cpuPercent, restCpuPercentBudget, 2, ' %'),
    against(rssMb, rssBudgetMb[program], 0, ' MB'),
    wakeUpsPerSecond.toFixed(1),
  ]);
  return formatTable(['pods at rest', 'CPU of a core', 'RSS', 'wake-ups per second'], rows);
}

/** `1.32 x (≤ 1.5: met)` */
export function against(value: number, budget: number | undefined, digits: number, unit: string): string {
  const text = `${value.toFixed(digits)}${unit}`;
  if (budget === undefined) return text;
  return `${text} (≤ ${budget}: ${value <= budget ? 'met' : 'MISSED'})`;
}
