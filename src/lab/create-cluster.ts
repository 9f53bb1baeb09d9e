/**
 * `gantry lab create`: READ THIS FIRST. A cluster is made by a list of actions, each in a file of its own, that run
 * as soon as those that they need are done.
 *
 * Owns the order and what happens on failure: what was made stays to be looked at, and the message says where.
 * Needs a plan, a machine that is fit, and somebody who shows progress.
 */
import type { Clock } from '../base/clock.ts';
import { buildImages } from './actions/build-images.ts';
import { createCertificates, distributeCertificates } from './actions/create-certificates.ts';
import type { Action, CreateContext } from './actions/create-context.ts';
import { createNetwork } from './actions/create-network.ts';
import { createNodes } from './actions/create-nodes.ts';
import { deployClusterDns } from './actions/deploy-cluster-dns.ts';
import { importImages } from './actions/import-images.ts';
import { startAgents, startNetworkAgents } from './actions/start-agents.ts';
import { startContainerd } from './actions/start-containerd.ts';
import { startApiServer, startControllerManager, startScheduler } from './actions/start-control-plane.ts';
import { startEtcd } from './actions/start-etcd.ts';
import { waitReady } from './actions/wait-ready.ts';
import { usedNetworks } from '../adapters/host-network/host-network.ts';
import { cacheDir, claimCluster, clusterPaths } from './cluster-state.ts';
import type { ClusterConfig } from './parse-cluster-config.ts';
import { planCluster } from './plan-cluster.ts';
import type { ClusterPlan } from './plan-cluster.ts';
import { assertFit, gatherMachineFacts } from './preflight.ts';
import { runSteps } from './run-steps.ts';
import type { StepTime } from './run-steps.ts';

/** What can start at once comes first. */
export const actions: readonly Action[] = [
  buildImages,
  createCertificates,
  createNetwork,
  createNodes,
  distributeCertificates,
  startEtcd,
  startContainerd,
  importImages,
  startApiServer,
  startScheduler,
  startControllerManager,
  startAgents,
  startNetworkAgents,
  waitReady,
  deployClusterDns,
];

export interface CreateOptions {
  config: ClusterConfig;
  stateRoot: string;
  /** How our own program is started: the runtime and the entry file, both absolute. */
  program: readonly string[];
  waitMs: number;
  hasClusterDns: boolean;
  clock: Clock;
  onPlan: (plan: ClusterPlan) => void;
  onStep: (time: StepTime) => void;
}

/** A cluster that could not be made as far as it came: it can be looked at, and deleted. */
export class CreateError extends Error {
  override name = 'CreateError';
  constructor(plan: ClusterPlan, cause: unknown) {
    super(
      `Cannot create cluster "${plan.name}"; its logs are in ${clusterPaths(plan.dir).logs}, remove it with: gantry lab delete --name ${plan.name}`,
      { cause },
    );
  }
}

/**
 * @throws {ConfigError} when the machine is not fit; nothing has been made then
 * @throws {ConflictError} when there is a cluster of that name
 * @throws {CreateError}
 */
export async function createCluster(
  options: CreateOptions,
  signal: AbortSignal,
): Promise<{ plan: ClusterPlan; times: StepTime[] }> {
  const { config, stateRoot, program, waitMs, hasClusterDns, clock, onPlan, onStep } = options;
  const beginMs = clock.monotonicMs();
  const machine = await gatherMachineFacts();
  assertFit(machine, { config, stateRoot, program });
  const plan = planCluster(config, stateRoot, await usedNetworks(signal), clock.nowMs());
  await claimCluster(stateRoot, plan);
  onPlan(plan);
  const preflight: StepTime = {
    name: 'preflight',
    title: 'preflight',
    startMs: 0,
    durationMs: clock.monotonicMs() - beginMs,
  };
  onStep(preflight);
  const context: CreateContext = {
    plan,
    paths: clusterPaths(plan.dir),
    program,
    machine,
    cacheDir: cacheDir(stateRoot),
    waitMs,
    hasClusterDns,
    clock,
    made: { nodes: [] },
  };
  try {
    const times = await runSteps(actions, context, { clock, onDone: onStep }, signal);
    const shifted = times.map((time) => ({ ...time, startMs: time.startMs + preflight.durationMs }));
    return { plan, times: [preflight, ...shifted] };
  } catch (err) {
    throw new CreateError(plan, err);
  }
}
