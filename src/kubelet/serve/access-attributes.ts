/** What a request means to an authorizer: a verb on the node, below one of some subresources. Pure. */

export interface AccessAttributes {
  /** Empty for methods that mean nothing here; nobody is allowed those but who may do all. */
  verb: string;
  /** Tried in this order; the first that is allowed is enough. */
  subresources: readonly string[];
}

const verbs: Record<string, string> = { POST: 'create', GET: 'get', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };

const subresourcesByRoot: ReadonlyMap<string, readonly string[]> = new Map([
  ['stats', ['stats']],
  ['metrics', ['metrics']],
  ['logs', ['log']],
  ['checkpoint', ['checkpoint']],
  ['statusz', ['statusz']],
  ['flagz', ['configz']],
  ['pods', ['pods', 'proxy']],
  ['runningpods', ['pods', 'proxy']],
  ['healthz', ['healthz', 'proxy']],
  ['configz', ['configz', 'proxy']],
]);

/** @param path decoded, the same that routes are matched with */
export function accessAttributes(method: string, path: string): AccessAttributes {
  const root = path.split('/')[1] ?? '';
  return { verb: verbs[method] ?? '', subresources: subresourcesByRoot.get(root) ?? ['proxy'] };
}
