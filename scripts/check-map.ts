/**
 * The repository's own promises: imports keep their direction, nothing imports in a circle, the map in ARCHITECTURE.md
 * is true, names say something, generated files are up to date. Says in words what differs; exit code 1 then.
 */
import { readFile, readdir } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { checkImport, checkPackage, packageOf } from './check-map/check-import.ts';
import { checkName } from './check-map/check-name.ts';
import { compareMap, parseMap } from './check-map/compare-map.ts';
import { findCycles } from './check-map/find-cycles.ts';
import { readImports } from './check-map/read-imports.ts';
import { findStaleFiles } from './check-map/regenerate.ts';

const root = dirname(import.meta.dirname);
/** Folders that are part of their room, not rooms. */
const notRooms = new Set(['generated', 'facts', 'testdata', 'golden']);

interface Tree {
  /** From the root, sorted. */
  files: string[];
  folders: string[];
}

async function readTree(folder: string): Promise<Tree> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true });
  const path = (entry: (typeof entries)[number]): string => relative(root, join(entry.parentPath, entry.name));
  return {
    files: entries
      .filter((entry) => entry.isFile())
      .map(path)
      .toSorted(),
    folders: entries
      .filter((entry) => entry.isDirectory())
      .map(path)
      .toSorted(),
  };
}

function rooms({ files, folders }: Tree): string[] {
  return folders.filter(
    (folder) =>
      !folder.split('/').some((part) => notRooms.has(part)) && files.some((file) => file.startsWith(`${folder}/`)),
  );
}

/** Imports of one file that break a rule; fills `graph` with what runs. */
async function checkFile(
  file: string,
  dependencies: readonly string[],
  exists: (path: string) => boolean,
  graph: Map<string, string[]>,
): Promise<string[]> {
  const isTest = file.endsWith('.test.ts') || !file.startsWith('src/');
  const problems: string[] = [];
  const edges: string[] = [];
  for (const { specifier, isType, line } of readImports(await readFile(join(root, file), 'utf8'))) {
    const where = `${file}:${line}`;
    const tell = (problem: string | undefined): void => {
      if (problem !== undefined) problems.push(`${where}: ${problem}`);
    };
    if (specifier.startsWith('.')) {
      const target = relative(root, join(root, dirname(file), specifier));
      if (!exists(target)) tell(`"${specifier}" does not exist`);
      else if (!isType) edges.push(target);
      if (!isTest)
        tell(target.startsWith('src/') ? checkImport(file, target, isType) : `"${specifier}" is outside of src`);
    } else if (builtinModules.includes(specifier)) {
      tell(`write "node:${specifier}"`);
    } else if (!specifier.startsWith('node:') && !isTest) {
      tell(checkPackage(file, packageOf(specifier), isType, dependencies));
    }
  }
  graph.set(file, edges);
  return problems;
}

const trees = await Promise.all(['src', 'test', 'scripts'].map(readTree));
const files = trees.flatMap((tree) => tree.files);
const known = new Set(files);
const manifest: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
const dependencies = Object.keys((manifest as { dependencies: Record<string, string> }).dependencies); // our own file

const problems: string[] = [];
const graph = new Map<string, string[]>();
for (const file of files.filter((path) => path.endsWith('.ts'))) {
  problems.push(...(await checkFile(file, dependencies, (path) => known.has(path), graph)));
}
for (const cycle of findCycles(graph)) problems.push(`these import each other in a circle: ${cycle.join(', ')}`);
const sources = [...files, ...trees.flatMap((tree) => tree.folders)].filter((path) => !path.includes('/generated/'));
for (const path of sources) problems.push(...[checkName(path)].filter((problem) => problem !== undefined));
const map = parseMap(await readFile(join(root, 'ARCHITECTURE.md'), 'utf8'));
problems.push(...compareMap(map, trees.slice(0, 1).flatMap(rooms)));
problems.push(...(await findStaleFiles(root)));

for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? `map: ${files.length} files keep the rules` : `map: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
