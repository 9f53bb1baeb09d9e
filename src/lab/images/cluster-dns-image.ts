/**
 * The image of the cluster's name service: the Node.js that runs us, the libraries that it loads, and our own program.
 * It is large, so it is built when a lab wants it, and kept as long as neither has changed.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { NotFoundError } from '../../base/errors.ts';
import { createOciArchive } from './oci-archive.ts';
import type { ImageSource } from './oci-archive.ts';
import type { TarEntry } from './tar-archive.ts';

export const clusterDnsImage = 'gantry.local/cluster-dns:1';

/** Changes when the code below makes another image of the same files. */
const recipeVersion = 1;

export interface ClusterDnsImageNeed {
  cacheDir: string;
  architecture: string;
  /** How our own program is started: the runtime and the entry file. */
  program: readonly string[];
  /** What the dynamic loader says about a program, as `ldd` prints it. */
  listLibraries: (path: string, signal: AbortSignal) => Promise<string>;
}

/** Makes the archive unless it is there already, and returns its path. Older ones are removed. */
export async function ensureClusterDnsArchive(need: ClusterDnsImageNeed, signal: AbortSignal): Promise<string> {
  const { cacheDir, architecture, program } = need;
  const [runtime = '', entry = ''] = program;
  const node = await realpath(runtime);
  const bundle = await findBundle(entry);
  const [libraries, names] = await Promise.all([
    need.listLibraries(node, signal).then(parseLibraries),
    readdir(bundle, { recursive: true, withFileTypes: true }),
  ]);
  const scripts = names
    .filter((file) => file.isFile() && !file.name.endsWith('.map'))
    .map((file) => relative(bundle, join(file.parentPath, file.name)))
    .toSorted();
  const key = createHash('sha256').update(`${recipeVersion} ${architecture}`);
  for (const path of [node, ...libraries, ...scripts.map((name) => join(bundle, name))]) {
    const { size, mtimeMs } = await stat(path);
    key.update(`${path} ${size} ${mtimeMs}\n`);
  }
  const name = `cluster-dns-${key.digest('hex').slice(0, 16)}.tar`;
  const path = join(cacheDir, name);
  await mkdir(cacheDir, { recursive: true });
  const cached = await readdir(cacheDir);
  if (cached.includes(name)) return path;
  const read = async (from: string, to: string, mode: number): Promise<TarEntry> => ({
    kind: 'file',
    path: to,
    mode,
    content: await readFile(from),
  });
  const image = clusterDnsSource(
    await Promise.all([
      read(node, 'usr/local/bin/node', 0o755),
      ...libraries.map((library) => read(library, library.slice(1), 0o755)),
    ]),
    await Promise.all(scripts.map((script) => read(join(bundle, script), `opt/gantry/${script}`, 0o644))),
  );
  const temporary = `${path}.tmp-${process.pid}`;
  await writeFile(temporary, createOciArchive([image], architecture));
  await rename(temporary, path); // a cluster made at the same moment sees a whole archive or none
  const old = cached.filter((other) => /^cluster-dns-[0-9a-f]+\.tar$/.test(other));
  await Promise.all(old.map((other) => rm(join(cacheDir, other), { force: true })));
  return path;
}

/** Pure: what the image holds. The upper layer alone differs between versions of ours. */
export function clusterDnsSource(runtime: readonly TarEntry[], program: readonly TarEntry[]): ImageSource {
  return {
    name: clusterDnsImage,
    layers: [withDirectories(runtime), withDirectories(program)],
    entrypoint: ['/usr/local/bin/node', '/opt/gantry/gantry.js', 'cluster-dns'],
    exposedPorts: ['53/udp', '53/tcp', '8080/tcp', '8181/tcp', '9153/tcp'],
  };
}

/**
 * The files of `ldd`'s lines: `libm.so.6 => /lib/…/libm.so.6 (0x…)`, and the loader itself, which has no arrow. What the
 * kernel maps by itself (vdso) is no file.
 *
 * @throws {NotFoundError} for a library that this machine lacks
 */
export function parseLibraries(text: string): string[] {
  const paths: string[] = [];
  for (const line of text.split('\n')) {
    if (line.includes('not found')) throw new NotFoundError(`Cannot run Node.js in an image: ${line.trim()}`);
    const match = /(?:=>\s+)?(\/\S+)\s+\(0x/.exec(line);
    if (match?.[1] !== undefined) paths.push(match[1]);
  }
  return paths;
}

function withDirectories(entries: readonly TarEntry[]): TarEntry[] {
  const directories = new Set<string>();
  for (const { path } of entries) {
    for (let at = dirname(path); at !== '.'; at = dirname(at)) directories.add(at);
  }
  const sorted = [...directories].toSorted(); // parents first
  return [...sorted.map((path): TarEntry => ({ kind: 'directory', path, mode: 0o755 })), ...entries];
}

/** Our program as one bundle: itself, or what was built of the sources that run. */
async function findBundle(entry: string): Promise<string> {
  const candidates = [dirname(entry), join(dirname(dirname(entry)), 'dist')];
  for (const directory of candidates) {
    try {
      await stat(join(directory, 'chunks'));
      await stat(join(directory, 'gantry.js'));
      return directory;
    } catch {
      // not that one
    }
  }
  throw new NotFoundError(
    `Cannot make the image of the name service: there is no bundle in ${candidates.join(' or ')}; npm run build`,
  );
}
