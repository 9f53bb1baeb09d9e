/** `$(NAME)` in values, commands and arguments. Pure; no shell is involved. */

/**
 * Replaces every `$(NAME)` by what `lookUp` gives. An unknown name stays as it is written, `$$` is a dollar that starts
 * nothing, and what was put in is not looked at again.
 */
export function expand(text: string, lookUp: (name: string) => string | undefined): string {
  let result = '';
  let at = 0;
  for (;;) {
    const dollar = text.indexOf('$', at);
    if (dollar < 0 || dollar === text.length - 1) return result + text.slice(at);
    result += text.slice(at, dollar);
    const next = text[dollar + 1];
    const close = next === '(' ? text.indexOf(')', dollar) : -1;
    if (next === '$') {
      result += '$';
      at = dollar + 2;
    } else if (close >= 0) {
      const name = text.slice(dollar + 2, close);
      result += lookUp(name) ?? `$(${name})`;
      at = close + 1;
    } else {
      result += next === '(' ? '$(' : `$${next ?? ''}`;
      at = dollar + 2;
    }
  }
}

/** A container's command or arguments with its final environment; undefined stays undefined. */
export function expandAll(
  texts: readonly string[] | undefined,
  environment: ReadonlyArray<{ name: string; value: string }>,
): string[] | undefined {
  if (texts === undefined) return undefined;
  const values = new Map(environment.map(({ name, value }) => [name, value]));
  return texts.map((text) => expand(text, (name) => values.get(name)));
}

/** As `expand`, but every name must have a value. @throws {Error} `missing value for A, B`, sorted */
export function expandStrictly(text: string, environment: ReadonlyArray<{ name: string; value: string }>): string {
  const values = new Map(environment.map(({ name, value }) => [name, value]));
  const missing = new Set<string>();
  const result = expand(text, (name) => {
    const value = values.get(name) ?? '';
    if (value === '') missing.add(name);
    return value;
  });
  if (missing.size > 0) throw new Error(`missing value for ${[...missing].toSorted().join(', ')}`);
  return result;
}
