import { connect } from 'node:net';
import type { Clock } from '../../../base/clock.ts';
import { withDeadline } from '../../../base/deadline.ts';
import { isDeadline } from '../../../base/errors.ts';
import { type ProbeOutcome, joinHostPort, networkErrorText } from './probe-outcome.ts';

/** Success is an accepted connection; it is closed again without a byte. */
export async function probeByTcp(
  host: string,
  port: number,
  timeoutSeconds: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const hostPort = joinHostPort(host, port);
  try {
    await withDeadline('the connection', timeoutSeconds * 1000, clock, signal, (s) => connectOnce(host, port, s));
    return { kind: 'success', output: '' };
  } catch (err) {
    if (signal.aborted) throw err;
    const output = isDeadline(err) ? `dial tcp ${hostPort}: i/o timeout` : networkErrorText(err, hostPort);
    return { kind: 'failure', output };
  }
}

function connectOnce(host: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
