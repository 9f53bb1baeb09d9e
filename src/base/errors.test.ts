import { describe, expect, it } from 'vitest';
import {
  ConfigError,
  ConflictError,
  DeadlineError,
  NotFoundError,
  UnavailableError,
  UnimplementedError,
  describeError,
  errnoOf,
  isConflict,
  isDeadline,
  isNotFound,
  isUnavailable,
  isUnimplemented,
} from './errors.ts';

describe('kinds', () => {
  const kinds = [
    { is: isNotFound, error: new NotFoundError('x') },
    { is: isConflict, error: new ConflictError('x') },
    { is: isUnavailable, error: new UnavailableError('x') },
    { is: isDeadline, error: new DeadlineError('x') },
    { is: isUnimplemented, error: new UnimplementedError('x') },
  ];
  it.each(kinds)('$error.name is known through any number of causes, and is nothing else', ({ is, error }) => {
    const wrapped = new Error('outer', { cause: new TypeError('middle', { cause: error }) });
    expect(is(error)).toBe(true);
    expect(is(wrapped)).toBe(true);
    expect(kinds.filter((other) => other.is(wrapped))).toHaveLength(1);
  });

  it.each([undefined, null, 'not found', new Error('not found'), { name: 'NotFoundError' }])('%o is no kind', (thing) =>
    expect(kinds.some(({ is }) => is(thing))).toBe(false),
  );
});

describe('describeError', () => {
  it.each([
    { name: 'one message', error: new Error('a'), want: 'a' },
    { name: 'a chain', error: new Error('a', { cause: new Error('b', { cause: 'c' }) }), want: 'a: b: c' },
    { name: 'a cause that is told already', error: new Error('a: b', { cause: new Error('b') }), want: 'a: b' },
    { name: 'no error at all', error: 'words', want: 'words' },
  ])('$name', ({ error, want }) => expect(describeError(error)).toBe(want));
});

describe('errnoOf', () => {
  it.each([
    { name: 'a system error', error: Object.assign(new Error('x'), { code: 'ENOENT' }), want: 'ENOENT' },
    { name: 'a code that is a number', error: Object.assign(new Error('x'), { code: 5 }), want: undefined },
    { name: 'another error', error: new Error('ENOENT'), want: undefined },
    { name: 'no error', error: { code: 'ENOENT' }, want: undefined },
  ])('$name', ({ error, want }) => expect(errnoOf(error)).toBe(want));
});

it('ConfigError lists every problem', () => {
  const error = new ConfigError('Cannot use "x.yaml"', ['a is wrong', 'b is missing']);
  expect(error.message).toBe('Cannot use "x.yaml": a is wrong; b is missing');
  expect(error.problems).toEqual(['a is wrong', 'b is missing']);
});
