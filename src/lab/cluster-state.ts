/**
 * What a cluster leaves on disk, and where: one directory per cluster below the state root, with the plan in
 * `cluster.json` (written before anything is made, so that `delete` always knows) and a record per process.
 */
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessId } from '../adapters/process-table/process-table.ts';
import { ConflictError, NotFoundError } from '../base/errors.ts';
import type { ClusterPlan } from './plan-cluster.ts';

export interface ClusterPaths {
  dir: string;
  plan: string;
  /** Output of every process, a file each. */
  logs: string;
  processes: string;
  pki: string;
  /** The administrator's kubeconfig. */
  kubeconfig: string;
  node(name: string): NodePaths;
}

export interface NodePaths {
  dir: string;
  /** The node's own `/var`. */
  var: string;
  /** What differs from the machine's `/etc` in the node. */
  etcUpper: string;
  etcWork: string;
}

/** A process as it was started; the id tells whether it is still the same one. */
export interface ProcessRecord {
  node: string;
  component: string;
  id: ProcessId;
  command: readonly string[];
}

/** The state root: `GANTRY_LAB_ROOT`, or the standard place. */
export function stateRoot(env: NodeJS.ProcessEnv): string {
  return env['GANTRY_LAB_ROOT'] ?? '/var/lib/gantry/lab';
}

/** Archives that clusters share; the leading dot keeps it apart from cluster names. */
export function cacheDir(root: string): string {
  return join(root, '.cache');
}

export function clusterPaths(dir: string): ClusterPaths {
  return {
    dir,
    plan: join(dir, 'cluster.json'),
    logs: join(dir, 'logs'),
    processes: join(dir, 'processes'),
    pki: join(dir, 'pki'),
    kubeconfig: join(dir, 'kubeconfig'),
    node: (name) => {
      const node = join(dir, 'nodes', name);
      return { dir: node, var: join(node, 'var'), etcUpper: join(node, 'etc'), etcWork: join(node, 'etc-work') };
    },
  };
}

export function logPath(paths: ClusterPaths, node: string, component: string): string {
  return join(paths.logs, `${node}.${component}.log`);
}

/** Takes the cluster's name: of two that try at once, one gets it. @throws {ConflictError} */
export async function claimCluster(root: string, plan: ClusterPlan): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o711 });
  try {
    await mkdir(plan.dir, { mode: 0o700 });
  } catch (err) {
    if (!(err instanceof Error && 'code' in err && err.code === 'EEXIST')) throw err;
    throw new ConflictError(
      `Cannot create cluster "${plan.name}": there is one already; choose another with --name, or run: gantry lab delete --name ${plan.name}`,
    );
  }
  const paths = clusterPaths(plan.dir);
  await Promise.all([mkdir(paths.logs), mkdir(paths.processes)]);
  await writeJson(paths.plan, plan);
}

/** @throws {NotFoundError} */
export async function readPlan(root: string, name: string): Promise<ClusterPlan> {
  const plan = await readPlanIfThere(root, name);
  if (plan !== undefined) return plan;
  const names = await listClusters(root);
  const known =
    names.length === 0 ? 'there is none; make one with: gantry lab create' : `there are: ${names.join(', ')}`;
  throw new NotFoundError(`Cannot find cluster "${name}": ${known}`);
}

/** Undefined when there is no cluster of that name, or its creator died before it could write the plan. */
export async function readPlanIfThere(root: string, name: string): Promise<ClusterPlan | undefined> {
  return readJson<ClusterPlan>(clusterPaths(join(root, name)).plan);
}

export async function listClusters(root: string): Promise<string[]> {
  return (await listDirectory(root)).filter((name) => !name.startsWith('.')).toSorted();
}

export async function recordProcess(paths: ClusterPaths, record: ProcessRecord): Promise<void> {
  await writeJson(join(paths.processes, `${record.node}.${record.component}.json`), record);
}

export async function readProcesses(paths: ClusterPaths): Promise<ProcessRecord[]> {
  const names = (await listDirectory(paths.processes)).filter((name) => name.endsWith('.json')).toSorted();
  const records = await Promise.all(names.map((name) => readJson<ProcessRecord>(join(paths.processes, name))));
  return records.filter((record) => record !== undefined);
}

export async function removeCluster(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true });
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(`${path}.tmp`, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

/** Only reads what `writeJson` wrote, hence the cast. A torn file is as good as none. */
async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (err) {
    if (err instanceof SyntaxError || (err instanceof Error && 'code' in err && err.code === 'ENOENT'))
      return undefined;
    throw err;
  }
}

async function listDirectory(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return [];
    throw err;
  }
}
