/** Under which labels a request is counted: few, whatever a client asks for. Pure. */

export interface RequestLabels {
  method: string;
  path: string;
  server_type: 'readwrite';
  long_running: 'true' | 'false';
}

const methods = new Set(['OPTIONS', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'CONNECT']);
const roots = new Set([
  'attach',
  'configz',
  'containerLogs',
  'exec',
  'healthz',
  'metrics',
  'pods',
  'portForward',
  'run',
  'runningpods',
  'stats',
  'statusz',
]);
const longRunning = new Set(['attach', 'exec', 'portForward']);

/** @param metricPaths the pages below `/metrics` that there are: each is counted for itself */
export function requestLabels(method: string, target: string, metricPaths: ReadonlySet<string>): RequestLabels {
  const path = target.replace(/\?.*/s, '');
  const [root = ''] = path.slice(1).split('/');
  return {
    method: methods.has(method) ? method : 'other',
    path: metricPaths.has(path) ? path.slice(1) : roots.has(root) ? root : 'other',
    server_type: 'readwrite',
    long_running: longRunning.has(root) ? 'true' : 'false',
  };
}
