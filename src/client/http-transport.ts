/**
 * One server, one connection: requests are streams of an HTTP/2 session that is opened when needed, checked by pings,
 * and replaced when it ends or when the credentials on disk change. A server that does not speak HTTP/2 is spoken to
 * over HTTP/1.1 with kept-alive connections.
 */
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { isIP } from 'node:net';
import { PassThrough, type Readable, pipeline } from 'node:stream';
import tls from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { UnavailableError } from '../base/errors.ts';
import type { Credentials, ServerAccess } from './kubeconfig.ts';

export interface HttpRequest {
  method: string;
  /** Path and query below the server's URL. */
  path: string;
  headers: Record<string, string>;
  body: string | undefined;
}

export interface HttpResponse {
  status: number;
  /** Lower-case name to value. */
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Readable;
  /** Throws when the body ended without being complete; call it after the body's end. */
  assertComplete: () => void;
}

export interface TransportOptions {
  access: ServerAccess;
  credentials: Credentials;
  clock: Clock;
  /** Silence after which a ping is sent, in ms; 0 sends none. */
  pingAfterMs?: number;
  /** A ping unanswered for so long ends the session, in ms. */
  pingTimeoutMs?: number;
}

const connectTimeoutMs = 15_000;
/** The least time between two looks at the certificate files. */
const credentialsCheckMs = 10_000;

type Connection =
  | { kind: 'h2'; session: http2.ClientHttp2Session }
  | { kind: 'h1'; agent: http.Agent; isTls: boolean; tlsOptions: tls.ConnectionOptions };

export class HttpTransport {
  readonly #options: Required<TransportOptions>;
  readonly #url: URL;
  readonly #closed = new AbortController();
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  #credentialsCheckedMs = 0;

  constructor(options: TransportOptions) {
    this.#options = { pingAfterMs: 30_000, pingTimeoutMs: 15_000, ...options };
    this.#url = new URL(options.access.server);
  }

  /**
   * Sends one request and resolves when the response's head is there. The body must be read or destroyed.
   * @throws {UnavailableError} when there is no connection or it breaks before the head came
   */
  async request(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
    signal.throwIfAborted();
    if (this.#closed.signal.aborted) throw new UnavailableError('the API client is closed');
    await this.#dropOutdatedConnection();
    const connection = await this.#connect(signal);
    const path = this.#url.pathname.replace(/\/$/, '') + request.path;
    return connection.kind === 'h2'
      ? this.#requestOverHttp2(connection.session, { ...request, path }, signal)
      : this.#requestOverHttp1(connection, { ...request, path }, signal);
  }

  /** Ends the connection and everything on it. */
  close(): void {
    this.#closed.abort();
    this.#drop('now');
  }

  /** Streams that run go on; new requests get a new connection. */
  reconnect(): void {
    this.#drop('gently');
  }

  #drop(how: 'now' | 'gently'): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    if (connection.kind === 'h1') {
      connection.agent.destroy();
    } else if (how === 'now') {
      connection.session.destroy();
    } else {
      connection.session.close();
    }
  }

  async #dropOutdatedConnection(): Promise<void> {
    if (this.#connection === undefined) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#credentialsCheckedMs < credentialsCheckMs) return;
    this.#credentialsCheckedMs = nowMs;
    if (await this.#options.credentials.haveChanged()) this.reconnect();
  }

  /** The open connection, or a new one: callers that come meanwhile wait for the same attempt. */
  async #connect(signal: AbortSignal): Promise<Connection> {
    const current = this.#connection;
    if (current !== undefined) {
      if (current.kind === 'h1' || !(current.session.closed || current.session.destroyed)) return current;
      this.#connection = undefined;
    }
    if (this.#connecting === undefined) {
      this.#connecting = this.#open().finally(() => (this.#connecting = undefined));
      this.#connecting.catch(() => {}); // each caller that still waits gets the failure below
    }
    return orAbort(this.#connecting, signal);
  }

  async #open(): Promise<Connection> {
    const { access, credentials, clock } = this.#options;
    if (this.#url.protocol === 'http:') {
      this.#connection = { kind: 'h1', agent: new http.Agent({ keepAlive: true }), isTls: false, tlsOptions: {} };
      return this.#connection;
    }
    const { ca, cert, key } = await credentials.tlsMaterial();
    this.#credentialsCheckedMs = clock.monotonicMs();
    const host = this.#url.hostname.replace(/^\[|\]$/g, '');
    const servername = access.tlsServerName ?? (isIP(host) === 0 ? host : '');
    const tlsOptions: tls.ConnectionOptions = {
      host,
      port: this.#url.port === '' ? 443 : Number(this.#url.port),
      servername,
      rejectUnauthorized: !access.insecureSkipTlsVerify,
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
    const socket = await this.#handshake(tlsOptions);
    if (this.#closed.signal.aborted) {
      socket.destroy();
      throw new UnavailableError('the API client is closed');
    }
    if (socket.alpnProtocol === 'h2') {
      const session = http2.connect(this.#url.origin, { createConnection: () => socket });
      session.setMaxListeners(0);
      session.setLocalWindowSize(16 * 1024 * 1024);
      session.on('error', () => {}); // each stream on it reports the failure to its caller
      void this.#watchSession(session, socket); // does not reject; ends with the session
      this.#connection = { kind: 'h2', session };
    } else {
      socket.destroy();
      const agent = new https.Agent({ keepAlive: true, ...tlsOptions, ALPNProtocols: ['http/1.1'] });
      this.#connection = { kind: 'h1', agent, isTls: true, tlsOptions };
    }
    return this.#connection;
  }

  #handshake(tlsOptions: tls.ConnectionOptions): Promise<tls.TLSSocket> {
    const { clock } = this.#options;
    const settled = new AbortController();
    return new Promise<tls.TLSSocket>((resolve, reject) => {
      const fail = (err: Error): void => {
        settled.abort();
        socket.destroy();
        reject(new UnavailableError(`Cannot connect to "${this.#url.origin}"`, { cause: withMessage(err) }));
      };
      const socket = tls.connect({ ...tlsOptions, ALPNProtocols: ['h2', 'http/1.1'] }, () => {
        settled.abort();
        socket.off('error', fail);
        socket.on('error', () => {}); // after the handshake the session or the agent reports
        socket.setKeepAlive(true, 30_000);
        socket.setNoDelay(true);
        resolve(socket);
      });
      socket.once('error', fail);
      const stop = AbortSignal.any([settled.signal, this.#closed.signal]);
      void clock.sleep(connectTimeoutMs, stop).then(() => {
        if (!settled.signal.aborted) fail(new Error(`no answer within ${connectTimeoutMs / 1000}s`));
      });
    });
  }

  /** Pings a silent session until it ends; one that does not answer is destroyed, which fails its streams. */
  async #watchSession(session: http2.ClientHttp2Session, socket: tls.TLSSocket): Promise<void> {
    const { clock, pingAfterMs, pingTimeoutMs } = this.#options;
    if (pingAfterMs === 0) return;
    const ended = new AbortController();
    session.once('close', () => ended.abort());
    let bytesRead = socket.bytesRead;
    while (!ended.signal.aborted) {
      await clock.sleep(pingAfterMs, ended.signal);
      if (ended.signal.aborted || session.destroyed) return;
      if (socket.bytesRead !== bytesRead) {
        bytesRead = socket.bytesRead;
        continue;
      }
      const answered = new AbortController();
      try {
        session.ping(() => answered.abort());
      } catch {
        return; // the session is closing
      }
      await clock.sleep(pingTimeoutMs, AbortSignal.any([answered.signal, ended.signal]));
      if (!answered.signal.aborted && !ended.signal.aborted) {
        session.destroy(new UnavailableError(`"${this.#url.origin}" does not answer pings`));
        return;
      }
      bytesRead = socket.bytesRead;
    }
  }

  #requestOverHttp2(
    session: http2.ClientHttp2Session,
    { method, path, headers, body }: HttpRequest,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      const failed = (cause: unknown): UnavailableError =>
        new UnavailableError(`The connection to "${this.#url.origin}" broke`, { cause });
      let stream: http2.ClientHttp2Stream;
      try {
        stream = session.request({ ':method': method, ':path': path, ...headers }, { endStream: body === undefined });
      } catch (err) {
        reject(failed(err)); // the session ended between the look and the request
        return;
      }
      const onAbort = (): void => {
        stream.close(http2.constants.NGHTTP2_CANCEL);
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      let failure: unknown;
      stream.on('error', (err) => {
        failure = err;
        reject(failed(withMessage(err)));
      });
      stream.once('close', () => {
        signal.removeEventListener('abort', onAbort);
        reject(failed(failure ?? new Error('the stream was closed before the response came')));
      });
      stream.once('response', (responseHeaders) => {
        // Read from now on: a short answer may be whole, and its stream closed, before the caller comes to read it.
        const answer = new PassThrough();
        pipeline(stream, answer, () => {}); // the reader of the body sees its failure
        resolve({
          status: Number(responseHeaders[':status'] ?? 0),
          headers: responseHeaders,
          body: answer,
          assertComplete: () => {
            if (signal.aborted) signal.throwIfAborted();
            if (failure !== undefined || stream.aborted || (stream.rstCode ?? 0) !== 0) {
              throw failed(failure ?? new Error(`the stream was reset (code ${stream.rstCode ?? 'unknown'})`));
            }
          },
        });
      });
      if (body !== undefined) stream.end(body);
    });
  }

  #requestOverHttp1(
    { agent, isTls, tlsOptions }: Extract<Connection, { kind: 'h1' }>,
    { method, path, headers, body }: HttpRequest,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      const failed = (cause: unknown): UnavailableError =>
        new UnavailableError(`The connection to "${this.#url.origin}" broke`, { cause });
      const options = {
        agent,
        method,
        path,
        hostname: this.#url.hostname.replace(/^\[|\]$/g, ''),
        port: this.#url.port,
        headers: body === undefined ? headers : { ...headers, 'content-length': String(Buffer.byteLength(body)) },
      };
      const request = isTls
        ? https.request({ ...options, servername: tlsOptions.servername ?? '' })
        : http.request(options);
      request.setSocketKeepAlive(true, 30_000);
      const onAbort = (): void => {
        request.destroy();
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      request.once('close', () => signal.removeEventListener('abort', onAbort));
      request.on('error', (err: Error) => {
        if (!signal.aborted) {
          // an HTTP/1.1 answer to the first handshake is no promise: ask again which protocol is spoken
          if (this.#connection?.kind === 'h1' && this.#connection.agent === agent) this.#connection = undefined;
        }
        reject(failed(withMessage(err)));
      });
      request.once('response', (response) => {
        response.on('error', () => {}); // readers of the body see it too
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: response,
          assertComplete: () => {
            if (signal.aborted) signal.throwIfAborted();
            if (!response.complete) throw failed(new Error('the response ended early'));
          },
        });
      });
      request.end(body);
    });
  }
}

/** Some of Node's connection errors carry their text in `errors` or `code` only. */
function withMessage(err: unknown): unknown {
  if (err instanceof AggregateError && err.message === '' && err.errors[0] instanceof Error) return err.errors[0];
  return err;
}

/** The promise's result, or a rejection with the signal's reason if it aborts first. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
