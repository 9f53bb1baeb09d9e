/** Which of our pages a request is for. Pure. */

export interface ContainerPath {
  namespace: string;
  pod: string;
  /** Given by old clients; undefined: any. */
  uid: string | undefined;
  container: string;
}

export type Route =
  | { kind: 'healthz'; check: string | undefined }
  | { kind: 'metrics'; path: string }
  | { kind: 'stats-summary' }
  | { kind: 'pods' }
  | { kind: 'running-pods' }
  | { kind: 'configz' }
  | { kind: 'statusz' }
  | ({ kind: 'container-logs' | 'run' | 'exec' | 'attach' } & ContainerPath)
  | ({ kind: 'port-forward' } & Omit<ContainerPath, 'container'>);

export type RouteMatch =
  /** Nothing of ours: told to everybody. */
  | { kind: 'unknown' }
  | { kind: 'redirect'; location: string }
  /** Ours, but not so: told only to those who may know. */
  | { kind: 'refused'; status: 404 | 405; text: string; allow?: string }
  | { kind: 'route'; route: Route };

export interface Registered {
  /** Paths below `/metrics` that have a page. */
  metricPaths: ReadonlySet<string>;
  /** Names of health checks. */
  checks: readonly string[];
  hasStatsSummary: boolean;
  hasDebuggingHandlers: boolean;
}

const debugRoots = ['run', 'exec', 'attach', 'portForward', 'containerLogs', 'runningpods'];
const notFound: RouteMatch = { kind: 'refused', status: 404, text: '404: Page Not Found' };

/** @param path decoded, without query */
export function matchRoute(method: string, path: string, registered: Registered): RouteMatch {
  if (registered.metricPaths.has(path)) return { kind: 'route', route: { kind: 'metrics', path } };
  const [root = '', ...rest] = path.slice(1).split('/');
  if (debugRoots.includes(root)) {
    if (root === 'runningpods' && rest.length === 0) return { kind: 'redirect', location: '/runningpods/' };
    if (!registered.hasDebuggingHandlers) {
      return { kind: 'refused', status: 405, text: 'Debug endpoints are disabled.\n' };
    }
  }
  switch (root) {
    case 'healthz':
      return matchHealth(rest, registered.checks);
    case 'stats':
      if (!registered.hasStatsSummary) return { kind: 'unknown' };
      return isOnly(rest, 'summary') ? withMethod(method, ['GET', 'POST'], { kind: 'stats-summary' }) : notFound;
    case 'pods':
      return rest.length === 0 ? withMethod(method, ['GET'], { kind: 'pods' }) : notFound;
    case 'runningpods':
      return isOnly(rest, '') ? withMethod(method, ['GET'], { kind: 'running-pods' }) : notFound;
    case 'configz':
      if (!registered.hasDebuggingHandlers || rest.length > 0) return { kind: 'unknown' };
      return { kind: 'route', route: { kind: 'configz' } };
    case 'statusz':
      if (!registered.hasDebuggingHandlers || rest.length > 0) return { kind: 'unknown' };
      return withMethod(method, ['GET'], { kind: 'statusz' });
    case 'containerLogs':
      return rest.length === 3 ? matchContainer(method, ['GET'], 'container-logs', rest) : notFound;
    case 'run':
      return matchContainer(method, ['POST'], 'run', rest);
    case 'exec':
    case 'attach':
      return matchContainer(method, ['GET', 'POST'], root, rest);
    case 'portForward':
      return matchPortForward(method, rest);
    default:
      return { kind: 'unknown' };
  }
}

function matchHealth(rest: readonly string[], checks: readonly string[]): RouteMatch {
  const [check, ...more] = rest;
  if (more.length > 0 || (check !== undefined && check !== 'ping' && !checks.includes(check))) {
    return { kind: 'unknown' };
  }
  return { kind: 'route', route: { kind: 'healthz', check } };
}

function matchContainer(
  method: string,
  methods: readonly string[],
  kind: 'container-logs' | 'run' | 'exec' | 'attach',
  parts: readonly string[],
): RouteMatch {
  if (parts.includes('') || (parts.length !== 3 && parts.length !== 4)) return notFound;
  const [namespace = '', pod = ''] = parts;
  const uid = parts.length === 4 ? parts[2] : undefined;
  return withMethod(method, methods, { kind, namespace, pod, uid, container: parts.at(-1) ?? '' });
}

function matchPortForward(method: string, parts: readonly string[]): RouteMatch {
  if (parts.includes('') || (parts.length !== 2 && parts.length !== 3)) return notFound;
  const [namespace = '', pod = '', uid] = parts;
  return withMethod(method, ['GET', 'POST'], { kind: 'port-forward', namespace, pod, uid });
}

function withMethod(method: string, methods: readonly string[], route: Route): RouteMatch {
  if (methods.includes(method)) return { kind: 'route', route };
  return { kind: 'refused', status: 405, text: '405: Method Not Allowed', allow: methods.join(', ') };
}

const isOnly = (parts: readonly string[], name: string): boolean => parts.length === 1 && parts[0] === name;
