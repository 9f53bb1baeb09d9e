/**
 * `gantry lab delete`: removes a cluster by what is found, not by what was recorded, so that it also cleans up after a
 * half-failed create or a creator that was killed. What is gone already is no failure.
 */
import { findGroup, readCgroupMounts, removeGroup } from '../adapters/cgroup-trees/cgroup-trees.ts';
import { interfaceExists, runIp } from '../adapters/host-network/host-network.ts';
import { findByEnvironment, signalProcess, waitUntilGone } from '../adapters/process-table/process-table.ts';
import type { Clock } from '../base/clock.ts';
import { join } from 'node:path';
import { removeCluster } from './cluster-state.ts';
import { clusterVariable } from './lab-node.ts';
import { cgroupOf, clusterId } from './plan-cluster.ts';

export interface DeleteOptions {
  name: string;
  stateRoot: string;
  clock: Clock;
}

/** Killed processes end at once, but their memory has to be given back, and mounts and interfaces with it. */
const goneTimeoutMs = 30_000;
const cgroupTimeoutMs = 10_000;
const killRoundsMax = 10;

/** @throws {Error} naming what could not be removed; the directory stays then */
export async function deleteCluster({ name, stateRoot, clock }: DeleteOptions, signal: AbortSignal): Promise<void> {
  const dir = join(stateRoot, name);
  await killProcesses(dir, clock, signal);
  // With its last process a node's mounts, interfaces and rules are gone, and the bridge with its holder.
  const hostInterface = `gl-${clusterId(stateRoot, name)}`;
  if (await interfaceExists(hostInterface, signal)) await removeInterface(hostInterface, signal);
  const groups = await findGroup(await readCgroupMounts(), cgroupOf(stateRoot, name));
  await Promise.all(groups.map((group) => removeGroup(group, cgroupTimeoutMs, clock, signal)));
  await removeCluster(dir);
}

/** Everything that carries the cluster's mark. A dying init takes along what lives in its namespaces: all containers. */
async function killProcesses(dir: string, clock: Clock, signal: AbortSignal): Promise<void> {
  for (let round = 0; round < killRoundsMax; round++) {
    const found = (await findByEnvironment(clusterVariable)).filter(
      ({ value, pid }) => value === dir && pid !== process.pid,
    );
    if (found.length === 0) return;
    await Promise.all(found.map((id) => signalProcess(id, 'SIGKILL')));
    const gone = await Promise.all(found.map((id) => waitUntilGone(id, goneTimeoutMs, clock, signal)));
    signal.throwIfAborted();
    const left = found.filter((_, i) => gone[i] === false);
    if (left.length > 0)
      throw new Error(
        `Cannot end the processes ${left.map(({ pid }) => pid).join(', ')}: they do not react to SIGKILL`,
      );
  }
  throw new Error(`Cannot end the processes of "${dir}": new ones keep appearing; is a create running?`);
}

/** The interface goes away by itself when its other end does, which may happen right now. */
async function removeInterface(name: string, signal: AbortSignal): Promise<void> {
  try {
    await runIp([`link delete ${name}`], [], signal);
  } catch (err) {
    if (await interfaceExists(name, signal)) throw err;
  }
}
