/** Runs the generators beside the tree and compares: what is generated is never older than its source. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const generators = ['generate-objects.ts', 'generate-grpc-types.ts', 'generate-api-tables.ts'];
/** What the generators read. */
const inputs = ['proto', 'node_modules', 'src/objects/facts', '.oxfmtrc.json'];
/** What they write. */
const outputs = [
  'src/objects/generated',
  'src/adapters/cri/generated',
  'src/adapters/csi/generated',
  'src/adapters/etcd/generated',
  'src/adapters/plugin-registration/generated',
  'src/apiserver/resources/generated',
];

/** What differs, in words. */
export async function findStaleFiles(root: string): Promise<string[]> {
  const beside = await mkdtemp(join(tmpdir(), 'gantry-generate-'));
  try {
    for (const input of inputs) {
      await mkdir(dirname(join(beside, input)), { recursive: true });
      await symlink(join(root, input), join(beside, input));
    }
    // in their order: a later one adds to the folder that an earlier one makes anew
    for (const file of generators) {
      await promisify(execFile)(process.execPath, [join(root, 'scripts', file)], { cwd: beside });
    }
    const problems: string[] = [];
    for (const output of outputs) problems.push(...(await compareFolders(root, beside, output)));
    return problems;
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}

async function compareFolders(root: string, beside: string, folder: string): Promise<string[]> {
  const [kept, fresh] = await Promise.all([readFolder(join(root, folder)), readFolder(join(beside, folder))]);
  const problems: string[] = [];
  for (const name of new Set([...kept.keys(), ...fresh.keys()])) {
    if (kept.get(name) === fresh.get(name)) continue;
    const what = !kept.has(name) ? 'is missing' : !fresh.has(name) ? 'is generated no more' : 'is out of date';
    problems.push(`"${folder}/${name}" ${what}: run \`npm run generate\``);
  }
  return problems;
}

async function readFolder(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(async (path) => [path.slice(folder.length + 1), await readFile(path, 'utf8')] as const),
    ),
  );
}
