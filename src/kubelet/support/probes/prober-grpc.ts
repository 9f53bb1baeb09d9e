import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import { isDeadline, isUnimplemented } from '../../../base/errors.ts';
import {
  type GrpcClient,
  channelOptions,
  insecure,
  loadService,
  rpcDetails,
  rpcText,
  unaryCall,
} from '../../../base/grpc.ts';
import { probeUserAgent } from './http-probe-request.ts';
import { type ProbeOutcome, goSeconds, joinHostPort } from './probe-outcome.ts';

/** Loaded with the first such probe, and kept: it is parsed from a file. */
let healthService: ReturnType<typeof loadService> | undefined;

/** Success is SERVING from `grpc.health.v1.Health/Check`, in plain text. One time limit for connection and answer. */
export async function probeByGrpc(
  host: string,
  port: number,
  service: string,
  timeoutSeconds: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const address = joinHostPort(host, port);
  const within = goSeconds(timeoutSeconds);
  healthService ??= loadService('grpc-health-v1.proto', 'grpc.health.v1.Health');
  const client = new healthService(address, insecure, {
    ...channelOptions,
    'grpc.primary_user_agent': probeUserAgent,
    'grpc.use_local_subchannel_pool': 1, // each probe connects anew, as a real client would
  });
  const started = clock.monotonicMs();
  try {
    await withDeadline('the connection', timeoutSeconds * 1000, clock, signal, () => whenConnected(client));
  } catch (err) {
    client.close();
    if (signal.aborted) throw err;
    return { kind: 'failure', output: connectFailure(address, within, err) };
  }
  try {
    const restMs = Math.max(1, timeoutSeconds * 1000 - (clock.monotonicMs() - started));
    const { status } = await withDeadline('the health call', restMs, clock, signal, (s) =>
      unaryCall<{ status: string }>(client, 'Check', { service }, { signal: s }),
    );
    if (status === 'SERVING') return { kind: 'success', output: 'service healthy' };
    return { kind: 'failure', output: `service unhealthy (responded with "${status}")` };
  } catch (err) {
    if (signal.aborted) throw err;
    return { kind: 'failure', output: callFailure(within, err) };
  } finally {
    client.close();
  }
}

function connectFailure(address: string, within: string, err: unknown): string {
  const why = isDeadline(err) ? 'context deadline exceeded' : rpcText(err);
  return `timeout: failed to connect service "${address}" within ${within}: ${why}`;
}

function callFailure(within: string, err: unknown): string {
  if (isUnimplemented(err)) {
    return `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${rpcDetails(err)}`;
  }
  if (isDeadline(err)) return `timeout: health rpc did not complete within ${within}`;
  return `error: health rpc probe failed: ${rpcText(err)}`;
}

/** Connects, however often it takes; the caller's deadline closes the client, and that ends the wait. */
function whenConnected(client: GrpcClient): Promise<void> {
  return new Promise((resolve, reject) => {
    client.waitForReady(Number.POSITIVE_INFINITY, (err) => (err === undefined ? resolve() : reject(err)));
  });
}
