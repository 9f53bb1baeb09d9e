import { runCommand } from '../../adapters/processes/processes.ts';
import { isConflict, isNotFound } from '../../base/errors.ts';
import type { ApiClient, KubeObject, ResourceType } from '../../client/api-client.ts';
import { HttpApiClient } from '../../client/http-api-client.ts';
import { loadKubeconfig } from '../../client/kubeconfig.ts';
import { deployments, serviceAccounts, services } from '../../client/resource-types.ts';
import { type PlainObject, clusterDnsObjects } from '../cluster-dns-objects.ts';
import { ensureClusterDnsArchive } from '../images/cluster-dns-image.ts';
import { importArchive } from '../load-image.ts';
import { clusterDomain } from '../node-files.ts';
import { onEveryNode } from './create-context.ts';
import type { Action } from './create-context.ts';

/** Two, where they can stand on different nodes; no others get the image. */
const replicasMax = 2;

/**
 * The cluster's name service as a pod, once the nodes are ready: it is a large image, and nobody has to wait for it who
 * looks for no names.
 */
export const deployClusterDns: Action = {
  name: 'cluster dns',
  title: 'cluster DNS',
  needs: ['ready'],
  run: async (context, signal) => {
    const { plan, paths, clock, cacheDir, machine, program } = context;
    if (!context.hasClusterDns) return;
    const client = new HttpApiClient({
      access: await loadKubeconfig(paths.kubeconfig),
      clock,
      userAgentName: 'gantry-lab',
    });
    const listLibraries = async (path: string, inner: AbortSignal): Promise<string> =>
      (await runCommand('ldd', [path], { timeoutMs: 10_000, signal: inner })).stdout;
    try {
      const archive = await ensureClusterDnsArchive(
        { cacheDir, architecture: machine.architecture, program, listLibraries },
        signal,
      );
      const nodeNames = plan.nodes.slice(0, replicasMax).map(({ name }) => name);
      await onEveryNode(context, async (node) => {
        if (nodeNames.includes(node.name)) await importArchive(node, paths, archive, signal);
      });
      const options = { dnsIp: plan.dnsIp, domain: clusterDomain, replicas: nodeNames.length, nodeNames };
      for (const object of clusterDnsObjects(options)) await createObject(client, object, signal);
    } finally {
      client.close();
    }
  },
};

const types: Record<string, ResourceType<KubeObject>> = {
  ServiceAccount: serviceAccounts,
  Service: services,
  Deployment: deployments,
  ClusterRole: rbacType('clusterroles', 'ClusterRole'),
  ClusterRoleBinding: rbacType('clusterrolebindings', 'ClusterRoleBinding'),
};

function rbacType(plural: string, kind: string): ResourceType<KubeObject> {
  return { prefix: '/apis/rbac.authorization.k8s.io/v1', plural, kind, namespaced: false };
}

/** An API server that does not know of permissions needs none. */
async function createObject(client: ApiClient, object: PlainObject, signal: AbortSignal): Promise<void> {
  const type = types[object.kind];
  if (type === undefined) throw new Error(`Cannot create a ${object.kind}: its type is not known here`);
  try {
    await client.create(type, object, signal);
  } catch (err) {
    if (isConflict(err) || (isNotFound(err) && type.prefix.startsWith('/apis/rbac.'))) return;
    throw err;
  }
}
