import { describe, expect, it } from 'vitest';
import { readImports } from './read-imports.ts';

describe('readImports', () => {
  it.each([
    { name: 'names', text: `import { a } from './a.ts';`, want: [['./a.ts', false]] },
    { name: 'a default', text: `import a from "a";`, want: [['a', false]] },
    { name: 'everything', text: `import * as a from 'a';`, want: [['a', false]] },
    { name: 'effects', text: `import './a.ts';`, want: [['./a.ts', false]] },
    { name: 'types', text: `import type { A } from './a.ts';`, want: [['./a.ts', true]] },
    { name: 'only types among names', text: `import { type A, type B } from './a.ts';`, want: [['./a.ts', true]] },
    { name: 'types and values', text: `import { type A, b } from './a.ts';`, want: [['./a.ts', false]] },
    { name: 'a default beside types', text: `import a, { type A } from './a.ts';`, want: [['./a.ts', false]] },
    { name: 'several lines', text: `import {\n  a,\n  b,\n} from './a.ts';`, want: [['./a.ts', false]] },
    { name: 'exports', text: `export { a } from './a.ts';`, want: [['./a.ts', false]] },
    { name: 'exported types', text: `export type { A } from './a.ts';`, want: [['./a.ts', true]] },
    { name: 'at run time', text: ['const load = () => import', `('./a.ts');`].join(''), want: [['./a.ts', false]] },
    { name: 'nothing in comments', text: `// import { a } from './a.ts';\n/* import './b.ts'; */`, want: [] },
    {
      name: 'nothing in what only looks so',
      text: `const text = "import { a } from 'a'";\nexport const b = 1;`,
      want: [],
    },
    {
      name: 'all of several',
      text: `import a from 'a';\nimport { b } from 'b';\n\nexport const c = 'from';\nexport function d() {}\n`,
      want: [
        ['a', false],
        ['b', false],
      ],
    },
  ])('reads $name', ({ text, want }) => {
    expect(readImports(text).map(({ specifier, isType }) => [specifier, isType])).toEqual(want);
  });

  it('knows the line', () => {
    expect(readImports(`/* two\nlines */\nimport 'a';`)).toEqual([{ specifier: 'a', isType: false, line: 3 }]);
  });
});
