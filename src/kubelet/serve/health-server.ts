/** The plain HTTP door for the node's own tools: `/healthz` and `/healthz/ping`, on 127.0.0.1:10248 by default. */
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { aborted } from '../../base/run-together.ts';

interface HealthServerNeed {
  /** `healthzBindAddress` */
  address: string;
  /** `healthzPort`; 0 lets the system choose. */
  port: number;
  clock: Clock;
  log: Logger;
}

const retryMs = 5000;

export class HealthServer {
  readonly #need: HealthServerNeed;
  readonly #port = Promise.withResolvers<number>();

  constructor(need: HealthServerNeed) {
    this.#need = need;
  }

  /** The port, once we listen on it. */
  port(): Promise<number> {
    return this.#port.promise;
  }

  /** Serves until `signal` aborts. A port that is taken is tried again: health is no reason to stop. */
  async run(signal: AbortSignal): Promise<void> {
    const { address, port, clock, log } = this.#need;
    while (!signal.aborted) {
      try {
        await this.#serve(signal);
      } catch (err) {
        log.error({ err, address, port, retryMs }, 'cannot serve healthz, will retry');
        await clock.sleep(retryMs, signal);
      }
    }
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const server: Server = createServer((request, response) => {
      const isKnown = /^\/healthz(\/ping)?(\?|$)/.test(request.url ?? '');
      response.writeHead(isKnown ? 200 : 404, {
        'Content-Type': 'text/plain; charset=utf-8',
        'X-Content-Type-Options': 'nosniff',
      });
      response.end(isKnown ? 'ok' : '404 page not found\n');
    });
    server.keepAliveTimeout = 90_000;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: this.#need.address, port: this.#need.port }, resolve);
    });
    this.#port.resolve((server.address() as AddressInfo).port); // it listens on TCP
    const closed = new Promise<void>((resolve) => server.once('close', resolve));
    await aborted(signal);
    server.close();
    server.closeAllConnections();
    await closed;
  }
}
