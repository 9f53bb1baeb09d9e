/** What a long run must hold, and how one compares. Pure. */
import type { Program } from './budgets.ts';
import { rssBudgetMb } from './budgets.ts';
import type { SoakMinute, SoakResult } from './measure-soak.ts';
import { formatTable } from './statistics.ts';

export interface Verdict {
  what: string;
  seen: string;
  isMet: boolean;
}

const loopDelayBudgetMs = 50;
/** Memory after this minute is compared with the end: code is compiled and caches are full by then. */
const settledMinute = 5;
/** Resident memory breathes with the collector; what grows without end grows by more. */
const growthToleranceMb = 3;
const megabyte = 1_000_000;

export function judgeSoak({ minutes }: SoakResult, program: Program): Verdict[] {
  const late = minutes.reduce((sum, { lateProbes }) => sum + lateProbes, 0);
  const longestMs = Math.max(...minutes.map(({ longestGapMs }) => longestGapMs));
  const delays = minutes.flatMap(({ loopDelayP99Ms }) => loopDelayP99Ms ?? []);
  const worstDelayMs = Math.max(...delays);
  const rssMb = Math.max(...minutes.map(({ rssBytes }) => rssBytes)) / megabyte;
  const budgetMb = rssBudgetMb[program];
  const grownMb = growth(minutes);
  return [
    {
      what: 'probes later than their period and 1 s',
      seen: `${late}, longest gap ${(longestMs / 1000).toFixed(2)} s`,
      isMet: late === 0,
    },
    {
      what: `event-loop delay p99 of each minute ≤ ${loopDelayBudgetMs} ms`,
      seen: `${worstDelayMs.toFixed(1)} ms at most, ${delays.length} minutes told`,
      isMet: delays.length === minutes.length && worstDelayMs <= loopDelayBudgetMs,
    },
    { what: `resident memory ≤ ${budgetMb} MB`, seen: `${rssMb.toFixed(0)} MB at most`, isMet: rssMb <= budgetMb },
    {
      what: `no growth from minute ${settledMinute} on (≤ ${growthToleranceMb} MB)`,
      seen: grownMb === undefined ? 'too short to tell' : `${grownMb.toFixed(1)} MB`,
      isMet: grownMb !== undefined && grownMb <= growthToleranceMb,
    },
  ];
}

/** Mean of the last three minutes less the mean of the three up to the settled one. MB; undefined for a short run. */
function growth(minutes: readonly SoakMinute[]): number | undefined {
  if (minutes.length < settledMinute + 3) return undefined;
  const mean = (some: readonly SoakMinute[]): number =>
    some.reduce((sum, { rssBytes }) => sum + rssBytes, 0) / some.length / megabyte;
  return mean(minutes.slice(-3)) - mean(minutes.slice(settledMinute - 3, settledMinute));
}

export function formatSoak({ pods, startMs, minutes, restarts }: SoakResult, verdicts: readonly Verdict[]): string {
  const header = ['minute', 'RSS MB', 'CPU %', 'wake-ups/s', 'loop p99 ms', 'probes/s', 'late', 'longest gap s'];
  const rows = minutes.map((m) => [
    String(m.minute),
    (m.rssBytes / megabyte).toFixed(1),
    m.cpuPercent.toFixed(1),
    m.wakeUpsPerSecond.toFixed(0),
    m.loopDelayP99Ms?.toFixed(1) ?? '-',
    m.probesPerSecond.toFixed(0),
    String(m.lateProbes),
    (m.longestGapMs / 1000).toFixed(2),
  ]);
  const judged = verdicts.map(({ what, seen, isMet }) => `${isMet ? 'met   ' : 'MISSED'}  ${what}: ${seen}`);
  const head = `${pods} pods, all up after ${(startMs / 1000).toFixed(1)} s, ${restarts} restarts of containers meanwhile`;
  return [head, '', formatTable(header, rows), '', ...judged].join('\n');
}
