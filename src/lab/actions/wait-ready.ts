import { withDeadline } from '../../base/deadline.ts';
import { isConflict, isNotFound, isUnavailable } from '../../base/errors.ts';
import type { Clock } from '../../base/clock.ts';
import type { ApiClient } from '../../client/api-client.ts';
import { HttpApiClient } from '../../client/http-api-client.ts';
import { loadKubeconfig } from '../../client/kubeconfig.ts';
import { nodes, serviceAccounts } from '../../client/resource-types.ts';
import { glanceAtRoutes } from '../../adapters/host-network/routes.ts';
import { readTable } from '../../adapters/host-network/rule-tables.ts';
import { enter } from '../../adapters/namespaces/namespaces.ts';
import { isRunning } from '../../adapters/process-table/process-table.ts';
import type { Node } from '../../objects/generated/core-v1.ts';
import { logPath, readProcesses } from '../cluster-state.ts';
import { logTail } from '../lab-node.ts';
import type { ClusterPlan } from '../plan-cluster.ts';
import { onEveryNode } from './create-context.ts';
import type { Action, CreateContext } from './create-context.ts';

const retryMs = 50;
const masqueradeTable = 'gantry-pod-network';
const watchOverMs = 250;
/** At least, also when nobody waits for Ready. */
const registerTimeoutMs = 30_000;

/** Until every node is Ready and pods can be made; fails at once when a process of the cluster dies meanwhile. */
export const waitReady: Action = {
  name: 'ready',
  title: 'nodes Ready',
  needs: ['agents', 'network agents', 'import', 'kube-scheduler', 'kube-controller-manager'],
  run: async (context, signal) => {
    const { clock, paths } = context;
    const client = new HttpApiClient({
      access: await loadKubeconfig(paths.kubeconfig),
      clock,
      userAgentName: 'gantry-lab',
    });
    const end = new AbortController();
    const inner = AbortSignal.any([signal, end.signal]);
    try {
      await Promise.race([watchOverProcesses(context, inner), becomeUsable(client, context, inner)]);
    } finally {
      end.abort();
      client.close();
    }
  },
};

async function becomeUsable(client: ApiClient, context: CreateContext, signal: AbortSignal): Promise<void> {
  const { plan, clock, waitMs } = context;
  await withDeadline(
    'Waiting for the nodes to register',
    Math.max(waitMs, registerTimeoutMs),
    clock,
    signal,
    (deadline) => assignPodNetworks(client, plan, clock, deadline),
  );
  if (waitMs === 0 || plan.disableDefaultCni) return; // nobody is Ready before a network add-on is installed
  await withDeadline('Waiting for the nodes to be Ready', waitMs, clock, signal, async (deadline) => {
    await becomeReady(client, plan, clock, deadline);
    await onEveryNode(context, (node) => becomeConnected(node.init.pid, plan, clock, deadline));
  });
}

/** The pod network of each node was chosen before there was an API; the Node objects, once there, have to say the same. */
async function assignPodNetworks(
  client: ApiClient,
  plan: ClusterPlan,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    plan.nodes.map(async ({ name, podCidrs }) => {
      for (;;) {
        try {
          await client.patch(nodes, { name }, 'merge', { spec: { podCIDR: podCidrs[0], podCIDRs: podCidrs } }, signal);
          return;
        } catch (err) {
          if (!isUnavailable(err) && !isNotFound(err) && !isConflict(err)) {
            // on a slow machine a controller was faster: the network agent does as the Node says
            const { spec } = await client.get(nodes, { name }, signal);
            if (spec.podCIDRs === undefined) throw err;
            return;
          }
        }
        await clock.sleep(retryMs, signal);
        signal.throwIfAborted();
      }
    }),
  );
}

async function becomeReady(client: ApiClient, plan: ClusterPlan, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      const { items } = await client.list(nodes, {}, signal);
      const ready = items.filter(isNodeReady).map(({ metadata }) => metadata.name);
      if (plan.nodes.every(({ name }) => ready.includes(name))) {
        await client.get(serviceAccounts, { namespace: 'default', name: 'default' }, signal);
        return;
      }
    } catch (err) {
      if (!isUnavailable(err) && !isNotFound(err)) throw err;
    }
    await clock.sleep(retryMs, signal);
    signal.throwIfAborted();
  }
}

/** The network agent has done its work: nobody else makes such rules and such routes. */
async function becomeConnected(pid: number, plan: ClusterPlan, clock: Clock, signal: AbortSignal): Promise<void> {
  const isConnected = async (): Promise<boolean> => {
    const gateways = new Set((await glanceAtRoutes(pid)).map(({ gateway }) => gateway));
    const missing = plan.nodes.filter(({ ip, ipv6 = ip }) => !gateways.has(ip) || !gateways.has(ipv6));
    if (missing.length > 1) return false; // the node's own pods need no route
    return (await readTable(masqueradeTable, signal, enter(pid))) !== undefined;
  };
  while (!(await isConnected())) {
    await clock.sleep(retryMs, signal);
    signal.throwIfAborted();
  }
}

function isNodeReady(node: Node): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}

/** Only ever ends by throwing. */
async function watchOverProcesses({ paths, clock }: CreateContext, signal: AbortSignal): Promise<never> {
  const records = await readProcesses(paths);
  for (;;) {
    for (const { node, component, id } of records) {
      if (await isRunning(id)) continue;
      const log = logPath(paths, node, component);
      throw new Error(`${component} on "${node}" has ended; the end of ${log}:\n${await logTail(log)}`);
    }
    await clock.sleep(watchOverMs, signal);
    signal.throwIfAborted();
  }
}
