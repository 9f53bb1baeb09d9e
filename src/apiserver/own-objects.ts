/**
 * What the API server itself keeps in the cluster: the system namespaces and priority classes, the Service
 * default/kubernetes with its endpoints, and the map by which extensions know the client authority.
 */
import type { Service } from '../objects/generated/core-v1.ts';
import { type ApiObject, isSameJson, type JsonObject } from './resources/api-object.ts';
import type { Registry, WriteContext } from './resources/registry.ts';
import type { ResourceTable } from './resources/resource-table.ts';
import { type Resource, typed } from './resources/resource.ts';
import type { ServiceAllocator } from './resources/service-allocator.ts';
import { StatusError } from './resources/status-error.ts';

export interface OwnObjectsNeed {
  registry: Registry;
  table: ResourceTable;
  allocator: ServiceAllocator;
  /** Where clients in the cluster reach this server. */
  advertiseAddress: string;
  securePort: number;
  /** PEM. */
  clientAuthority: string;
}

const systemNamespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
const systemPriorities = { 'system-node-critical': 2_000_001_000, 'system-cluster-critical': 2_000_000_000 };

/** Makes what is missing and mends what differs; several runs do no harm. */
export async function ensureOwnObjects(need: OwnObjectsNeed, signal: AbortSignal): Promise<void> {
  const { table, allocator, registry } = need;
  const services = table.must('v1', 'services');
  const cache = registry.cache(services);
  await cache.ready(signal);
  for (const { object } of cache.values()) allocator.adopt(typed<Service>(object));

  for (const name of systemNamespaces)
    await ensure(need, table.must('v1', 'namespaces'), '', { metadata: { name } }, signal);
  for (const [name, value] of Object.entries(systemPriorities)) {
    const description = name.includes('node')
      ? 'Used for system critical pods that must not be moved from their current node.'
      : 'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.';
    await ensure(
      need,
      table.must('scheduling.k8s.io/v1', 'priorityclasses'),
      '',
      { metadata: { name }, value, description },
      signal,
    );
  }
  await ensure(
    need,
    table.must('v1', 'configmaps'),
    'kube-system',
    { metadata: { name: 'extension-apiserver-authentication' }, data: { 'client-ca-file': need.clientAuthority } },
    signal,
  );
  await ensureKubernetesService(need, signal);
}

async function ensureKubernetesService(need: OwnObjectsNeed, signal: AbortSignal): Promise<void> {
  const { table, allocator, advertiseAddress, securePort } = need;
  const services = table.must('v1', 'services');
  const port = { name: 'https', port: 443, protocol: 'TCP', targetPort: securePort };
  const service = {
    metadata: { name: 'kubernetes', labels: { component: 'apiserver', provider: 'kubernetes' } },
    spec: { type: 'ClusterIP', clusterIP: allocator.firstIp, ports: [port], sessionAffinity: 'None' },
  };
  await ensure(need, services, 'default', service, signal);
  const endpointPort = { name: 'https', port: securePort, protocol: 'TCP' };
  await ensure(
    need,
    table.must('v1', 'endpoints'),
    'default',
    {
      metadata: { name: 'kubernetes', labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
      subsets: [{ addresses: [{ ip: advertiseAddress }], ports: [endpointPort] }],
    },
    signal,
    'subsets',
  );
  await ensure(
    need,
    table.must('discovery.k8s.io/v1', 'endpointslices'),
    'default',
    {
      metadata: { name: 'kubernetes', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [advertiseAddress], conditions: { ready: true } }],
      ports: [endpointPort],
    },
    signal,
    'endpoints',
    'ports',
  );
}

interface Wanted extends JsonObject {
  metadata: { name: string; labels?: Record<string, string> };
}

/** Creates the object; when it is there, puts `fields` right. */
async function ensure(
  { registry }: OwnObjectsNeed,
  resource: Resource,
  namespace: string,
  wanted: Wanted,
  signal: AbortSignal,
  ...fields: string[]
): Promise<void> {
  const context: WriteContext = {
    user: { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] },
    isDryRun: false,
    warn: () => {},
    signal,
  };
  const place = { namespace, name: wanted.metadata.name };
  const found = await registry.find(resource, place, signal);
  const object = (): ApiObject => {
    const made: ApiObject = { ...structuredClone(wanted), apiVersion: resource.groupVersion, kind: resource.kind };
    resource.strategy.applyDefaults?.(made);
    return made;
  };
  if (found === undefined) {
    try {
      await registry.create(resource, namespace, object(), context);
    } catch (err) {
      if (!(err instanceof StatusError) || err.reason !== 'AlreadyExists') throw err; // another server was faster
    }
    return;
  }
  const right = object();
  if (fields.every((field) => isSameJson(found[field], right[field]))) return;
  const compute = (old: ApiObject): ApiObject => {
    for (const field of fields) old[field] = structuredClone(right[field]);
    return old;
  };
  await registry.update(resource, place, { subresource: '', compute }, context);
}
