/** One request of an HTTP probe on a connection of its own: no proxy, no agent, no connection kept. */
import { type OutgoingHttpHeaders, request as httpRequest } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { type Socket, connect, isIP } from 'node:net';
import type { Readable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { HttpProbeRequest } from './http-probe-request.ts';
import { joinHostPort } from './probe-outcome.ts';

export interface HttpAnswer {
  statusCode: number;
  location: string | undefined;
  body: Readable;
  /** Ends the connection; what was not read is lost. */
  close(): void;
}

/** Asks; over TLS in HTTP/2 when the server chooses it. Certificates are not checked: pods sign their own. */
export async function exchangeHttp(request: HttpProbeRequest, signal: AbortSignal): Promise<HttpAnswer> {
  const { scheme, host, port } = request;
  if (scheme === 'http') return askHttp1(request, connect({ host, port }), signal);
  const socket = connectTls({
    host,
    port,
    servername: isIP(host) === 0 ? host : '', // TLS names servers by DNS name only
    rejectUnauthorized: false,
    ALPNProtocols: ['h2', 'http/1.1'],
  });
  await whenSecure(socket, signal);
  return socket.alpnProtocol === 'h2' ? askHttp2(request, socket, signal) : askHttp1(request, socket, signal);
}

function whenSecure(socket: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    // stays: whoever uses the connection next hears of its end by other ways
    socket.on('error', (err) => {
      signal.removeEventListener('abort', onAbort);
      reject(err);
    });
  });
}

function askHttp1(
  { scheme, host, port, path, headers }: HttpProbeRequest,
  socket: Socket,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const hasHost = headers.some(([name]) => name.toLowerCase() === 'host');
  const flat = [...(hasHost ? [] : [['Host', authority(scheme, host, port)] as const]), ...headers].flat();
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => socket,
      path,
      method: 'GET',
      headers: [...flat, 'Connection', 'close'],
      setHost: false,
      signal,
      maxHeaderSize: 64 * 1024,
    });
    request.once('response', (answer) =>
      resolve({
        statusCode: answer.statusCode ?? 0,
        location: answer.headers.location,
        body: answer,
        close: () => socket.destroy(),
      }),
    );
    // a probe that is answered by an upgrade is answered by something that speaks no HTTP
    request.once('upgrade', () => {
      socket.destroy();
      reject(new Error('unexpected upgrade'));
    });
    request.on('error', reject);
    request.end();
  });
}

/** Headers that belong to a connection of HTTP/1. */
const ofConnections = new Set(['connection', 'host', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

function askHttp2(request: HttpProbeRequest, socket: Socket, signal: AbortSignal): Promise<HttpAnswer> {
  const { scheme, host, port, path, headers } = request;
  const own = authority(scheme, host, port);
  const wanted = headers.find(([name]) => name.toLowerCase() === 'host')?.[1] ?? own;
  const fields: Record<string, string[]> = {};
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    if (!ofConnections.has(key)) fields[key] = [...(fields[key] ?? []), value];
  }
  const sent: OutgoingHttpHeaders = { ':method': 'GET', ':scheme': scheme, ':authority': wanted, ':path': path };
  for (const [name, values] of Object.entries(fields)) sent[name] = values.length === 1 ? values[0] : values;
  return new Promise((resolve, reject) => {
    const session: ClientHttp2Session = connectHttp2(`https://${own}`, { createConnection: () => socket });
    const close = (): void => session.destroy();
    signal.addEventListener('abort', close, { once: true });
    session.once('close', () => {
      signal.removeEventListener('abort', close);
      reject(new Error('EOF')); // nothing any more when there was an answer
    });
    session.on('error', reject);
    const stream = session.request(sent, { signal });
    stream.on('error', reject);
    stream.once('response', (answer) =>
      resolve({ statusCode: answer[':status'] ?? 0, location: answer.location, body: stream, close }),
    );
    stream.end();
  });
}

/** Host and port as they are named in a request; without the port that the scheme has anyway. */
function authority(scheme: 'http' | 'https', host: string, port: number): string {
  const isDefault = port === (scheme === 'https' ? 443 : 80);
  return isDefault ? joinHostPort(host, port).replace(/:\d+$/, '') : joinHostPort(host, port);
}
