/**
 * The one place where it is decided who may do what. A fixed rule set of a lab cluster: administrators and the control
 * plane may do everything, nodes and the proxy what they need, everybody else may read all but Secrets. Pure.
 */
import type { UserInfo } from '../resources/registry.ts';

export type Attributes =
  | {
      kind: 'resource';
      verb: string;
      group: string;
      version: string;
      namespace: string;
      resource: string;
      subresource: string;
      name: string;
    }
  | { kind: 'path'; verb: string; path: string };

export interface Decision {
  isAllowed: boolean;
  reason: string;
}

interface Rule {
  /** User names, or groups with a leading `@`. */
  who: readonly string[];
  verbs: readonly string[];
  /** `pods`, `pods/status`, `leases.coordination.k8s.io`; `*` for all. */
  resources: readonly string[];
}

const read = ['get', 'list', 'watch'];
const write = ['create', 'update', 'patch', 'delete'];
const everything = ['*'];

const rules: readonly Rule[] = [
  {
    who: [
      '@system:masters',
      '@kubeadm:cluster-admins',
      '@system:serviceaccounts:kube-system',
      'system:kube-controller-manager',
      'system:kube-scheduler',
    ],
    verbs: everything,
    resources: everything,
  },
  { who: ['@system:nodes'], verbs: read, resources: everything },
  {
    who: ['@system:nodes'],
    verbs: write,
    resources: [
      'nodes',
      'nodes/status',
      'pods',
      'pods/status',
      'pods/eviction',
      'events',
      'events.events.k8s.io',
      'leases.coordination.k8s.io',
      'csinodes.storage.k8s.io',
      'resourceslices.resource.k8s.io',
      'persistentvolumeclaims/status',
      'certificatesigningrequests.certificates.k8s.io',
      'serviceaccounts/token',
      'tokenreviews.authentication.k8s.io',
      'subjectaccessreviews.authorization.k8s.io',
      'localsubjectaccessreviews.authorization.k8s.io',
    ],
  },
  { who: ['@system:nodes'], verbs: ['create'], resources: ['podcertificaterequests.certificates.k8s.io'] },
  {
    // the role system:kubelet-api-admin, bound to the certificate with which the API server comes to kubelets
    who: ['kube-apiserver-kubelet-client'],
    verbs: everything,
    resources: [
      'nodes',
      ...['proxy', 'log', 'stats', 'metrics', 'configz', 'healthz', 'pods'].map((what) => `nodes/${what}`),
    ],
  },
  {
    who: ['system:kube-proxy'],
    verbs: read,
    resources: ['services', 'endpoints', 'nodes', 'endpointslices.discovery.k8s.io', 'servicecidrs.networking.k8s.io'],
  },
  {
    who: ['gantry:network-agent'],
    verbs: read,
    resources: ['nodes', 'pods', 'namespaces', 'networkpolicies.networking.k8s.io'],
  },
  { who: ['system:kube-proxy', 'gantry:network-agent'], verbs: write, resources: ['events', 'events.events.k8s.io'] },
  {
    who: ['@system:authenticated'],
    verbs: ['create'],
    resources: [
      'selfsubjectaccessreviews.authorization.k8s.io',
      'selfsubjectrulesreviews.authorization.k8s.io',
      'selfsubjectreviews.authentication.k8s.io',
    ],
  },
];

const openPaths = ['/healthz', '/livez', '/readyz', '/version'];
const discoveryPaths = ['/api', '/apis', '/openapi', '/.well-known', '/openid', ...openPaths];
const secretReaders = ['@system:nodes'];

export function authorize(user: UserInfo, attributes: Attributes): Decision {
  const names = new Set([user.name, ...user.groups.map((group) => `@${group}`)]);
  const isAnyOf = (who: readonly string[]): boolean => who.some((one) => names.has(one));
  const allow: Decision = { isAllowed: true, reason: '' };
  if (attributes.kind === 'path') {
    if (rules.some(({ who, verbs, resources }) => verbs === everything && resources === everything && isAnyOf(who)))
      return allow;
    const isBelow = (path: string): boolean => attributes.path === path || attributes.path.startsWith(`${path}/`);
    if (attributes.verb === 'get' && openPaths.some(isBelow)) return allow;
    const isKnown = names.has('@system:authenticated');
    return isKnown && attributes.verb === 'get' && discoveryPaths.some(isBelow) ? allow : refused;
  }
  const resource = qualifiedResource(attributes);
  for (const { who, verbs, resources } of rules) {
    const isMatch =
      isAnyOf(who) &&
      (verbs === everything || verbs.includes(attributes.verb)) &&
      (resources === everything || resources.includes(resource));
    if (isMatch) return allow;
  }
  const isSecret = attributes.resource === 'secrets' && !isAnyOf(secretReaders);
  const isRead =
    read.includes(attributes.verb) && (attributes.subresource === '' || attributes.subresource === 'status');
  return names.has('@system:authenticated') && isRead && !isSecret ? allow : refused;
}

const refused: Decision = { isAllowed: false, reason: '' };

function qualifiedResource({ group, resource, subresource }: Extract<Attributes, { kind: 'resource' }>): string {
  if (subresource !== '') return `${resource}/${subresource}`;
  return group === '' ? resource : `${resource}.${group}`;
}

/** The sentence of a 403. */
export function describeRefusal(user: UserInfo, attributes: Attributes, { reason }: Decision): string {
  const who = `User ${JSON.stringify(user.name)} cannot ${attributes.verb}`;
  const why = reason === '' ? '' : `: ${reason}`;
  if (attributes.kind === 'path') return `${who} path ${JSON.stringify(attributes.path)}${why}`;
  const { resource, subresource, group, namespace } = attributes;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const scope = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`;
  return `${who} resource ${JSON.stringify(what)} in API group ${JSON.stringify(group)} ${scope}${why}`;
}
