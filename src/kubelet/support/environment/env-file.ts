/**
 * Files of variables that an init container leaves for later containers (`fileKeyRef`). Pure.
 *
 * One variable is `NAME='value'`: single quotes always, and everything between them, newlines too, is the value. Blank
 * lines, lines that start with `#` and a comment after the closing quote are skipped. Nothing else is allowed.
 */

const nameAtStart = /[^\S\n]*([^\s='"#][^\s='"]*)=/y;
const blankLine = /[^\S\n]*(?:#[^\n]*)?(?:\n|$)/y;
const restOfLine = /[^\S\n]*(?:[^\S\n]#[^\n]*)?(?:\n|$)/y;

/**
 * The value of the first variable of that name; undefined when there is none. What comes after it is not looked at.
 * @throws {SyntaxError} naming the line that is no variable
 */
export function findInEnvFile(text: string, name: string): string | undefined {
  let at = 0;
  while (at < text.length) {
    const blank = match(blankLine, text, at);
    if (blank !== undefined) {
      at = blank.end;
      continue;
    }
    const start = match(nameAtStart, text, at);
    if (start === undefined) throw syntaxError(text, at, "expected NAME='value'");
    const { value, end } = readValue(text, start.end);
    if (start.found === name) return value;
    at = end;
  }
  return undefined;
}

function readValue(text: string, at: number): { value: string; end: number } {
  const next = text[at];
  if (next === undefined || /\s/.test(next)) {
    const newline = text.indexOf('\n', at);
    return { value: '', end: newline < 0 ? text.length : newline + 1 };
  }
  if (next !== "'") throw syntaxError(text, at, 'expected the value in single quotes');
  const close = text.indexOf("'", at + 1);
  if (close < 0) throw syntaxError(text, at, 'the closing quote is missing');
  const rest = match(restOfLine, text, close + 1);
  if (rest === undefined) throw syntaxError(text, close, 'expected nothing but a comment after the value');
  return { value: text.slice(at + 1, close), end: rest.end };
}

function match(pattern: RegExp, text: string, at: number): { found: string; end: number } | undefined {
  pattern.lastIndex = at;
  const found = pattern.exec(text);
  return found === null ? undefined : { found: found[1] ?? '', end: pattern.lastIndex };
}

const syntaxError = (text: string, at: number, what: string): SyntaxError =>
  new SyntaxError(`line ${text.slice(0, at).split('\n').length}: ${what}`);
