/** What the actions of `create` share: the plan, the tools, and what earlier actions have made. */
import type { Clock } from '../../base/clock.ts';
import type { Pki } from '../../bootstrap/pki.ts';
import type { ClusterPaths } from '../cluster-state.ts';
import type { LabNode } from '../lab-node.ts';
import type { ClusterPlan } from '../plan-cluster.ts';
import type { MachineFacts } from '../preflight.ts';
import type { Step } from '../run-steps.ts';

export interface CreateContext {
  readonly plan: ClusterPlan;
  readonly paths: ClusterPaths;
  /** How our own program is started: the runtime and the entry file. */
  readonly program: readonly string[];
  readonly machine: MachineFacts;
  readonly cacheDir: string;
  /** 0 does not wait for the nodes. */
  readonly waitMs: number;
  /** Whether the cluster gets a name service. */
  readonly hasClusterDns: boolean;
  readonly clock: Clock;
  readonly made: Made;
}

export type Action = Step<CreateContext>;

/** Filled by the actions, in the order that their `needs` give. */
export interface Made {
  imageArchive?: string;
  pki?: Pki;
  /** Holds the bridge. */
  bridge?: LabNode;
  nodes: LabNode[];
}

/** @throws {Error} when an action runs before the one that makes what it uses: a mistake in the list */
export function made<K extends keyof Made>(context: CreateContext, what: K): NonNullable<Made[K]> {
  const value = context.made[what];
  if (value === undefined) throw new Error(`Cannot go on: "${what}" is not made yet`);
  return value;
}

/** The node that runs the control plane. */
export function controlPlaneNode(context: CreateContext): LabNode {
  const [node] = context.made.nodes;
  if (node === undefined) throw new Error('Cannot go on: no node is made yet');
  return node;
}

/** Runs the same on every node at once. */
export async function onEveryNode(
  context: CreateContext,
  run: (node: LabNode, plan: ClusterPlan['nodes'][number]) => Promise<void>,
): Promise<void> {
  const plans = new Map(context.plan.nodes.map((plan) => [plan.name, plan]));
  const results = await Promise.allSettled(
    context.made.nodes.map(async (node) => {
      const plan = plans.get(node.name);
      if (plan === undefined) throw new Error(`Cannot find node "${node.name}" in the plan`);
      await run(node, plan);
    }),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
