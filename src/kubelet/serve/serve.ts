/**
 * The kubelet's HTTPS door, port 10250: health, pods, logs, exec, attach, port-forward, metrics. Owns the listener,
 * who may come in (client certificate or token; then SubjectAccessReview), and the sessions that it relays.
 *
 * Promises: routes, codes and texts of upstream. What we don't serve is 404. Streams are relayed as bytes to the
 * runtime's streaming server and end with either side. A changed certificate or client CA is used from the next
 * handshake on, and connections that an older CA let in don't outlive it. When `run` has settled, the port is free
 * and no session is left.
 *
 * Needs: see `ServeNeed`.
 */
import { constants } from 'node:crypto';
import { type IncomingMessage, ServerResponse } from 'node:http';
import { type Server, createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { describeError } from '../../base/errors.ts';
import { aborted } from '../../base/run-together.ts';
import { accessAttributes } from './access-attributes.ts';
import { Authenticator } from './authenticate.ts';
import { Authorizer } from './authorize.ts';
import { clientCertificate } from './client-certificate.ts';
import { answerContainerLogs } from './container-logs-page.ts';
import { type Exchange, answerJson, answerText } from './exchange.ts';
import { answerHealth } from './health-pages.ts';
import { type Registered, type Route, matchRoute } from './match-route.ts';
import { answerMetrics, answerPods, answerRunningPods, answerStatsSummary } from './pages.ts';
import { requestLabels } from './request-labels.ts';
import type { ServeNeed } from './serve-need.ts';
import { answerStatusz } from './statusz-page.ts';
import { StreamPages } from './stream-pages.ts';

export { HealthServer } from './health-server.ts';
export type { Changing, HealthCheck, KeyPair, Page, ReadLog, RunningPod, ServeNeed, Statusz } from './serve-need.ts';

const idleMs = 90_000;
const bodyMaxMs = 4 * 60 * 60 * 1000;
const handshakeMaxMs = 10_000;
const headerMaxBytes = 1024 * 1024;
const connectionsMax = 4096;
/** A client that got an answer instead of a stream has so long to hang up. */
const lingerMs = 5000;

type Pages = { [K in Route['kind']]: (exchange: Exchange, route: Extract<Route, { kind: K }>) => Promise<void> };

export class KubeletServer {
  readonly #need: ServeNeed;
  readonly #authenticator: Authenticator;
  readonly #authorizer: Authorizer;
  readonly #registered: Registered;
  readonly #pages: Pages;
  readonly #port = Promise.withResolvers<number>();
  /** Requests and streams in progress. */
  readonly #exchanges = new Set<Promise<void>>();
  readonly #sockets = new Set<Socket>();
  /** How often the client CA has changed before a connection was made. */
  readonly #generations = new WeakMap<TLSSocket, number>();
  #generation = 0;

  constructor(need: ServeNeed) {
    this.#need = need;
    const { authentication, authorization, nodeName, clock, log } = need;
    this.#authenticator = new Authenticator(authentication, clock, log);
    this.#authorizer = new Authorizer(authorization, nodeName, clock, log);
    this.#registered = {
      metricPaths: new Set(need.metricPages.keys()),
      checks: need.healthChecks.map(({ name }) => name),
      hasStatsSummary: need.statsSummary !== undefined,
      hasDebuggingHandlers: need.hasDebuggingHandlers,
    };
    this.#pages = this.#makePages();
    this.#port.promise.catch(() => {}); // `run` tells of the failure
  }

  /** The port, once we listen on it. */
  port(): Promise<number> {
    return this.#port.promise;
  }

  /** Serves until `signal` aborts. Rejects when the address can't be had. */
  async run(signal: AbortSignal): Promise<void> {
    const { address, port, tls, authentication, log } = this.#need;
    const server = createServer({
      ...this.#secureContext(),
      requestCert: authentication.clientCa !== undefined,
      rejectUnauthorized: false, // who has no certificate may have a token
      allowHalfOpen: true,
      handshakeTimeout: handshakeMaxMs,
      maxHeaderSize: headerMaxBytes,
      requestTimeout: bodyMaxMs,
      keepAliveTimeout: idleMs,
    });
    server.maxConnections = connectionsMax;
    this.#listenTo(server, signal);
    const ends = [
      tls.servingCertificate.onChange(() => server.setSecureContext(this.#secureContext())),
      authentication.clientCa?.onChange(() => {
        this.#generation++;
        server.setSecureContext(this.#secureContext());
        server.closeIdleConnections();
      }),
    ];
    try {
      await listen(server, address, port);
      server.on('error', (err) => log.error({ err }, 'the kubelet API has trouble with its listener'));
      const listening = (server.address() as AddressInfo).port; // it listens on TCP
      log.info({ address, port: listening }, 'serving the kubelet API');
      this.#port.resolve(listening);
      const closed = new Promise<void>((resolve) => server.once('close', resolve));
      await aborted(signal);
      server.close();
      await Promise.all(this.#exchanges);
      for (const socket of this.#sockets) socket.destroy(); // those in a handshake, too
      await closed;
    } catch (err) {
      this.#port.reject(err);
      throw err;
    } finally {
      for (const end of ends) end?.();
    }
  }

  #listenTo(server: Server, signal: AbortSignal): void {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('secureConnection', (socket: TLSSocket) => this.#generations.set(socket, this.#generation));
    server.on('tlsClientError', (err) => this.#need.log.debug({ reason: err.message }, 'a TLS handshake failed'));
    server.on('request', (request, response) => {
      request.resume(); // no page reads a body
      this.#begin(request, response, undefined, signal);
    });
    server.on('upgrade', (request: IncomingMessage, socket, head: Buffer) => {
      if (!(socket instanceof TLSSocket)) {
        socket.destroy();
        return;
      }
      socket.on('error', () => {}); // 'close' follows
      const response = new ServerResponse(request);
      response.shouldKeepAlive = false;
      response.assignSocket(socket);
      response.once('finish', () => socket.end());
      this.#begin(request, response, { socket, head }, signal);
    });
  }

  #begin(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: Exchange['upgrade'],
    stopSignal: AbortSignal,
  ): void {
    const done = this.#exchange(request, response, upgrade, stopSignal).finally(() => this.#exchanges.delete(done));
    this.#exchanges.add(done);
  }

  /** One request from its head to its end. Never rejects. */
  async #exchange(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: Exchange['upgrade'],
    stopSignal: AbortSignal,
  ): Promise<void> {
    const { method = '', url = '' } = request;
    const ended = this.#need.onRequest?.(requestLabels(method, url, this.#registered.metricPaths));
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const signal = AbortSignal.any([stopSignal, gone.signal]);
    try {
      await this.#answer(request, response, upgrade, signal, stopSignal);
    } catch (err) {
      if (!signal.aborted) {
        this.#need.log.error({ err, url: request.url?.replace(/\?.*/s, '') }, 'a request failed');
        if (response.headersSent) request.socket.destroy();
        else answerText({ response }, 500, `${describeError(err)}\n`);
      }
    }
    // a page that gave up, since the client is gone or we stop, leaves nothing open
    if (signal.aborted && !response.writableEnded) request.socket.destroy();
    ended?.();
    if (upgrade !== undefined) await this.#closeGently(upgrade.socket, stopSignal);
  }

  /** For a connection that HTTP has let go of: lets the answer arrive before it closes. */
  async #closeGently(socket: TLSSocket, stopSignal: AbortSignal): Promise<void> {
    if (socket.destroyed) return;
    const closed = new AbortController();
    socket.once('close', () => closed.abort());
    socket.resume();
    await this.#need.clock.sleep(lingerMs, AbortSignal.any([stopSignal, closed.signal]));
    socket.destroy();
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: Exchange['upgrade'],
    signal: AbortSignal,
    stopSignal: AbortSignal,
  ): Promise<void> {
    const method = request.method ?? '';
    const target = splitTarget(request.url ?? '');
    if (target === undefined) return answerText({ response }, 400, '400 Bad Request\n');
    const { path, query } = target;
    const exchange: Exchange = { request, response, method, path, query, upgrade, signal, stopSignal };
    const match = matchRoute(method, path, this.#registered);
    if (match.kind === 'unknown') return answerText(exchange, 404, '404 page not found\n');
    if (match.kind === 'redirect') return answerText(exchange, 301, '', { Location: match.location });

    const user = await this.#authenticate(request, response, stopSignal);
    if (signal.aborted) return;
    if (user === undefined) return answerText(exchange, 401, 'Unauthorized');
    const denial = await this.#authorizer.authorize(user, accessAttributes(method, path), stopSignal);
    if (signal.aborted) return;
    if (denial !== undefined) return answerText(exchange, denial.status, denial.text);
    if (match.kind === 'refused') {
      return answerText(exchange, match.status, match.text, match.allow === undefined ? {} : { Allow: match.allow });
    }
    await this.#page(exchange, match.route);
  }

  #authenticate(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): ReturnType<Authenticator['authenticate']> {
    const { socket, headers } = request;
    const certificate = socket instanceof TLSSocket ? clientCertificate(socket) : undefined;
    const isCurrent = socket instanceof TLSSocket && this.#generations.get(socket) === this.#generation;
    if (!isCurrent) response.shouldKeepAlive = false; // the next request is to be judged by the new CA
    return this.#authenticator.authenticate(
      {
        certificate: certificate && { ...certificate, isTrusted: certificate.isTrusted && isCurrent },
        authorization: headers.authorization,
        protocols: headers['sec-websocket-protocol'],
      },
      signal,
    );
  }

  #page<K extends Route['kind']>(exchange: Exchange, route: Extract<Route, { kind: K }>): Promise<void> {
    const page = this.#pages[route.kind] as Pages[K]; // the table has this kind's page under it
    return page(exchange, route);
  }

  #makePages(): Pages {
    const need = this.#need;
    const streams = new StreamPages(need);
    return {
      healthz: (exchange, { check }) => answerHealth(exchange, need.healthChecks, check),
      metrics: (exchange) => answerMetrics(exchange, need),
      'stats-summary': async (exchange) => {
        if (need.statsSummary !== undefined) await answerStatsSummary(exchange, need.statsSummary);
      },
      pods: async (exchange) => answerPods(exchange, need.pods()),
      'running-pods': async (exchange) => answerRunningPods(exchange, await need.runningPods(exchange.signal)),
      configz: async (exchange) => answerJson(exchange, 200, JSON.stringify({ kubeletconfig: need.configz() })),
      statusz: async (exchange) => answerStatusz(exchange, need.statusz()),
      'container-logs': (exchange, route) => answerContainerLogs(exchange, route, need),
      run: (exchange, route) => streams.run(exchange, route),
      exec: (exchange, route) => streams.exec(exchange, route),
      attach: (exchange, route) => streams.attach(exchange, route),
      'port-forward': (exchange, route) => streams.portForward(exchange, route),
    };
  }

  #secureContext(): object {
    const { tls, authentication } = this.#need;
    const pair = tls.servingCertificate.current();
    return {
      ...(pair === undefined ? {} : { cert: pair.cert, key: pair.key }),
      // without a bundle of ours nobody may be let in by the well-known CAs of the web
      ...(authentication.clientCa === undefined ? {} : { ca: authentication.clientCa.current() ?? [] }),
      ...(tls.ciphers === undefined ? {} : { ciphers: tls.ciphers }),
      minVersion: tls.minVersion,
      // a resumed session would bring back what an older CA once allowed
      secureOptions: constants.SSL_OP_NO_TICKET,
    };
  }
}

function listen(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new Error(`Cannot serve the kubelet API on "${address}:${port}"`, { cause })),
    );
    server.listen({ host: address, port }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

/** Undefined for what is no path. The path is decoded once, for routes and access alike. */
function splitTarget(target: string): { path: string; query: URLSearchParams } | undefined {
  const mark = target.indexOf('?');
  const rawPath = mark < 0 ? target : target.slice(0, mark);
  if (!rawPath.startsWith('/')) return undefined;
  try {
    return { path: decodeURIComponent(rawPath), query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)) };
  } catch {
    return undefined; // a percent sign that encodes nothing
  }
}
