/** How the phases of a pod are kept within bounds without losing those that explain it. Pure, but for the list itself. */
import type { PhaseSpan } from './timeline-model.ts';
import { splitSpanName } from './timeline-model.ts';

/** Entries of one pod. A pod of one container that starts and ends has about 20. */
export const spansMax = 64;
/** Characters of one text; the middle of a longer one goes. */
export const textMaxChars = 800;

/** These tell how a pod came and went: they make room last. */
const milestones = new Set(['seen', 'admitted', 'sandbox', 'ready', 'deletion', 'removed']);

/**
 * Takes up a span that has ended. The first of each name and outcome stays as it was; later ones are counted on it, with
 * the latest beside it: a container that crashes for days takes one entry, and does not push out how it started.
 *
 * @returns what became of it, and whether another had to make room
 */
export function foldSpan(spans: PhaseSpan[], ended: PhaseSpan): { isRepeat: boolean; hasDropped: boolean } {
  const first = spans.find(({ name, outcome }) => name === ended.name && outcome === ended.outcome);
  if (first !== undefined) {
    const { startMs, durationMs = 0, text, by } = ended;
    first.again = {
      count: (first.again?.count ?? 0) + 1,
      startMs,
      durationMs,
      ...(text === undefined || text === first.text ? {} : { text }),
      ...(by === undefined || by === first.by ? {} : { by }),
    };
    return { isRepeat: true, hasDropped: false };
  }
  const at = spans.findLastIndex(({ startMs }) => startMs <= ended.startMs);
  spans.splice(at + 1, 0, ended);
  if (spans.length <= spansMax) return { isRepeat: false, hasDropped: false };
  spans.splice(leastTelling(spans), 1);
  return { isRepeat: false, hasDropped: true };
}

/** The oldest that went well and is no milestone; else the oldest that is none; else the oldest. */
function leastTelling(spans: readonly PhaseSpan[]): number {
  const isMilestone = ({ name }: PhaseSpan): boolean => milestones.has(splitSpanName(name).kind);
  const dull = spans.findIndex((span) => span.outcome === 'ok' && !isMilestone(span));
  if (dull >= 0) return dull;
  return Math.max(
    0,
    spans.findIndex((span) => !isMilestone(span)),
  );
}

/** A text within its bound: beginnings say what was tried, ends say why it failed. */
export function cutText(text: string): string {
  if (text.length <= textMaxChars) return text;
  const tailChars = 300;
  return `${text.slice(0, textMaxChars - tailChars - 3)} … ${text.slice(-tailChars)}`;
}
