/** What a path asks for: the input of authorization and routing. Pure. */

export interface ResourceRequest {
  kind: 'resource';
  verb: string;
  group: string;
  version: string;
  /** '' for all namespaces and for cluster-wide resources. */
  namespace: string;
  resource: string;
  /** '' for collections. */
  name: string;
  subresource: string;
  /** What follows the subresource, for proxies: `/metrics`. */
  rest: string;
}

export interface PathRequest {
  kind: 'path';
  verb: string;
  path: string;
}

export type RequestInfo = ResourceRequest | PathRequest;

const verbs: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};
const namespaceSubresources = new Set(['status', 'finalize']);

export function requestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const asPath: PathRequest = { kind: 'path', verb: method.toLowerCase(), path };
  const parts = path.split('/').filter((part) => part !== '');
  const prefix = parts.shift();
  if (prefix !== 'api' && prefix !== 'apis') return asPath;
  const group = prefix === 'apis' ? (parts.shift() ?? '') : '';
  const version = parts.shift();
  if (version === undefined || parts.length === 0) return asPath;
  let verb = verbs[method] ?? '';
  if (parts[0] === 'watch' && parts.length > 1) {
    verb = 'watch';
    parts.shift();
  }
  let namespace = '';
  if (parts[0] === 'namespaces') {
    const [, name, next] = parts;
    if (name !== undefined) namespace = decodeURIComponent(name);
    if (next !== undefined && !namespaceSubresources.has(next)) parts.splice(0, 2);
  }
  const [resource = '', name = '', subresource = '', ...rest] = parts.map((part) => decodeURIComponent(part));
  if (name === '' && verb === 'get') verb = isTrue(query.get('watch')) ? 'watch' : 'list';
  if (name === '' && verb === 'delete') verb = 'deletecollection';
  return {
    kind: 'resource',
    verb,
    group,
    version,
    namespace,
    resource,
    name,
    subresource,
    rest: rest.length === 0 ? (path.endsWith('/') && subresource !== '' ? '/' : '') : `/${rest.join('/')}`,
  };
}

export function isTrue(value: string | null): boolean {
  return value === 'true' || value === '1';
}
