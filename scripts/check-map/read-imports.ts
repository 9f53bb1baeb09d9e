/** What a TypeScript file imports, by its text alone. */

export interface Import {
  specifier: string;
  /** `import type …` or `export type … from`: gone at run time. */
  isType: boolean;
  line: number;
}

const staticImport = /^(?:import|export)\s+(type\s+)?(?:[\w*\s{},$]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
const dynamicImport = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

export function readImports(text: string): Import[] {
  const code = withoutComments(text);
  const lineOf = (index: number): number => code.slice(0, index).split('\n').length;
  const found: Import[] = [];
  for (const match of code.matchAll(staticImport)) {
    const isType = match[1] !== undefined || importsOnlyTypes(match[0]);
    found.push({ specifier: match[2] ?? '', isType, line: lineOf(match.index) });
  }
  for (const match of code.matchAll(dynamicImport)) {
    found.push({ specifier: match[1] ?? '', isType: false, line: lineOf(match.index) });
  }
  return found.toSorted((a, b) => a.line - b.line);
}

/** `import { type A, type B } from …` leaves nothing to run but the file itself, which has no effects of its own. */
function importsOnlyTypes(statement: string): boolean {
  const names = /\{([^}]*)\}/.exec(statement)?.[1];
  if (names === undefined || /^(?:import|export)\s+\w/.test(statement.replace(/^(import|export)\s+\{/, '{')))
    return false;
  const list = names
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  return list.length > 0 && list.every((name) => name.startsWith('type '));
}

/** Comments become blanks, so that lines stay where they are. Good for code without `/*` inside its strings. */
function withoutComments(text: string): string {
  const blank = (comment: string): string => comment.replace(/[^\n]/g, ' ');
  return text.replace(/(?<=^|\s)\/\*[\s\S]*?\*\//g, blank).replace(/(?<=^|\s)\/\/[^\n]*/g, blank);
}
