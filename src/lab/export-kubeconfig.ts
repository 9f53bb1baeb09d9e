/** Puts a cluster's entries into a user's kubeconfig, and takes them out again, leaving all others as they are. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parse, stringify } from 'yaml';

type Kubeconfig = Record<string, unknown>;

const lists = ['clusters', 'contexts', 'users'] as const;

/** Merges and makes the cluster's context the current one. The file is made with mode 0600. */
export async function addToKubeconfig(path: string, cluster: string): Promise<void> {
  const existing = await readIfThere(path);
  await write(path, mergeKubeconfigs(existing === undefined ? {} : read(path, existing), read('the cluster', cluster)));
}

/** @param name of cluster, context and user alike */
export async function removeFromKubeconfig(path: string, name: string): Promise<void> {
  const existing = await readIfThere(path);
  if (existing === undefined) return;
  const rest = withoutEntries(read(path, existing), name);
  if (lists.every((list) => entriesOf(rest, list).length === 0)) await rm(path, { force: true });
  else await write(path, rest);
}

export function mergeKubeconfigs(existing: Kubeconfig, added: Kubeconfig): Kubeconfig {
  const merged: Kubeconfig = { apiVersion: 'v1', kind: 'Config', preferences: {}, ...existing };
  for (const list of lists) {
    const names = entriesOf(added, list).map(({ name }) => name);
    merged[list] = [
      ...entriesOf(existing, list).filter(({ name }) => !names.includes(name)),
      ...entriesOf(added, list),
    ];
  }
  merged['current-context'] = added['current-context'];
  return merged;
}

export function withoutEntries(existing: Kubeconfig, name: string): Kubeconfig {
  const rest: Kubeconfig = { ...existing };
  for (const list of lists) rest[list] = entriesOf(existing, list).filter((entry) => entry.name !== name);
  if (rest['current-context'] === name) delete rest['current-context'];
  return rest;
}

function entriesOf(config: Kubeconfig, list: (typeof lists)[number]): Array<{ name: unknown }> {
  const value = config[list];
  if (!Array.isArray(value)) return []; // kubectl writes `null` for an empty list
  return value.filter(
    (entry): entry is { name: unknown } => typeof entry === 'object' && entry !== null && 'name' in entry,
  );
}

function read(path: string, text: string): Kubeconfig {
  const value: unknown = parse(text) ?? {};
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`Cannot use "${path}": it is not a kubeconfig`);
  return value as Kubeconfig; // an object; the lists are checked where they are read
}

async function write(path: string, config: Kubeconfig): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.tmp-${process.pid}`;
  await writeFile(temporary, stringify(config, { lineWidth: 0 }), { mode: 0o600 });
  await rename(temporary, path);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return undefined;
    throw new Error(`Cannot read the kubeconfig "${path}"`, { cause: err });
  }
}
