/**
 * Bundles the program into `dist/gantry.js`, with one chunk per command so that each pays for its own imports.
 * `dist/` runs with nothing but Node and the `proto/` folder beside it; what cannot be bundled is copied into it.
 */
import { chmod, cp, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type BuildOptions, type Metafile, type Plugin, build } from 'esbuild';

const root = dirname(import.meta.dirname);
const require = createRequire(import.meta.url);

/** The logger's pretty printer runs in a worker, which is a file of its own: pino looks here for it. */
const workers = {
  'thread-stream-worker': require.resolve('thread-stream/lib/worker.js', { paths: [require.resolve('pino')] }),
  'pino-worker': require.resolve('pino/lib/worker.js'),
  'pino-pretty': require.resolve('pino-pretty'),
};

const hashBang = '#!/usr/bin/env node';

/** What bundled CommonJS expects to find, in a module. Its first line makes room for `hashBang`, so that maps fit. */
const preamble = `//
import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);
const __filename = import.meta.filename, __dirname = import.meta.dirname;`;

const pinoPaths = `globalThis.__bundlerPathsOverrides = Object.fromEntries(${JSON.stringify(Object.keys(workers))}.map(
  (name) => [name, import.meta.dirname.replace(/\\/chunks$/, '') + '/workers/' + name + '.js']));`;

/**
 * CommonJS packages that are loaded with `import()`. In a bundle such a module has a default export only, so each gets
 * a module in between that has the names which Node would find.
 */
const lateCommonJs = ['prom-client'];

const nameExports: Plugin = {
  name: 'name-exports',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: new RegExp(`^(${lateCommonJs.join('|')})$`) }, ({ path, kind }) =>
      kind === 'dynamic-import' ? { path, namespace: 'named' } : undefined,
    );
    onLoad({ filter: /./, namespace: 'named' }, async ({ path }) => {
      const names = Object.keys((await import(path)) as object).filter((name) => /^(?!default$)\w+$/.test(name));
      const exports = names.map((name) => `export const ${name} = all.${name};`);
      return { contents: `import all from '${path}';\n${exports.join('\n')}`, resolveDir: root };
    });
  },
};

/**
 * Whoever imports `node:http` by name is given all of its names, WebSocket among them, for which Node loads a whole HTTP
 * client of 14 MB that nobody here uses. Taken as an object it has only what is asked of it.
 */
const leanHttp: Plugin = {
  name: 'lean-http',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^node:http$/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'lean' } : undefined,
    );
    onLoad({ filter: /./, namespace: 'lean' }, ({ path }) => {
      const names = Object.entries(Object.getOwnPropertyDescriptors(require(path)))
        .filter(([, { get }]) => get === undefined)
        .map(([name]) => name);
      const contents = `const all = process.getBuiltinModule('${path}');\nexport default all;\nexport const { ${names.join(', ')} } = all;`;
      return { contents };
    });
  },
};

/** @throws {Error} when a bundled `import()` would not find the names that it does in the sources */
function checkLateImports({ inputs }: Metafile): void {
  for (const [path, { imports }] of Object.entries(inputs)) {
    for (const { kind, path: target } of imports) {
      if (kind !== 'dynamic-import' || inputs[target]?.format !== 'cjs') continue;
      throw new Error(`Cannot bundle "${path}": "${target}" is CommonJS; add its package to lateCommonJs`);
    }
  }
}

async function bundle(dist: string): Promise<void> {
  const common = {
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    sourcemap: true,
    sourcesContent: false,
    // V8 keeps the text of what runs: without comments and indents that is 3 MB less. Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    absWorkingDir: root,
  } satisfies BuildOptions;
  const [{ metafile }] = await Promise.all([
    build({
      ...common,
      plugins: [nameExports, leanHttp],
      metafile: true,
      entryPoints: { gantry: 'src/main.ts' },
      outdir: dist,
      splitting: true,
      chunkNames: 'chunks/[name]-[hash]',
      external: ['koffi'], // finds its native library relative to its own files
      banner: { js: `${preamble}\n${pinoPaths}` },
    }),
    build({ ...common, entryPoints: workers, outdir: join(dist, 'workers'), banner: { js: preamble } }),
  ]);
  checkLateImports(metafile);
}

/** koffi and its library for this machine, where the bundle's own resolution finds them. */
async function copyKoffi(dist: string): Promise<void> {
  const from = join(root, 'node_modules');
  const to = join(dist, 'node_modules');
  const native = `@koromix/koffi-${process.platform}-${process.arch}`;
  const isCode = async (path: string): Promise<boolean> =>
    (await stat(path)).isDirectory()
      ? !path.endsWith('/vendor') && !path.endsWith('/doc')
      : /\.(c?js|json|txt)$/.test(path);
  await Promise.all([
    cp(join(from, 'koffi'), join(to, 'koffi'), { recursive: true, filter: isCode }),
    cp(join(from, native), join(to, native), { recursive: true }),
  ]);
}

/** Lets the bundle be started as a program, on the Node that comes first in PATH. */
async function makeExecutable(path: string): Promise<void> {
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace(/^.*/, hashBang));
  await chmod(path, 0o755);
}

const startMs = performance.now();
const dist = join(root, 'dist');
// beside the old one, which programs may still be loading from, and swapped when it is whole
const next = join(root, 'node_modules', `.gantry-dist-${process.pid}`);
await mkdir(next, { recursive: true });
try {
  await Promise.all([bundle(next), copyKoffi(next)]);
  await makeExecutable(join(next, 'gantry.js'));
  await rm(dist, { recursive: true, force: true });
  await rename(next, dist);
} finally {
  await rm(next, { recursive: true, force: true });
}
console.log(`built dist/gantry.js in ${((performance.now() - startMs) / 1000).toFixed(1)}s`);
