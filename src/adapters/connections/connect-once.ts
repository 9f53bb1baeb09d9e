/** One TCP connection, to see whether somebody answers. Owns the socket for that long. */
import { connect } from 'node:net';
import { errnoOf } from '../../base/errors.ts';

export interface ConnectOutcome {
  /** `silent`: no answer in time. */
  readonly outcome: 'connected' | 'refused' | 'unreachable' | 'silent' | 'failed';
  readonly tookMs: number;
  /** Where we came from; undefined when there was no connection. */
  readonly from: { readonly ip: string; readonly port: number } | undefined;
  /** The system's word for what went wrong. */
  readonly errno: string | undefined;
}

const outcomes: Readonly<Record<string, ConnectOutcome['outcome']>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
};

/** Never rejects: what went wrong is the answer. */
export function connectOnce(ip: string, port: number, timeoutMs: number): Promise<ConnectOutcome> {
  const startMs = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, timeout: timeoutMs });
    const end = (outcome: ConnectOutcome['outcome'], errno?: string): void => {
      const { localAddress, localPort } = socket;
      const from =
        localAddress === undefined || localPort === undefined ? undefined : { ip: localAddress, port: localPort };
      socket.destroy();
      resolve({ outcome, tookMs: Math.round((performance.now() - startMs) * 10) / 10, from, errno });
    };
    socket.once('connect', () => end('connected'));
    socket.once('timeout', () => end('silent'));
    socket.once('error', (err) => end(outcomes[errnoOf(err) ?? ''] ?? 'failed', errnoOf(err)));
  });
}
