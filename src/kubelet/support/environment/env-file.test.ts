import { describe, expect, it } from 'vitest';
import { findInEnvFile } from './env-file.ts';

describe('findInEnvFile', () => {
  it.each([
    { name: 'one variable', text: "K='v'", want: 'v' },
    { name: 'of many', text: "A='1'\nK='v'\nB='2'\n", want: 'v' },
    { name: 'comments, blanks and blank lines', text: "# c\n\n  \t\n  # d\n  K='v'  # why\n", want: 'v' },
    {
      name: 'a value of several lines, taken literally',
      text: 'K=\'a\n$(B) "x" # no comment\\n\'\n',
      want: 'a\n$(B) "x" # no comment\\n',
    },
    { name: 'the first of two', text: "K='1'\nK='2'", want: '1' },
    { name: 'what stands after it is not looked at', text: "K='1'\nnonsense", want: '1' },
    { name: 'a blank after the sign: empty', text: "K= 'v'\n", want: '' },
    { name: 'nothing after the sign: empty', text: 'K=\n', want: '' },
    { name: 'an empty value', text: "K=''", want: '' },
    { name: 'not there', text: "A='K=1'\n", want: undefined },
    { name: 'an empty file', text: '', want: undefined },
  ])('$name', ({ text, want }) => {
    expect(findInEnvFile(text, 'K')).toBe(want);
  });

  it.each([
    { name: 'a blank before the sign', text: "K ='v'", want: "line 1: expected NAME='value'" },
    { name: 'double quotes', text: 'K="v"', want: 'line 1: expected the value in single quotes' },
    { name: 'no quotes', text: "A='1'\nK=v", want: 'line 2: expected the value in single quotes' },
    { name: 'an open quote', text: "\nK='v", want: 'line 2: the closing quote is missing' },
    { name: 'more after the value', text: "K='v'x", want: 'line 1: expected nothing but a comment after the value' },
    { name: 'export', text: "export K='v'", want: "line 1: expected NAME='value'" },
    { name: 'no name', text: "='v'", want: "line 1: expected NAME='value'" },
  ])('refuses $name', ({ text, want }) => {
    expect(() => findInEnvFile(text, 'K')).toThrow(new SyntaxError(want));
  });
});
