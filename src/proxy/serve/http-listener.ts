import { type RequestListener, type Server, createServer } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { aborted } from '../../base/run-together.ts';

export interface HttpListenerOptions {
  name: string;
  host: string;
  port: number;
  answer: RequestListener;
  /** A failure to listen ends `runHttpListener` instead of being tried again. */
  isHardFail: boolean;
  /** Called at the first failure to listen, not at each try after it. */
  onFailure?: ((err: unknown) => void | Promise<void>) | undefined;
  clock: Clock;
  log: Logger;
}

const retryMs = 5000;
/** A port stays in use for days: one line in the log a minute is enough. */
const triesPerWarning = 12;
/** Enough for probes and scrapers, and little for those who hold connections. */
const connectionsMax = 64;
const requestTimeoutMs = 10_000;

/** Serves plain HTTP until `signal` aborts. A port in use is tried again every 5 s. */
export async function runHttpListener(options: HttpListenerOptions, signal: AbortSignal): Promise<void> {
  const { name, host, port, isHardFail, onFailure, clock, log } = options;
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      const server = await listen(options);
      log.info({ server: name, host, port: addressPort(server) }, 'listening');
      await aborted(signal);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      return;
    } catch (err) {
      if (tries === 0) await onFailure?.(err);
      if (isHardFail) throw new Error(`Cannot serve ${name} on "${host}:${port}"`, { cause: err });
      const level = tries % triesPerWarning === 0 ? 'warn' : 'debug';
      log[level]({ server: name, host, port, retryMs, reason: describeError(err) }, 'cannot listen, will retry');
      await clock.sleep(retryMs, signal);
    }
  }
}

function listen({ host, port, answer }: HttpListenerOptions): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs }, answer);
    server.maxConnections = connectionsMax;
    server.once('error', reject);
    server.listen({ host, port, ipv6Only: host === '::' }, () => {
      server.off('error', reject);
      server.on('error', () => {}); // after this only single connections can fail
      resolve(server);
    });
  });
}

function addressPort(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
