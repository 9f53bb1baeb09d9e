/** Lines of container log files: what the CRI prescribes, and Docker's old JSON form. Pure. */

/** One line of a log file. */
export interface LogLine {
  stream: 'stdout' | 'stderr';
  time: LogTime;
  /** What the container wrote; ends with a newline unless `isPartial`. */
  content: Buffer;
  /** The container's line goes on in the next line of the file. */
  isPartial: boolean;
}

/** A moment with nanoseconds, and the words that told it. */
export interface LogTime {
  /** Milliseconds since the epoch, rounded down. */
  ms: number;
  /** The rest: 0 to 999_999. */
  nanos: number;
  /** RFC 3339 with exactly nine digits of fraction, in the zone of the original. */
  text: string;
}

export type LogFormat = 'cri' | 'docker-json';

const space = 0x20;
const newline = 0x0a;
const timePattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/;

/** The format of the file that starts with this line; undefined when it is neither. */
export function detectLogFormat(line: Buffer): LogFormat | undefined {
  if (parseCriLine(line) !== undefined) return 'cri';
  if (parseDockerLine(line) !== undefined) return 'docker-json';
  return undefined;
}

/** A line with or without its newline; undefined when it is not of that format. */
export function parseLogLine(line: Buffer, format: LogFormat): LogLine | undefined {
  return format === 'cri' ? parseCriLine(line) : parseDockerLine(line);
}

/** `<RFC 3339> <stdout|stderr> <tags> <content>`; the first of the `:`-separated tags is `F` (full) or `P` (partial). */
function parseCriLine(line: Buffer): LogLine | undefined {
  const timeEnd = line.indexOf(space);
  const streamEnd = timeEnd < 0 ? -1 : line.indexOf(space, timeEnd + 1);
  const tagsEnd = streamEnd < 0 ? -1 : line.indexOf(space, streamEnd + 1);
  if (tagsEnd < 0) return undefined;
  const time = parseLogTime(line.toString('latin1', 0, timeEnd));
  const stream = line.toString('latin1', timeEnd + 1, streamEnd);
  if (time === undefined || (stream !== 'stdout' && stream !== 'stderr')) return undefined;
  const isPartial = line.toString('latin1', streamEnd + 1, tagsEnd).split(':')[0] === 'P';
  const content = line.subarray(tagsEnd + 1);
  const endsLine = content.at(-1) === newline;
  return { stream, time, isPartial, content: isPartial && endsLine ? content.subarray(0, -1) : content };
}

/** `{"log":"text\n","stream":"stdout","time":"…"}`; a text without newline goes on in the next line. */
function parseDockerLine(line: Buffer): LogLine | undefined {
  if (line[0] !== 0x7b) return undefined;
  let fields: unknown;
  try {
    fields = JSON.parse(line.toString('utf8'));
  } catch {
    return undefined; // a torn or foreign line: the caller skips it
  }
  if (typeof fields !== 'object' || fields === null) return undefined;
  const { log, stream, time } = fields as Record<string, unknown>; // an object: every key may be asked for
  if (typeof log !== 'string' || typeof time !== 'string' || (stream !== 'stdout' && stream !== 'stderr')) {
    return undefined;
  }
  const parsedTime = parseLogTime(time);
  if (parsedTime === undefined) return undefined;
  return { stream, time: parsedTime, content: Buffer.from(log), isPartial: !log.endsWith('\n') };
}

export function parseLogTime(text: string): LogTime | undefined {
  const match = timePattern.exec(text);
  if (match === null) return undefined;
  const [, seconds = '', fraction = '', zone = ''] = match;
  const digits = fraction.slice(0, 9).padEnd(9, '0');
  const secondsMs = Date.parse(`${seconds}${zone}`);
  if (Number.isNaN(secondsMs)) return undefined;
  return {
    ms: secondsMs + Number(digits.slice(0, 3)),
    nanos: Number(digits.slice(3)),
    text: `${seconds}.${digits}${zone}`,
  };
}

/** Whether `a` was earlier than `b`. */
export function isBefore(a: Pick<LogTime, 'ms' | 'nanos'>, b: Pick<LogTime, 'ms' | 'nanos'>): boolean {
  return a.ms !== b.ms ? a.ms < b.ms : a.nanos < b.nanos;
}
