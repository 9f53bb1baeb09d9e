/** What the commands of the scheduler and of the controller manager share: flags, client, health endpoint, leadership. */
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { hostname } from 'node:os';
import { type Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { createLogger } from '../base/logger.ts';
import type { Logger } from '../base/logger.ts';
import { aborted, runTogether } from '../base/run-together.ts';
import { stopSignal } from '../base/stop-signal.ts';
import { EventRecorder } from '../client/event-recorder.ts';
import { HttpApiClient } from '../client/http-api-client.ts';
import { loadKubeconfig } from '../client/kubeconfig.ts';
import { LeaderElection } from '../client/leader-election.ts';

export interface ProcessOptions {
  kubeconfig: string;
  leaderElect: boolean;
  kubeApiQps: number;
  kubeApiBurst: number;
  /** Address of the plain-HTTP health endpoint, on loopback; port 0 is none. */
  healthzPort: number;
  v: number;
}

/** Adds the flags that both commands have. */
export function addProcessFlags(command: Command, defaults: { qps: number; burst: number }): Command {
  return command
    .requiredOption('--kubeconfig <file>', 'how to reach the API server, and as whom')
    .addOption(booleanFlag('--leader-elect', 'work only while holding the lease of that name', true))
    .option('--kube-api-qps <n>', 'requests per second in the long run', wholeNumber, defaults.qps)
    .option('--kube-api-burst <n>', 'requests at once', wholeNumber, defaults.burst)
    .option('--healthz-port <port>', 'plain HTTP /healthz on 127.0.0.1; 0 is none', wholeNumber, 0)
    .option('--v <level>', 'log verbosity', wholeNumber, 0);
}

/** A flag like Go's: `--flag`, `--flag=true`, `--flag=false`. */
export function booleanFlag(name: string, description: string, byDefault: boolean): Option {
  return new Option(`${name} [true|false]`, description)
    .default(byDefault)
    .preset(true)
    .argParser((text: string | true) => {
      if (text === true || text === 'true') return true;
      if (text === 'false') return false;
      throw new RangeError(`Cannot use ${name}=${text}: expected true or false`);
    });
}

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new RangeError(`Cannot use "${text}": expected a whole number`);
  return Number(text);
}

/** Runs `work` until the process is asked to stop; with leader election, while we lead. The client has no limit. */
export async function runProcess(
  name: string,
  options: ProcessOptions,
  work: (client: HttpApiClient, log: Logger, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { kubeconfig, leaderElect, healthzPort, v } = options;
  const log = createLogger({ name, verbosity: v });
  const signal = stopSignal();
  const clock = systemClock;
  const access = await loadKubeconfig(kubeconfig);
  const client = new HttpApiClient({ access, clock, userAgentName: name });
  // the lease must not wait behind the work's own requests
  const leaseClient = new HttpApiClient({ access, clock, userAgentName: name });
  try {
    log.info({ server: access.server }, 'starting');
    const parts: Array<(signal: AbortSignal) => Promise<void>> = [];
    if (healthzPort > 0) parts.push((inner) => serveHealth(healthzPort, inner));
    if (leaderElect) {
      const events = new EventRecorder({ client: leaseClient, component: name, clock, log });
      const identity = `${hostname()}_${randomUUID()}`;
      const election = new LeaderElection({ client: leaseClient, name, identity, events, clock, log });
      parts.push(
        (inner) => events.run(inner),
        (inner) => election.run((s) => work(client, log, s), inner),
      );
    } else {
      parts.push((inner) => work(client, log, inner));
    }
    await runTogether(signal, parts);
    log.info('stopped');
  } finally {
    client.close();
    leaseClient.close();
  }
}

async function serveHealth(port: number, signal: AbortSignal): Promise<void> {
  const server = http.createServer((request, response) => {
    const isHealth = ['/healthz', '/livez', '/readyz'].includes(request.url?.split('?')[0] ?? '');
    response.writeHead(isHealth ? 200 : 404, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(isHealth ? 'ok' : '404 page not found\n');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve());
  });
  await aborted(signal);
  server.closeAllConnections();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
}
