/** Figures of a series of measurements. Pure. */

/** The smallest value that `fraction` of all are not above; NaN for none. @param fraction 0 to 1 */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? Number.NaN;
}

/** The middle value, or the mean of the two in the middle; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export interface Spread {
  p50: number;
  p99: number;
}

/** p50 and p99 of each round, then the median over the rounds: one disturbed round does not count. */
export function spreadOfRounds(rounds: ReadonlyArray<readonly number[]>): Spread {
  return {
    p50: median(rounds.map((values) => percentile(values, 0.5))),
    p99: median(rounds.map((values) => percentile(values, 0.99))),
  };
}

/** Columns as wide as their widest cell; numbers (and what looks so) to the right. */
export function formatTable(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (/^[\d–]/.test(cell) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}
