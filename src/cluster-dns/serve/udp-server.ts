/** Answers over UDP. What cannot be answered soon enough is dropped: whoever asked will ask again. */
import { type RemoteInfo, type Socket, createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Logger } from '../../base/logger.ts';
import { aborted } from '../../base/run-together.ts';
import type { Arrival } from '../resolver.ts';

export type Resolve = (packet: Buffer, arrival: Arrival) => Buffer | undefined | Promise<Buffer>;

export interface UdpServerOptions {
  host: string;
  port: number;
  resolve: Resolve;
  onListening?: ((port: number) => void) | undefined;
  log: Logger;
}

/** Queries that wait for other name servers. */
const waitingMax = 4096;
/** Answers that the kernel has not taken yet, in bytes. */
const unsentBytesMax = 4 * 1024 * 1024;
/** Queries that arrive while others are answered wait in the kernel; it may give less. */
const receiveBufferBytes = 2 * 1024 * 1024;

/** Serves until `signal` aborts. @throws {Error} when it cannot listen */
export async function serveUdp(options: UdpServerOptions, signal: AbortSignal): Promise<void> {
  const { host, port, onListening, log } = options;
  const socket = await bind(host, port);
  socket.on('error', (err) => log.debug({ reason: err.message }, 'udp socket'));
  socket.on('message', answerMessages(socket, options));
  onListening?.(socket.address().port);
  await aborted(signal);
  await new Promise<void>((resolve) => socket.close(resolve));
}

function answerMessages(
  socket: Socket,
  { resolve, log }: UdpServerOptions,
): (packet: Buffer, from: RemoteInfo) => void {
  let waiting = 0;
  const send = (answer: Buffer, { port, address }: RemoteInfo): void => {
    if (socket.getSendQueueSize() > unsentBytesMax) return;
    // a failure is about the one who asked: gone, or never there
    socket.send(answer, port, address, () => {});
  };
  return (packet, from) => {
    // nobody can be answered at port 0
    if (from.port === 0 || waiting >= waitingMax) return;
    try {
      const answer = resolve(packet, { transport: 'udp', family: familyNumber(from.address) });
      if (answer === undefined) return;
      if (!(answer instanceof Promise)) return send(answer, from);
      waiting++;
      answer
        .then((late) => send(late, from))
        .catch((err: unknown) => log.debug({ err }, 'a late answer could not be sent')) // closed meanwhile
        .finally(() => waiting--);
    } catch (err) {
      log.error({ err }, 'a query was not answered');
    }
  };
}

/** IPv4 addresses may come in IPv6 form. */
export function familyNumber(address: string): '1' | '2' {
  return address.includes('.') ? '1' : '2';
}

function bind(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', recvBufferSize: receiveBufferBytes });
    const fail = (cause: Error): void => {
      socket.close();
      reject(new Error(`Cannot listen on udp "${host}" port ${port}`, { cause }));
    };
    socket.once('error', fail);
    socket.bind(port, host, () => {
      socket.off('error', fail);
      resolve(socket);
    });
  });
}
