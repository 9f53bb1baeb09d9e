/** `gantry why pod` for people: the cause, what comes next, and the phases as a table. Pure. */
import { durationText } from './scene.ts';
import type { WhyAnswer, WhyPhase } from './why-answer.ts';

/** @param silence why the kubelet does not answer, when it does not */
export function formatWhy(answer: WhyAnswer, silence?: string): string {
  const { pod, cause, next, similar, otherUids, phasesDropped } = answer;
  const lines = [`Pod:    ${pod.namespace}/${pod.name}${pod.uid === undefined ? '' : ` (uid ${pod.uid})`}`];
  if (silence !== undefined)
    lines.push(`Note:   the kubelet does not answer (${silence}); this is from its file, as of ${answer.asOf}`);
  lines.push(`Cause:  ${cause}`);
  next.forEach((text, i) => lines.push(`${i === 0 ? 'Next:  ' : '       '} ${text}`));
  if (similar.length > 0) lines.push(`Known:  ${similar.join(', ')}`);
  const rows = rowsOf(answer);
  if (rows.length > 0) lines.push('', ...formatTable(rows));
  if (phasesDropped > 0) lines.push(`(${phasesDropped} more phases had to make room)`);
  if (otherUids.length > 0) lines.push('', `Other pods of this name, for --uid: ${otherUids.join(', ')}`);
  return `${lines.join('\n')}\n`;
}

interface Row {
  start: string;
  took: string;
  phase: string;
  outcome: string;
  text: string;
}

function rowsOf({ phases, kubeletStarts }: WhyAnswer): Row[] {
  const rows = phases.flatMap((phase) => [rowOf(phase), ...againRows(phase)]);
  for (const start of kubeletStarts)
    rows.push({ start, took: '', phase: '--- kubelet started again ---', outcome: '', text: '' });
  return rows.toSorted((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
}

function rowOf(phase: WhyPhase): Row {
  const { start, durationSeconds, outcome } = phase;
  return { start, took: tookText(durationSeconds), phase: nameOf(phase), outcome, text: textOf(phase) };
}

/** Repeats stand at the time of the latest of them. */
function againRows(phase: WhyPhase): Row[] {
  const { again, outcome } = phase;
  if (again === undefined) return [];
  const outcomeText = again.count === 1 ? outcome : `${outcome} (${again.count} more)`;
  return [
    {
      start: again.start,
      took: tookText(again.durationSeconds),
      phase: nameOf(phase),
      outcome: outcomeText,
      text: textOf({ ...phase, ...again }), // the words of the first, unless it had others
    },
  ];
}

const nameOf = ({ phase, subject }: WhyPhase): string => (subject === undefined ? phase : `${phase} ${subject}`);

function tookText(seconds: number | undefined): string {
  if (seconds === undefined) return '...';
  if (seconds === 0) return '';
  return seconds < 0.1 ? `${Math.max(1, Math.round(seconds * 1000))}ms` : durationText(seconds * 1000);
}

function textOf({ by, text = '' }: { by?: string; text?: string }): string {
  const oneLine = text.trim().replaceAll(/\s*\n\s*/g, ' / ');
  return by === undefined ? oneLine : `${by}: ${oneLine}`;
}

function formatTable(rows: readonly Row[]): string[] {
  const head: Row = { start: 'TIME (UTC)', took: 'TOOK', phase: 'PHASE', outcome: 'OUTCOME', text: '' };
  const isOneDay = new Set(rows.map(({ start }) => start.slice(0, 10))).size === 1;
  const shown = rows.map((row) => ({ ...row, start: row.start.slice(isOneDay ? 11 : 0, 23).replace('T', ' ') }));
  const all = [head, ...shown];
  const width = (key: keyof Row): number => Math.max(...all.map((row) => row[key].length));
  const [start, took, phase, outcome] = [width('start'), width('took'), width('phase'), width('outcome')];
  return all.map((row) =>
    `${row.start.padEnd(start)}  ${row.took.padStart(took)}  ${row.phase.padEnd(phase)}  ${row.outcome.padEnd(outcome)}  ${row.text}`.trimEnd(),
  );
}
