import { type IncomingMessage, request as httpRequest } from 'node:http';
import { type Socket, connect } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { withDeadline } from '../../base/deadline.ts';
import type { Logger } from '../../base/logger.ts';
import { type Exchange, answerText } from './exchange.ts';
import { withoutToken } from './parse-credentials.ts';
import { pumpBothWays } from './pump.ts';

interface RelayNeed {
  clock: Clock;
  log: Logger;
}

/** The runtime's streaming server must answer within this. */
const answerMaxMs = 30_000;
/** A refusal's body that is passed on. */
const refusalMaxBytes = 64 * 1024;

type Reply =
  | { kind: 'upgraded'; head: IncomingMessage; socket: Socket; rest: Buffer }
  | { kind: 'answered'; status: number; contentType: string | undefined; body: string };

/**
 * Sends the client's upgrade request to the runtime's streaming server and, once that has agreed, passes bytes both
 * ways until the session is over. What the bytes mean is between client and runtime. A refusal is passed on.
 */
export async function relayUpgrade(
  exchange: Exchange,
  { socket: client, head }: NonNullable<Exchange['upgrade']>,
  url: string,
  { clock, log }: RelayNeed,
): Promise<void> {
  const { signal, stopSignal, response } = exchange;
  const target = new URL(url.includes('://') ? url : `http://${url}`);
  if (target.protocol !== 'http:') {
    throw new Error(`Cannot relay to the runtime at "${target.host}": scheme "${target.protocol}" is not supported`);
  }
  const reply = await withDeadline("the runtime's answer", answerMaxMs, clock, signal, (s) => ask(exchange, target, s));
  if (reply.kind === 'answered') {
    if (reply.status < 400) {
      answerText(exchange, 500, `invalid upgrade response: status code ${reply.status}\n`);
    } else {
      answerText(exchange, reply.status, reply.body, { 'Content-Type': reply.contentType ?? 'text/plain' });
    }
    return;
  }
  const { socket: runtime, rest } = reply;
  if (signal.aborted) {
    runtime.destroy();
    return;
  }
  response.detachSocket(client); // from here on there is no HTTP on it
  client.write(headBytes(reply.head));
  if (rest.length > 0) client.write(rest);
  if (head.length > 0) runtime.write(head);
  await pumpBothWays(client, runtime, clock, stopSignal);
  log.debug({ path: exchange.path, sentBytes: client.bytesWritten, receivedBytes: client.bytesRead }, 'stream ended');
}

function ask({ request, method }: Exchange, target: URL, signal: AbortSignal): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({
      method,
      path: `${target.pathname}${target.search}`,
      headers: forwardedHeaders(request, target),
      setHost: false,
      createConnection: () =>
        connect({
          host: target.hostname.replace(/^\[|\]$/g, ''),
          port: target.port === '' ? 80 : Number(target.port),
          allowHalfOpen: true,
          noDelay: true,
        }),
      signal,
    });
    sent.once('upgrade', (head, socket, rest) => {
      resolve({ kind: 'upgraded', head, socket: socket as Socket, rest }); // what `createConnection` made
    });
    sent.once('response', (answer) => {
      const status = answer.statusCode ?? 0;
      const contentType = answer.headers['content-type'];
      readStart(answer).then((body) => resolve({ kind: 'answered', status, contentType, body }), reject);
    });
    sent.once('error', reject);
    sent.end();
  });
}

/** All but what is between the client and us. */
function forwardedHeaders(request: IncomingMessage, target: URL): string[] {
  const headers: string[] = ['Host', target.host];
  let forwardedFor = '';
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i] ?? '';
    const value = request.rawHeaders[i + 1] ?? '';
    switch (name.toLowerCase()) {
      case 'host':
      case 'authorization':
      case 'content-length':
      case 'transfer-encoding':
        break;
      case 'x-forwarded-for':
        forwardedFor += `${value}, `;
        break;
      case 'sec-websocket-protocol':
        headers.push(name, withoutToken(value));
        break;
      default:
        headers.push(name, value);
    }
  }
  // Without a length Node sends a POST in chunks, whose end marker the runtime would take for the stream's first bytes.
  headers.push('Content-Length', '0');
  return [...headers, 'X-Forwarded-For', `${forwardedFor}${request.socket.remoteAddress ?? ''}`];
}

function headBytes({ rawHeaders, statusMessage }: IncomingMessage): string {
  let head = `HTTP/1.1 101 ${statusMessage ?? 'Switching Protocols'}\r\n`;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) head += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  return `${head}\r\n`;
}

async function readStart(answer: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of answer) {
    pieces.push(piece as Buffer); // no encoding is set: pieces are buffers
    bytes += (piece as Buffer).length;
    if (bytes >= refusalMaxBytes) break;
  }
  return Buffer.concat(pieces).subarray(0, refusalMaxBytes).toString('utf8');
}
