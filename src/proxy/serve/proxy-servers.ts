/** The proxy's two HTTP doors: health for load balancers and probes, metrics for scrapers. */
import type { RequestListener, ServerResponse } from 'node:http';
import type { ProxyMetrics } from '../metrics.ts';
import type { ProxyHealth } from './health.ts';

export interface HealthServerNeed {
  health: ProxyHealth;
  metrics: ProxyMetrics;
  /** Whether load balancers may send to this node. */
  isNodeEligible: () => boolean;
}

export function answerHealth({ health, metrics, isNodeEligible }: HealthServerNeed): RequestListener {
  return (request, response) => {
    const path = pathOf(request.url);
    if (path !== '/healthz' && path !== '/livez') return notFound(response);
    const { code, body } = health.answer(path === '/healthz' ? isNodeEligible() : undefined);
    metrics.answered(path === '/healthz' ? 'healthz' : 'livez', code);
    response.writeHead(code, { 'Content-Type': 'application/json', 'X-Content-Type-Options': 'nosniff' });
    response.end(body);
  };
}

export interface MetricsServerNeed {
  metrics: ProxyMetrics;
  mode: string;
  /** The configuration in use, for `/configz`. */
  config: unknown;
}

export function answerMetrics({ metrics, mode, config }: MetricsServerNeed): RequestListener {
  const plain = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' };
  return (request, response) => {
    switch (pathOf(request.url)) {
      case '/healthz':
        response.writeHead(200, plain).end('ok');
        return;
      case '/proxyMode':
        response.writeHead(200, plain).end(mode);
        return;
      case '/configz':
        response
          .writeHead(200, { 'Content-Type': 'application/json' })
          .end(JSON.stringify({ 'kubeproxy.config.k8s.io': config }));
        return;
      case '/metrics':
        metrics.text().then(
          (text) => response.writeHead(200, { 'Content-Type': metrics.contentType }).end(text),
          () => response.writeHead(500, plain).end('cannot collect metrics'),
        );
        return;
      default:
        notFound(response);
    }
  };
}

function pathOf(url = '/'): string {
  return url.split('?', 1)[0] ?? '/';
}

function notFound(response: ServerResponse): void {
  response.writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8' }).end('404 page not found\n');
}
