/** The query of a request for logs. Pure. */
import { parseTime } from './parse-time.ts';
import type { ReadLogOptions } from './serve-need.ts';

export interface LogRequest extends ReadLogOptions {
  previous: boolean;
}

export type ParsedLogRequest =
  | { kind: 'good'; request: LogRequest }
  | { kind: 'refused'; status: 400 | 422; text: string };

const undecodable: ParsedLogRequest = {
  kind: 'refused',
  status: 400,
  text: '{"message": "Unable to decode query."}',
};
const invalid: ParsedLogRequest = { kind: 'refused', status: 422, text: '{"message": "Invalid request."}' };

/** @param nowMs wall clock, from which `sinceSeconds` counts back */
export function parseLogRequest(query: URLSearchParams, nowMs: number): ParsedLogRequest {
  const numbers: Partial<Record<string, number>> = {};
  for (const name of ['tailLines', 'sinceSeconds', 'limitBytes']) {
    const text = query.get(name);
    if (text === null) continue;
    if (!/^[+-]?\d+$/.test(text)) return undecodable;
    numbers[name] = Number(text);
  }
  // the older name, which also knows a word for "no limit"
  const tail = query.get('tail');
  if (tail !== null && tail !== '' && numbers['tailLines'] === undefined && tail !== 'all') {
    if (!/^[+-]?\d+$/.test(tail)) return undecodable;
    numbers['tailLines'] = Number(tail);
  }
  const sinceTime = query.get('sinceTime');
  const sinceTimeMs = sinceTime === null || sinceTime === '' ? undefined : parseTime(sinceTime);
  if (sinceTime !== null && sinceTime !== '' && sinceTimeMs === undefined) return undecodable;
  const { tailLines, sinceSeconds, limitBytes } = numbers;
  const stream = query.get('stream') ?? 'All';
  if (
    (tailLines !== undefined && tailLines < 0) ||
    (limitBytes !== undefined && limitBytes < 1) ||
    (sinceSeconds !== undefined && (sinceSeconds < 1 || sinceTimeMs !== undefined)) ||
    !['', 'All', 'Stdout', 'Stderr'].includes(stream)
  ) {
    return invalid;
  }
  if (stream === 'Stdout' || stream === 'Stderr') {
    const why = 'Please enable PodLogsQuerySplitStreams feature gate in kubelet';
    return { kind: 'refused', status: 400, text: `unable to return the given log stream: "${stream}". ${why}` };
  }
  return {
    kind: 'good',
    request: {
      follow: flag(query.get('follow')),
      previous: flag(query.get('previous')),
      timestamps: flag(query.get('timestamps')),
      tailLines,
      limitBytes,
      sinceMs: sinceSeconds === undefined ? sinceTimeMs : nowMs - sinceSeconds * 1000,
    },
  };
}

/** A name without value is true; so is everything but `false` and `0`. */
function flag(value: string | null): boolean {
  return value !== null && value.toLowerCase() !== 'false' && value !== '0';
}
