/** What the server serves, in the old form (walk the groups) and the new one (everything in one document). Pure. */
import { createHash } from 'node:crypto';
import type { Resource, Subresource } from '../resources/resource.ts';
import { type StatusError, noSuchResource, notAcceptable } from '../resources/status-error.ts';

/** Higher comes first; the rest by name. */
const groupPriorities: Readonly<Record<string, number>> = {
  '': 18_000,
  apps: 17_800,
  'events.k8s.io': 17_750,
  'authentication.k8s.io': 17_700,
  'authorization.k8s.io': 17_600,
  autoscaling: 17_500,
  batch: 17_400,
  'certificates.k8s.io': 17_300,
  'networking.k8s.io': 17_200,
  policy: 17_100,
  'rbac.authorization.k8s.io': 17_000,
  'storage.k8s.io': 16_800,
  'apiextensions.k8s.io': 16_700,
  'admissionregistration.k8s.io': 16_700,
  'scheduling.k8s.io': 16_600,
  'coordination.k8s.io': 16_500,
  'node.k8s.io': 16_300,
  'discovery.k8s.io': 16_200,
  'resource.k8s.io': 16_200,
  'flowcontrol.apiserver.k8s.io': 16_100,
};

export interface GroupVersions {
  group: string;
  /** Preferred first. */
  versions: string[];
}

export function groupsOf(resources: readonly Resource[]): GroupVersions[] {
  const found = new Map<string, Set<string>>();
  for (const { group, version } of resources) found.set(group, (found.get(group) ?? new Set()).add(version));
  return [...found]
    .map(([group, versions]) => ({ group, versions: [...versions].toSorted(byPreference) }))
    .toSorted((a, b) => {
      const [ap, bp] = [groupPriorities[a.group] ?? 1000, groupPriorities[b.group] ?? 1000];
      return ap === bp ? (a.group < b.group ? -1 : 1) : bp - ap;
    });
}

/** Stable ones before beta, higher numbers first. */
function byPreference(a: string, b: string): number {
  const isBeta = (version: string): number => (/^v\d+$/.test(version) ? 0 : 1);
  return isBeta(a) - isBeta(b) || (a > b ? -1 : 1);
}

const aggregatedType = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

export interface DiscoveryAnswer {
  body: string;
  headers: Record<string, string>;
}

/** `/api`, `/apis` and what lies directly below them; undefined for other paths. @throws {StatusError} 404, 406 */
export function discover(
  path: string,
  accept: string,
  resources: readonly Resource[],
  serverAddress: string,
): DiscoveryAnswer | undefined {
  const parts = path.split('/').filter((part) => part !== '');
  const [prefix, first, second] = parts;
  if (prefix !== 'api' && prefix !== 'apis') return undefined;
  const groups = groupsOf(resources);
  if (first === undefined) {
    const wanted = wantedForm(accept);
    const mine = groups.filter(({ group }) => (prefix === 'api') === (group === ''));
    if (wanted === 'aggregated') return aggregated(mine, resources);
    return plain(prefix === 'api' ? versionsDocument(serverAddress) : groupList(mine));
  }
  if (prefix === 'api')
    return first === 'v1' && parts.length === 2 ? plain(resourceList('', 'v1', resources)) : undefined;
  const known = groups.find(({ group }) => group === first);
  if (known === undefined) return undefined;
  if (second === undefined) return plain({ kind: 'APIGroup', apiVersion: 'v1', ...groupEntry(known) });
  if (parts.length !== 3) return undefined;
  if (!known.versions.includes(second)) throw noSuchResource();
  return plain(resourceList(first, second, resources));
}

function wantedForm(accept: string): 'aggregated' | 'plain' {
  let refusal: StatusError | undefined;
  for (const entry of accept.split(',')) {
    const [type = '', ...parameters] = entry.split(';').map((part) => part.trim());
    const isAggregated = parameters.includes('as=APIGroupDiscoveryList');
    if (isAggregated && type === 'application/json' && parameters.includes('v=v2')) return 'aggregated';
    if (!isAggregated && ['application/json', '*/*', 'application/*', ''].includes(type)) return 'plain';
    refusal = notAcceptable('only the following media types are accepted: application/json, application/yaml');
  }
  throw refusal ?? notAcceptable('no media type is accepted');
}

function plain(document: object): DiscoveryAnswer {
  return { body: JSON.stringify(document), headers: { 'content-type': 'application/json' } };
}

function versionsDocument(serverAddress: string): object {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  };
}

function groupEntry({ group, versions }: GroupVersions): object {
  const entries = versions.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions: entries, preferredVersion: entries[0] };
}

function groupList(groups: readonly GroupVersions[]): object {
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(groupEntry) };
}

const byName = (a: { resource: string }, b: { resource: string }): number => (a.resource < b.resource ? -1 : 1);

function resourceList(group: string, version: string, resources: readonly Resource[]): object {
  const mine = resources.filter((one) => one.group === group && one.version === version).toSorted(byName);
  const groupVersion = group === '' ? version : `${group}/${version}`;
  return {
    kind: 'APIResourceList',
    ...(group === '' ? {} : { apiVersion: 'v1' }),
    groupVersion,
    resources: mine.flatMap((resource) => [
      {
        name: resource.resource,
        singularName: resource.singular,
        namespaced: resource.isNamespaced,
        kind: resource.kind,
        verbs: resource.verbs,
        ...optional(resource),
        ...(resource.verbs.includes('get') ? { storageVersionHash: storageHash(resource) } : {}),
      },
      ...[...resource.subresources.values()].map((subresource) => ({
        name: `${resource.resource}/${subresource.name}`,
        singularName: '',
        namespaced: resource.isNamespaced,
        ...foreignKind(resource, subresource),
        kind: subresource.kind,
        verbs: subresource.verbs,
      })),
    ]),
  };
}

function optional({ shortNames, categories }: Resource): object {
  return {
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
}

function splitGroupVersion(groupVersion: string): { group: string; version: string } {
  const [group = '', version = ''] = groupVersion.includes('/') ? groupVersion.split('/') : ['', groupVersion];
  return { group, version };
}

function foreignKind({ groupVersion }: Resource, { kindGroupVersion }: Subresource): object {
  return kindGroupVersion === groupVersion ? {} : splitGroupVersion(kindGroupVersion);
}

function storageHash({ group, version, kind, conversion }: Resource): string {
  const stored = conversion === undefined ? { group, version } : splitGroupVersion(conversion.storedGroupVersion);
  return createHash('sha256')
    .update(`${stored.group}/${stored.version}/${kind}`)
    .digest()
    .subarray(0, 8)
    .toString('base64');
}

function aggregated(groups: readonly GroupVersions[], resources: readonly Resource[]): DiscoveryAnswer {
  const items = groups.map(({ group, versions }) => ({
    metadata: group === '' ? {} : { name: group },
    versions: versions.map((version) => ({
      version,
      freshness: 'Current',
      resources: resources
        .filter((one) => one.group === group && one.version === version)
        .toSorted(byName)
        .map(aggregatedResource),
    })),
  }));
  const body = JSON.stringify({
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items,
  });
  const etag = createHash('sha512').update(body).digest('hex').toUpperCase();
  return {
    body,
    headers: { 'content-type': aggregatedType, etag: `"${etag}"`, vary: 'Accept', 'cache-control': 'public' },
  };
}

function aggregatedResource(resource: Resource): object {
  const subresources = [...resource.subresources.values()].map((subresource) => ({
    subresource: subresource.name,
    responseKind: { ...splitGroupVersionOr(resource, subresource), kind: subresource.kind },
    verbs: subresource.verbs,
  }));
  return {
    resource: resource.resource,
    responseKind: { group: '', version: '', kind: resource.kind },
    scope: resource.isNamespaced ? 'Namespaced' : 'Cluster',
    singularResource: resource.singular,
    verbs: resource.verbs,
    ...optional(resource),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}

function splitGroupVersionOr({ groupVersion }: Resource, { kindGroupVersion }: Subresource): object {
  return kindGroupVersion === groupVersion ? { group: '', version: '' } : splitGroupVersion(kindGroupVersion);
}
