/** Runs named steps, each as soon as those that it needs are done, and keeps the time. */
import type { Clock } from '../base/clock.ts';

export interface Step<Context> {
  name: string;
  /** As a person reads it: "network", "containerd on 2 nodes". */
  title: string;
  needs: readonly string[];
  run(context: Context, signal: AbortSignal): Promise<void>;
}

export interface StepTime {
  name: string;
  title: string;
  /** From the start of the first step. */
  startMs: number;
  durationMs: number;
}

/** Which step failed, when the others had been stopped. */
export class StepError extends Error {
  override name = 'StepError';
  readonly step: string;
  constructor(step: { name: string; title: string }, cause: unknown) {
    super(`Step "${step.title}" failed`, { cause });
    this.step = step.name;
  }
}

/**
 * The first failure stops the steps that run, starts no more, waits for those that were running, and is thrown.
 * @param onDone is told about every step that has ended well
 * @throws {StepError}
 */
export async function runSteps<Context>(
  steps: ReadonlyArray<Step<Context>>,
  context: Context,
  { clock, onDone }: { clock: Clock; onDone: (time: StepTime) => void },
  signal: AbortSignal,
): Promise<StepTime[]> {
  const unknown = steps.flatMap(({ name, needs }, i) =>
    needs
      .filter((need) => !steps.slice(0, i).some((before) => before.name === need))
      .map((need) => `${name} needs ${need}`),
  );
  if (unknown.length > 0) throw new Error(`Cannot order the steps: ${unknown.join(', ')}, which does not come before`);
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const beginMs = clock.monotonicMs();
  const times: StepTime[] = [];
  const started = new Map<string, Promise<void>>();
  let failure: StepError | undefined;

  const start = async (step: Step<Context>): Promise<void> => {
    await Promise.all(step.needs.map((need) => started.get(need) ?? Promise.resolve()));
    if (inner.aborted) return;
    const startMs = clock.monotonicMs() - beginMs;
    try {
      await step.run(context, inner);
    } catch (err) {
      failure ??= new StepError(step, signal.aborted ? signal.reason : err); // the others' failures follow from the first
      stop.abort(failure);
      return;
    }
    const time = { name: step.name, title: step.title, startMs, durationMs: clock.monotonicMs() - beginMs - startMs };
    times.push(time);
    onDone(time);
  };
  for (const step of steps) started.set(step.name, start(step));
  await Promise.all(started.values());
  if (failure !== undefined) throw failure;
  signal.throwIfAborted();
  return times;
}

const barWidth = 40;

/** Pure: a line per step in order of its start, with a bar where in the whole it ran. */
export function formatTimeline(times: readonly StepTime[]): string {
  const totalMs = Math.max(1, ...times.map(({ startMs, durationMs }) => startMs + durationMs));
  const titleWidth = Math.max(5, ...times.map(({ title }) => title.length));
  const lines = times
    .toSorted((a, b) => a.startMs - b.startMs)
    .map(({ title, startMs, durationMs }) => {
      const from = Math.min(barWidth - 1, Math.floor((startMs / totalMs) * barWidth));
      const length = Math.max(1, Math.min(barWidth - from, Math.round((durationMs / totalMs) * barWidth)));
      const bar = `${' '.repeat(from)}${'#'.repeat(length)}`.padEnd(barWidth);
      return `  ${title.padEnd(titleWidth)} |${bar}| ${formatSeconds(durationMs)}`;
    });
  return `${lines.join('\n')}\n  ${'total'.padEnd(titleWidth)}  ${' '.repeat(barWidth)}  ${formatSeconds(totalMs)}\n`;
}

export function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)}s`;
}
