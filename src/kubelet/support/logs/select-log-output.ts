/** Which bytes of parsed lines a reader gets to see. Pure: state in, state and bytes out. */
import { type LogLine, type LogTime, isBefore } from './parse-log-line.ts';

export interface OutputOptions {
  /** Prefix each of the container's lines with its time. */
  timestamps: boolean;
  /** Lines from before are left out. */
  since: Pick<LogTime, 'ms' | 'nanos'> | undefined;
  /** Bytes of output at most, prefixes included. */
  limitBytes: number | undefined;
}

export interface OutputState {
  /** The next line of the file starts a line of the container's. */
  atLineStart: boolean;
  bytesLeft: number;
}

export const startOfOutput = ({ limitBytes }: Pick<OutputOptions, 'limitBytes'>): OutputState => ({
  atLineStart: true,
  bytesLeft: limitBytes ?? Number.POSITIVE_INFINITY,
});

/** The line's bytes for the reader (none when it is too old), cut where the limit is reached, and the state after. */
export function selectLogOutput(
  line: LogLine,
  { timestamps, since }: OutputOptions,
  { atLineStart, bytesLeft }: OutputState,
): { output: Buffer[]; next: OutputState } {
  if (since !== undefined && isBefore(line.time, since)) {
    return { output: [], next: { atLineStart: !line.isPartial, bytesLeft } };
  }
  const output: Buffer[] = [];
  let left = bytesLeft;
  const pieces = timestamps && atLineStart ? [Buffer.from(`${line.time.text} `), line.content] : [line.content];
  for (const piece of pieces) {
    const cut = piece.length > left ? piece.subarray(0, left) : piece;
    if (cut.length > 0) output.push(cut);
    left -= cut.length;
  }
  return { output, next: { atLineStart: !line.isPartial, bytesLeft: left } };
}
