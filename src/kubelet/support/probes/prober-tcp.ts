import { connect } from 'node:net';
import type { Clock } from '../../../base/clock.ts';
import { closedByDeadline } from '../../../base/deadline.ts';
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
    await closedByDeadline<void>('the connection', timeoutSeconds * 1000, clock, signal, (resolve, reject) => {
      const socket = connect({ host, port });
      socket.once('connect', resolve);
      socket.on('error', reject);
      return () => socket.destroy();
    });
    return { kind: 'success', output: '' };
  } catch (err) {
    if (signal.aborted) throw err;
    const output = isDeadline(err) ? `dial tcp ${hostPort}: i/o timeout` : networkErrorText(err, hostPort);
    return { kind: 'failure', output };
  }
}
