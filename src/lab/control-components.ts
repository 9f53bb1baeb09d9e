/** Stops and starts single processes of a running cluster, as a service manager would on a real node. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { rootInside } from '../adapters/namespaces/namespaces.ts';
import { isRunning, signalProcess, waitUntilGone } from '../adapters/process-table/process-table.ts';
import type { Clock } from '../base/clock.ts';
import { ConflictError, DeadlineError, NotFoundError } from '../base/errors.ts';
import { clusterPaths, readProcesses } from './cluster-state.ts';
import type { ProcessRecord } from './cluster-state.ts';
import type { RunningCluster } from './find-cluster.ts';
import type { LabNode } from './lab-node.ts';
import { inNode } from './node-files.ts';

export interface ComponentOptions {
  cluster: RunningCluster;
  node: LabNode;
  /** As the logs are named: `agent`, `containerd`, `etcd`, `kube-apiserver` … */
  component: string;
  clock: Clock;
}

const stopTimeoutMs = 30_000;

/** @returns false when it did not run */
export async function stopComponent(
  options: ComponentOptions,
  signalName: NodeJS.Signals,
  signal: AbortSignal,
): Promise<boolean> {
  const { id } = await findRecord(options);
  if (!(await signalProcess(id, signalName))) return false;
  if (await waitUntilGone(id, stopTimeoutMs, options.clock, signal)) return true;
  signal.throwIfAborted();
  throw new DeadlineError(
    `Cannot stop ${options.component} on "${options.node.name}": it still runs ${stopTimeoutMs / 1000}s after ${signalName}`,
  );
}

/** With the command that it was started with the first time. @throws {ConflictError} when it runs */
export async function startComponent(options: ComponentOptions, signal: AbortSignal): Promise<void> {
  const { id, command } = await findRecord(options);
  const { node, component } = options;
  if (await isRunning(id)) throw new ConflictError(`Cannot start ${component} on "${node.name}": it runs already`);
  // A killed runtime leaves its socket: who waits for that would find the old one.
  if (component === 'containerd') await rm(join(rootInside(node.init.pid), inNode.containerdSocket), { force: true });
  await node.spawn(component, command, signal);
}

async function findRecord({ cluster, node, component }: ComponentOptions): Promise<ProcessRecord> {
  const records = await readProcesses(clusterPaths(cluster.plan.dir));
  const ofNode = records.filter((record) => record.node === node.name && record.component !== 'init');
  const found = ofNode.find((record) => record.component === component);
  if (found !== undefined) return found;
  const known = ofNode.map((record) => record.component).join(', ');
  throw new NotFoundError(`Cannot find "${component}" on "${node.name}": it has ${known}`);
}
