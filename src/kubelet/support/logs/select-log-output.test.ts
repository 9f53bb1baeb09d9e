import { describe, expect, it } from 'vitest';
import { type LogLine, parseLogTime } from './parse-log-line.ts';
import { type OutputOptions, selectLogOutput, startOfOutput } from './select-log-output.ts';

function line(second: number, content: string, isPartial = false): LogLine {
  const time = parseLogTime(`2026-01-01T00:00:0${second}Z`);
  if (time === undefined) throw new Error('bad test time');
  return { stream: 'stdout', time, content: Buffer.from(content), isPartial };
}

function show(lines: LogLine[], options: Partial<OutputOptions>): string {
  const all: OutputOptions = { timestamps: false, since: undefined, limitBytes: undefined, ...options };
  let state = startOfOutput(all);
  let text = '';
  for (const each of lines) {
    const { output, next } = selectLogOutput(each, all, state);
    text += Buffer.concat(output).toString();
    state = next;
  }
  return text;
}

const since = parseLogTime('2026-01-01T00:00:02Z');
const stamp = (second: number): string => `2026-01-01T00:00:0${second}.000000000Z `;

describe('selectLogOutput', () => {
  it.each([
    { name: 'lines as they are', lines: [line(1, 'a\n'), line(2, 'b\n')], options: {}, want: 'a\nb\n' },
    {
      name: 'a time at the start of each line of the container, not of each piece',
      lines: [line(1, 'a', true), line(2, 'b\n'), line(3, 'c\n')],
      options: { timestamps: true },
      want: `${stamp(1)}ab\n${stamp(3)}c\n`,
    },
    { name: 'older lines are skipped', lines: [line(1, 'a\n'), line(2, 'b\n')], options: { since }, want: 'b\n' },
    {
      name: 'the limit counts bytes of output',
      lines: [line(1, 'abc\n'), line(2, 'def\n')],
      options: { limitBytes: 6 },
      want: 'abc\nde',
    },
    {
      name: 'the limit counts times, too',
      lines: [line(1, 'abc\n')],
      options: { limitBytes: 33, timestamps: true },
      want: `${stamp(1)}ab`,
    },
  ])('$name', ({ lines, options, want }) => {
    expect(show(lines, options)).toBe(want);
  });
});
