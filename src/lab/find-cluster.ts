/** What runs of a cluster: for everything that is done to one after it was made. */
import type { Clock } from '../base/clock.ts';
import { UnavailableError } from '../base/errors.ts';
import { isRunning } from '../adapters/process-table/process-table.ts';
import { clusterPaths, readPlan, readPlanIfThere, readProcesses } from './cluster-state.ts';
import { LabNode } from './lab-node.ts';
import type { ClusterPlan } from './plan-cluster.ts';

export interface RunningCluster {
  plan: ClusterPlan;
  /** In the plan's order; those whose init has ended are left out. */
  nodes: LabNode[];
}

/** @throws {NotFoundError} when there is no such cluster */
export async function findCluster(root: string, name: string, clock: Clock): Promise<RunningCluster> {
  const plan = await readPlan(root, name);
  const paths = clusterPaths(plan.dir);
  const inits = (await readProcesses(paths)).filter(({ component }) => component === 'init');
  const nodes = await Promise.all(
    plan.nodes.map(async (node) => {
      const init = inits.find((record) => record.node === node.name)?.id;
      return init !== undefined && (await isRunning(init)) ? [new LabNode(node.name, init, paths, clock)] : [];
    }),
  );
  return { plan, nodes: nodes.flat() };
}

/** @throws {UnavailableError} when the node does not run */
export function nodeOf({ plan, nodes }: RunningCluster, name: string | undefined): LabNode {
  const wanted = name ?? plan.nodes[0]?.name;
  const node = nodes.find((candidate) => candidate.name === wanted);
  if (node !== undefined) return node;
  const running =
    nodes.length === 0 ? 'none runs' : `these run: ${nodes.map((candidate) => candidate.name).join(', ')}`;
  throw new UnavailableError(`Cannot find node "${wanted}" of cluster "${plan.name}": ${running}`);
}

export type ClusterState = 'running' | 'degraded' | 'stopped' | 'incomplete';

/** One line of `gantry lab list`. */
export async function clusterSummary(
  root: string,
  name: string,
): Promise<{ state: ClusterState; nodes: number; server: string }> {
  const plan = await readPlanIfThere(root, name);
  if (plan === undefined) return { state: 'incomplete', nodes: 0, server: '' };
  const records = await readProcesses(clusterPaths(plan.dir));
  const running = await Promise.all(records.map(({ id }) => isRunning(id)));
  const state = running.every((is) => !is) ? 'stopped' : running.every((is) => is) ? 'running' : 'degraded';
  return { state, nodes: plan.nodes.length, server: plan.server };
}
