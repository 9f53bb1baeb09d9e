/** The proxy's two HTTP doors: health for load balancers and probes, metrics for scrapers. */
import type { RequestListener, ServerResponse } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import type { ProxyMetrics } from '../metrics.ts';
import type { ProxyConfig } from '../proxy-config.ts';
import { type PageAnswer, flagzPage, statuszPage } from './component-pages.ts';
import { answerDebug } from './debug-pages.ts';
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
  config: Pick<ProxyConfig, 'mode' | 'document' | 'gates' | 'enableProfiling'>;
  /** Every flag with its value, for `/flagz`. */
  flags: Readonly<Record<string, string>>;
  startedMs: number;
  setVerbosity: (verbosity: number) => void;
  clock: Clock;
}

const plain = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' };

/** Long answers end with `signal`. */
export function answerMetrics(need: MetricsServerNeed, signal: AbortSignal): RequestListener {
  const { metrics, config, flags, startedMs, clock } = need;
  const { flagz: hasFlagz, statusz: hasStatusz } = config.gates;
  const paths = ['/configz', ...(hasFlagz ? ['/flagz'] : []), '/healthz', '/metrics', '/metrics/slis', '/proxyMode'];
  const scrape = (response: ServerResponse, text: () => Promise<string>): void => {
    text().then(
      (body) => response.writeHead(200, { 'Content-Type': metrics.contentType }).end(body),
      () => response.writeHead(500, plain).end('cannot collect metrics'),
    );
  };
  const page = (response: ServerResponse, { code, contentType, body }: PageAnswer): void => {
    response.writeHead(code, { ...plain, 'Content-Type': contentType }).end(body);
  };
  return (request, response) => {
    const path = pathOf(request.url);
    const { accept } = request.headers;
    switch (path) {
      case '/healthz':
      case '/healthz/ping':
        metrics.pinged();
        response.writeHead(200, plain).end(isVerbose(request.url) ? '[+]ping ok\nhealthz check passed\n' : 'ok');
        return;
      case '/proxyMode':
        response.writeHead(200, plain).end(config.mode);
        return;
      case '/configz':
        response
          .writeHead(200, { 'Content-Type': 'application/json' })
          .end(JSON.stringify({ 'kubeproxy.config.k8s.io': config.document }));
        return;
      case '/metrics':
        return scrape(response, () => metrics.text());
      case '/metrics/slis':
        return scrape(response, () => metrics.sliText());
    }
    if (path === '/flagz' && hasFlagz) page(response, flagzPage(flags, accept));
    else if (path === '/statusz' && hasStatusz) {
      page(response, statuszPage({ startedMs, nowMs: clock.nowMs(), paths }, accept));
    } else if (!config.enableProfiling || !answerDebug(path, request, response, need, signal)) notFound(response);
  };
}

const isVerbose = (url = '/'): boolean => /[?&]verbose(=|&|$)/.test(url);

function pathOf(url = '/'): string {
  return url.split('?', 1)[0] ?? '/';
}

function notFound(response: ServerResponse): void {
  response.writeHead(404, plain).end('404 page not found\n');
}
