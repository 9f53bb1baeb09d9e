/**
 * Answers over TCP. Queries of one connection are worked on at the same time, and answered as soon as each is done
 * (RFC 7766). Connections, and what each may have under way, are bounded; one that says nothing is closed.
 */
import { type Server, type Socket, createServer } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { aborted } from '../../base/run-together.ts';
import { FrameReader, frame } from '../wire/frames.ts';
import { type Resolve, familyNumber } from './udp-server.ts';

export interface TcpServerOptions {
  host: string;
  port: number;
  resolve: Resolve;
  connectionsMax?: number;
  idleMs?: number;
  onListening?: ((port: number) => void) | undefined;
  clock: Clock;
  log: Logger;
}

const defaults = { connectionsMax: 1000, idleMs: 10_000 };
/** Queries of one connection that wait for other name servers; its others are not read meanwhile. */
const waitingMax = 100;
/** Answers that one side sends and the other does not read. */
const unsentBytesMax = 256 * 1024;

/** Serves until `signal` aborts. @throws {Error} when it cannot listen */
export async function serveTcp(options: TcpServerOptions, signal: AbortSignal): Promise<void> {
  const connections = new Set<Socket>();
  const server = await listen(options, (socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
    answerConnection(socket, options);
  });
  const address = server.address();
  options.onListening?.(typeof address === 'object' && address !== null ? address.port : 0);
  await aborted(signal);
  const closed = new Promise((resolve) => server.close(resolve));
  for (const socket of connections) socket.destroy();
  await closed;
}

function answerConnection(socket: Socket, { resolve, clock, log, idleMs = defaults.idleMs }: TcpServerOptions): void {
  const reader = new FrameReader();
  const family = familyNumber(socket.remoteAddress ?? '');
  const queue: Buffer[] = [];
  let waiting = 0;
  let hasEnded = false;
  let cancelIdle = (): void => {};
  /** Only what is said whole, or waited for, counts as life: not single bytes of a query. */
  const alive = (): void => {
    cancelIdle();
    if (!socket.destroyed) cancelIdle = clock.after(idleMs, () => (waiting === 0 ? socket.destroy() : alive()));
  };
  const isFull = (): boolean => waiting >= waitingMax || socket.writableLength > unsentBytesMax;
  const send = (answer: Buffer): void => {
    if (!socket.destroyed) socket.write(frame(answer));
  };
  const answerOne = (packet: Buffer): void => {
    alive();
    const answer = resolve(packet, { transport: 'tcp', family });
    if (answer === undefined) return void socket.destroy(); // no query
    if (!(answer instanceof Promise)) return send(answer);
    waiting++;
    answer
      .then(send)
      .catch((err: unknown) => {
        log.error({ err }, 'a query was not answered');
        socket.destroy();
      })
      .finally(() => {
        waiting--;
        alive();
        goOn();
      });
  };
  /** As far as there is room: what was read in one piece may be thousands of queries. */
  const goOn = (): void => {
    try {
      while (!isFull() && !socket.destroyed) {
        const packet = queue.shift();
        if (packet === undefined) break;
        answerOne(packet);
      }
    } catch (err) {
      log.error({ err }, 'a query was not answered');
      socket.destroy();
    }
    if (isFull() || queue.length > 0) socket.pause();
    else if (socket.isPaused()) socket.resume();
    if (hasEnded && waiting === 0 && queue.length === 0) socket.end();
  };
  socket.setNoDelay(true);
  socket.on('data', (chunk) => {
    queue.push(...reader.read(chunk));
    goOn();
  });
  socket.on('end', () => {
    hasEnded = true;
    goOn();
  });
  socket.on('drain', goOn);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => cancelIdle());
  alive();
}

function listen(
  { host, port, connectionsMax = defaults.connectionsMax }: TcpServerOptions,
  onConnection: (socket: Socket) => void,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    // one that has said all it wants to may still read
    const server = createServer({ allowHalfOpen: true }, onConnection);
    server.maxConnections = connectionsMax;
    const fail = (cause: Error): void => reject(new Error(`Cannot listen on tcp "${host}" port ${port}`, { cause }));
    server.once('error', fail);
    server.listen({ host, port }, () => {
      server.off('error', fail);
      server.on('error', () => {}); // after this only single connections can fail
      resolve(server);
    });
  });
}
