import type { RequestListener } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { ServiceState } from '../proxy-model.ts';
import { runHttpListener } from './http-listener.ts';

/** What one health check port tells: how many endpoints of its Service are on this node. */
export interface ServiceHealth {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly localEndpoints: number;
}

/** Services that load balancers ask about, by `namespace/name`. Pure. */
export function serviceHealths(services: Iterable<ServiceState>): Map<string, ServiceHealth> {
  const healths = new Map<string, ServiceHealth>();
  for (const { key, ports, endpoints } of services) {
    const first = ports.find(({ healthCheckNodePort }) => healthCheckNodePort !== 0);
    if (first === undefined) continue;
    const ips = new Set<string>();
    for (const list of endpoints.values()) {
      // an endpoint that is going still gets traffic, but no balancer shall choose this node for it
      for (const { ip, isLocal, isReady, isTerminating } of list) if (isLocal && isReady && !isTerminating) ips.add(ip);
    }
    const { namespace, name, healthCheckNodePort: port } = first;
    healths.set(key, { namespace, name, port, localEndpoints: ips.size });
  }
  return healths;
}

/** The body that load balancers' tools show, laid out as upstream does. Pure. */
export function serviceHealthBody({ namespace, name, localEndpoints }: ServiceHealth, isProxyHealthy: boolean): string {
  return JSON.stringify(
    { service: { namespace, name }, localEndpoints, serviceProxyHealthy: isProxyHealthy },
    undefined,
    '\t',
  );
}

export interface ServiceHealthPortsNeed {
  /** Addresses to listen on, as they are now. */
  hosts: () => readonly string[];
  isProxyHealthy: () => boolean;
  /** A port could not be opened: somebody should see an event. */
  onFailure: (service: ServiceHealth, reason: string) => void;
  clock: Clock;
  log: Logger;
}

/** Owns one HTTP server per Service with a health check port: opened, moved and closed as the Services change. */
export class ServiceHealthPorts {
  readonly #need: ServiceHealthPortsNeed;
  readonly #open = new Map<string, { stop: AbortController; closed: Promise<unknown>; where: string }>();
  #healths: ReadonlyMap<string, ServiceHealth> = new Map();

  constructor(need: ServiceHealthPortsNeed) {
    this.#need = need;
  }

  /** Opens and closes servers until they are those of `healths`. Servers end with `signal`. */
  async update(healths: ReadonlyMap<string, ServiceHealth>, signal: AbortSignal): Promise<void> {
    this.#healths = healths;
    const hosts = healths.size === 0 ? [] : this.#need.hosts();
    const whereOf = (port: number): string => `${hosts.join()} ${port}`;
    const closing: Promise<unknown>[] = [];
    for (const [key, { stop, closed, where }] of this.#open) {
      const port = healths.get(key)?.port;
      if (port !== undefined && whereOf(port) === where) continue;
      stop.abort();
      closing.push(closed);
      this.#open.delete(key);
    }
    await Promise.all(closing);
    for (const [key, { port }] of healths) {
      if (this.#open.has(key)) continue;
      const stop = new AbortController();
      const ends = AbortSignal.any([signal, stop.signal]);
      const closed = Promise.all(hosts.map((host) => this.#serve(key, host, port, ends)));
      this.#open.set(key, { stop, closed, where: whereOf(port) });
    }
  }

  /** Resolves when all servers have closed, after their signal has aborted. */
  async whenClosed(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ closed }) => closed));
  }

  #serve(key: string, host: string, port: number, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#need;
    const onFailure = (err: unknown): void => {
      const health = this.#healths.get(key);
      if (health !== undefined) this.#need.onFailure(health, describeError(err));
    };
    const name = `health check of Service ${key}`;
    // without a hard fail it retries by itself and never rejects
    return runHttpListener(
      { name, host, port, answer: this.#answer(key), isHardFail: false, onFailure, clock, log },
      signal,
    );
  }

  #answer(key: string): RequestListener {
    return (_request, response) => {
      const health = this.#healths.get(key);
      if (health === undefined) {
        response.writeHead(503).end();
        return;
      }
      const isProxyHealthy = this.#need.isProxyHealthy();
      response.writeHead(health.localEndpoints > 0 && isProxyHealthy ? 200 : 503, {
        'Content-Type': 'application/json',
        'X-Content-Type-Options': 'nosniff',
        'X-Load-Balancing-Endpoint-Weight': String(health.localEndpoints),
      });
      response.end(serviceHealthBody(health, isProxyHealthy));
    };
  }
}
