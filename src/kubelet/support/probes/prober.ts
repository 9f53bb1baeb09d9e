import type { Clock } from '../../../base/clock.ts';
import type { PodStatus } from '../../../objects/generated/core-v1.ts';
import { expandCommand } from './expand-command.ts';
import { makeHttpProbeRequest } from './http-probe-request.ts';
import type { ProbeTarget } from './next-probe-step.ts';
import type { ProbeOutcome } from './probe-outcome.ts';
import { type ExecSync, probeByExec } from './prober-exec.ts';
import { probeByGrpc } from './prober-grpc.ts';
import { probeByHttp } from './prober-http.ts';
import { probeByTcp } from './prober-tcp.ts';
import { resolvePort } from './resolve-port.ts';

interface ProberNeed {
  execSync: ExecSync;
  clock: Clock;
}

/** An attempt that itself goes wrong is made again at once, so often in all. */
const attemptsMax = 3;

/** Asks the container, again at once when the asking fails. Throws only when `signal` aborts. */
export async function probeContainer(
  target: ProbeTarget,
  containerId: string,
  status: PodStatus,
  need: ProberNeed,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  let outcome: ProbeOutcome;
  let attempts = 0;
  do outcome = await attempt(target, containerId, status, need, signal);
  while (outcome.kind === 'error' && ++attempts < attemptsMax && !signal.aborted);
  return outcome;
}

async function attempt(
  { container, spec }: ProbeTarget,
  containerId: string,
  status: PodStatus,
  { execSync, clock }: ProberNeed,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const timeoutSeconds = spec.timeoutSeconds ?? 1;
  const podIp = status.podIP ?? '';
  try {
    if (spec.exec !== undefined) {
      const command = expandCommand(spec.exec.command ?? [], container.env ?? []);
      return await probeByExec(execSync, containerId, command, timeoutSeconds, signal);
    }
    if (spec.httpGet !== undefined) {
      const request = makeHttpProbeRequest(spec.httpGet, container, podIp);
      return await probeByHttp(request, timeoutSeconds, clock, signal);
    }
    if (spec.tcpSocket !== undefined) {
      const { host, port } = spec.tcpSocket;
      const address = host === undefined || host === '' ? podIp : host;
      return await probeByTcp(address, resolvePort(port, container), timeoutSeconds, clock, signal);
    }
    if (spec.grpc !== undefined) {
      return await probeByGrpc(podIp, spec.grpc.port, spec.grpc.service ?? '', timeoutSeconds, clock, signal);
    }
    throw new Error(`missing probe handler for ${container.name}`);
  } catch (err) {
    signal.throwIfAborted();
    return { kind: 'error', result: 'unknown', err };
  }
}
