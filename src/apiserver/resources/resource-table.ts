/** Every resource that is served: the discovery table joined with the strategies. */
import { certificateStrategies } from './certificate-kinds.ts';
import { configMapStrategy } from './configmaps.ts';
import { deploymentStrategy } from './deployments.ts';
import { endpointsStrategy } from './endpoints.ts';
import { endpointSliceStrategy } from './endpointslices.ts';
import { eventConversion, eventStrategy, newEventStrategy } from './events.ts';
import { discoveryText } from './generated/discovery.ts';
import { autoscalerConversion } from './horizontalpodautoscalers.ts';
import { leaseStrategy } from './leases.ts';
import { namespaceStrategy } from './namespaces.ts';
import { nodeStrategy } from './nodes.ts';
import { otherStrategies, plainStrategy } from './others.ts';
import { podStrategy } from './pods.ts';
import { replicaSetStrategy } from './replicasets.ts';
import type { Conversion, Resource, Strategy, Subresource } from './resource.ts';
import { secretStrategy } from './secrets.ts';
import { serviceAccountStrategy } from './serviceaccounts.ts';
import type { ServiceAllocator } from './service-allocator.ts';
import { serviceStrategy } from './services.ts';
import { storageStrategies } from './storage-kinds.ts';
import {
  cronJobStrategy,
  daemonSetStrategy,
  jobStrategy,
  replicationControllerStrategy,
  statefulSetStrategy,
} from './workloads.ts';

/** Where upstream's keys differ from the resource's name. */
const storagePaths: Readonly<Record<string, string>> = {
  services: '/services/specs/',
  endpoints: '/services/endpoints/',
  nodes: '/minions/',
  replicationcontrollers: '/controllers/',
  'ingresses.networking.k8s.io': '/ingress/',
  'apiservices.apiregistration.k8s.io': '/apiregistration.k8s.io/apiservices/',
  'customresourcedefinitions.apiextensions.k8s.io': '/apiextensions.k8s.io/customresourcedefinitions/',
};

const conversions: Readonly<Record<string, Conversion>> = {
  'events.k8s.io/v1/events': eventConversion,
  'autoscaling/v1/horizontalpodautoscalers': autoscalerConversion,
};

function strategies(allocator: ServiceAllocator): Readonly<Record<string, Strategy>> {
  return {
    ...otherStrategies,
    ...storageStrategies,
    ...certificateStrategies,
    pods: podStrategy,
    nodes: nodeStrategy,
    namespaces: namespaceStrategy,
    services: serviceStrategy(allocator),
    endpoints: endpointsStrategy,
    configmaps: configMapStrategy,
    secrets: secretStrategy,
    serviceaccounts: serviceAccountStrategy,
    events: eventStrategy,
    'events.events.k8s.io': newEventStrategy,
    replicationcontrollers: replicationControllerStrategy,
    'deployments.apps': deploymentStrategy,
    'replicasets.apps': replicaSetStrategy,
    'statefulsets.apps': statefulSetStrategy,
    'daemonsets.apps': daemonSetStrategy,
    'jobs.batch': jobStrategy,
    'cronjobs.batch': cronJobStrategy,
    'leases.coordination.k8s.io': leaseStrategy,
    'endpointslices.discovery.k8s.io': endpointSliceStrategy,
  };
}

export class ResourceTable {
  readonly #byPath = new Map<string, Resource>();

  /** @param enabled groups and versions that are off by default and shall be served, e.g. `certificates.k8s.io/v1beta1` */
  constructor(allocator: ServiceAllocator, enabled: ReadonlySet<string> = new Set()) {
    const known = strategies(allocator);
    const subresources = new Map<string, Map<string, Subresource>>();
    const rows = discoveryText
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(' '))
      .filter(([groupVersion = '']) => /(^|\/)v\d+$/.test(groupVersion) || enabled.has(groupVersion));
    for (const [groupVersion = '', path = '', kind = '', kindGroupVersion = '', , , , verbs = ''] of rows) {
      const [resource = '', name] = path.split('/');
      if (name === undefined) continue;
      const key = `${groupVersion}/${resource}`;
      const found = subresources.get(key) ?? new Map<string, Subresource>();
      subresources.set(key, found);
      found.set(name, { name, kind, kindGroupVersion: kindGroupVersion || groupVersion, verbs: verbs.split(',') });
    }
    for (const row of rows) {
      const [groupVersion = '', resource = '', kind = '', , singular = '', short = '', ns = '', verbs = '', cats = ''] =
        row;
      if (resource.includes('/')) continue;
      const [group = '', version = ''] = groupVersion.includes('/') ? groupVersion.split('/') : ['', groupVersion];
      const qualified = group === '' ? resource : `${resource}.${group}`;
      const key = `${groupVersion}/${resource}`;
      this.#byPath.set(key, {
        group,
        version,
        groupVersion,
        resource,
        kind,
        singular,
        shortNames: short === '' ? [] : short.split(','),
        categories: cats === '' ? [] : cats.split(','),
        isNamespaced: ns === 'true',
        verbs: verbs.split(','),
        subresources: subresources.get(key) ?? new Map(),
        storagePath: storagePaths[qualified] ?? `/${resource}/`,
        strategy: known[qualified] ?? plainStrategy,
        conversion: conversions[key],
      });
    }
  }

  /** By group, version and plural, e.g. (`apps`, `v1`, `deployments`). */
  find(group: string, version: string, resource: string): Resource | undefined {
    return this.#byPath.get(`${group === '' ? version : `${group}/${version}`}/${resource}`);
  }

  all(): Resource[] {
    return [...this.#byPath.values()];
  }

  /** Whether a group and version is served at all. */
  has(group: string, version: string): boolean {
    return this.all().some((resource) => resource.group === group && resource.version === version);
  }

  hasGroup(group: string): boolean {
    return this.all().some((resource) => resource.group === group);
  }

  /** One that must be there, e.g. `core('v1', 'pods')`: for our own use of the table. */
  must(groupVersion: string, resource: string): Resource {
    const found = this.#byPath.get(`${groupVersion}/${resource}`);
    if (found === undefined) throw new Error(`Cannot find resource "${groupVersion}/${resource}" in the table`);
    return found;
  }
}
