/** Keeps the CNI configuration of this node's pods where the runtime looks for it. */
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { podConflistName } from '../../adapters/cni/pod-conflist.ts';
import { type ConfigFile, type ConflistPlan, isConfigFile, isOurs, planConflist } from '../compute/conflist.ts';

/** Enough for any configuration: what is longer is read as far, and is none then. */
const bytesMax = 1024 * 1024;

/** Looks, and writes when something else is wanted. Never touches a file that somebody else wrote. */
export async function keepConflist(directory: string, wanted: string): Promise<ConflistPlan> {
  const plan = planConflist(wanted, await readConfigs(directory));
  if (plan.kind !== 'write') return plan;
  await mkdir(directory, { recursive: true });
  // The runtime looks at what is renamed, and only at names with an ending that it knows: it never sees half a file.
  const unfinished = join(directory, `${podConflistName}.temp`);
  await writeFile(unfinished, wanted, { mode: 0o644, flush: true });
  await rename(unfinished, join(directory, podConflistName));
  return plan;
}

/** @returns whether there was one of ours */
export async function removeConflist(directory: string): Promise<boolean> {
  const own = (await readConfigs(directory)).find(({ name }) => name === podConflistName);
  await rm(join(directory, `${podConflistName}.temp`), { force: true });
  if (own === undefined || !isOurs(own.content)) return false;
  await rm(join(directory, podConflistName), { force: true });
  return true;
}

async function readConfigs(directory: string): Promise<ConfigFile[]> {
  const names = await readdir(directory).catch((err: unknown) => orMissing(err, []));
  const files = await Promise.all(
    names.filter(isConfigFile).map(async (name) => {
      const content = await readFile(join(directory, name), 'utf8').catch((err: unknown) => orMissing(err, undefined));
      return content === undefined ? undefined : { name, content: content.slice(0, bytesMax) };
    }),
  );
  return files.filter((file) => file !== undefined);
}

/** What has just been removed is not there, and a directory is no file. */
function orMissing<T>(err: unknown, value: T): T {
  if (err instanceof Error && 'code' in err && (err.code === 'ENOENT' || err.code === 'EISDIR')) return value;
  throw err;
}
