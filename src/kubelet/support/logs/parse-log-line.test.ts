import { describe, expect, it } from 'vitest';
import { detectLogFormat, isBefore, parseLogLine, parseLogTime } from './parse-log-line.ts';

const t = '2026-02-03T04:05:06.123456789Z';

describe('parseLogLine', () => {
  it.each([
    { name: 'a full line', line: `${t} stdout F hello\n`, stream: 'stdout', content: 'hello\n', isPartial: false },
    { name: 'standard error', line: `${t} stderr F oops\n`, stream: 'stderr', content: 'oops\n', isPartial: false },
    { name: 'an empty line', line: `${t} stdout F \n`, stream: 'stdout', content: '\n', isPartial: false },
    {
      name: 'a partial loses its newline',
      line: `${t} stdout P ab\n`,
      stream: 'stdout',
      content: 'ab',
      isPartial: true,
    },
    { name: 'more tags', line: `${t} stdout P:X:Y ab\n`, stream: 'stdout', content: 'ab', isPartial: true },
    { name: 'spaces stay', line: `${t} stdout F  a  b \n`, stream: 'stdout', content: ' a  b \n', isPartial: false },
    { name: 'a torn end', line: `${t} stdout F hel`, stream: 'stdout', content: 'hel', isPartial: false },
    {
      name: 'bytes that are no UTF-8',
      line: `${t} stdout F \xff\n`,
      stream: 'stdout',
      content: '\xff\n',
      isPartial: false,
    },
  ] as const)('CRI: $name', ({ line, stream, content, isPartial }) => {
    const parsed = parseLogLine(Buffer.from(line, 'latin1'), 'cri');
    expect(parsed).toMatchObject({ stream, isPartial, time: { text: t } });
    expect(parsed?.content.toString('latin1')).toBe(content);
  });

  it.each([
    { name: 'no content field', line: `${t} stdout F` },
    { name: 'an unknown stream', line: `${t} stdlog F x\n` },
    { name: 'no time', line: 'yesterday stdout F x\n' },
    { name: 'an impossible time', line: '2026-13-45T99:00:00Z stdout F x\n' },
    { name: 'nothing', line: '\n' },
  ])('CRI: $name is not a line', ({ line }) => {
    expect(parseLogLine(Buffer.from(line), 'cri')).toBeUndefined();
  });

  it('Docker: text, stream and time come from JSON', () => {
    const line = Buffer.from(JSON.stringify({ log: 'hi\n', stream: 'stderr', time: t }));
    const parsed = parseLogLine(line, 'docker-json');
    expect(parsed).toMatchObject({ stream: 'stderr', isPartial: false });
    expect(parsed?.content.toString()).toBe('hi\n');
  });

  it.each(['{"log":"x\\n"}', '{"log":1,"stream":"stdout","time":"x"}', '{torn', 'null', '[]'])(
    'Docker: %s is not a line',
    (line) => {
      expect(parseLogLine(Buffer.from(line), 'docker-json')).toBeUndefined();
    },
  );
});

describe('detectLogFormat', () => {
  it.each([
    { line: `${t} stdout F x\n`, want: 'cri' },
    { line: `{"log":"x\\n","stream":"stdout","time":"${t}"}\n`, want: 'docker-json' },
    { line: 'free text\n', want: undefined },
  ])('$want', ({ line, want }) => {
    expect(detectLogFormat(Buffer.from(line))).toBe(want);
  });
});

describe('parseLogTime', () => {
  it.each([
    { text: '2026-02-03T04:05:06Z', want: '2026-02-03T04:05:06.000000000Z', nanos: 0 },
    { text: '2026-02-03T04:05:06.1Z', want: '2026-02-03T04:05:06.100000000Z', nanos: 0 },
    { text: '2026-02-03T04:05:06.123456789+02:00', want: '2026-02-03T04:05:06.123456789+02:00', nanos: 456789 },
  ])('$text becomes nine digits in its own zone', ({ text, want, nanos }) => {
    expect(parseLogTime(text)).toMatchObject({ text: want, nanos });
  });

  it('orders by nanoseconds within a millisecond', () => {
    expect(isBefore({ ms: 5, nanos: 1 }, { ms: 5, nanos: 2 })).toBe(true);
    expect(isBefore({ ms: 5, nanos: 2 }, { ms: 5, nanos: 2 })).toBe(false);
    expect(isBefore({ ms: 6, nanos: 0 }, { ms: 5, nanos: 2 })).toBe(false);
  });
});
