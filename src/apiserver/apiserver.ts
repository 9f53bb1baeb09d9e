/**
 * The lab's API server. A request goes through four rooms: `request/` (routing, forms, errors) → `access/` (who, may
 * they, admission) → `resources/` (one strategy per kind around one generic path) → `storage/` and `watch/` (the store
 * and its caches). This file plugs them together.
 *
 * Promises: what it answers as written is in the store; lists without a revision show everything written before they
 * were asked for; watches miss nothing, or say that they are too old. Needs a store, certificates and keys.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import { admit } from './access/admission.ts';
import { ServiceAccountTokens } from './access/service-account-tokens.ts';
import { type OwnObjectsNeed, ensureOwnObjects } from './own-objects.ts';
import { Exchange } from './request/http-exchange.ts';
import { KubeletProxy } from './request/kubelet-proxy.ts';
import { OpenApi } from './request/openapi.ts';
import { Router, auditIdOf } from './request/router.ts';
import { Registry } from './resources/registry.ts';
import { ResourceTable } from './resources/resource-table.ts';
import { type PortRange, ServiceAllocator } from './resources/service-allocator.ts';
import type { Storage } from './storage/storage.ts';

export interface ApiServerOptions {
  storage: Storage;
  /** Above all keys; `/registry`. */
  etcdPrefix: string;
  /** Groups and versions to serve that are off by default. */
  enabledVersions?: ReadonlySet<string>;
  bindAddress: string;
  /** 0 takes a free one. */
  securePort: number;
  /** The address in the endpoints of default/kubernetes. */
  advertiseAddress: string;
  tlsCertFile: string;
  tlsPrivateKeyFile: string;
  clientCaFile: string;
  serviceAccountKeyFiles: readonly string[];
  serviceAccountSigningKeyFile: string | undefined;
  serviceAccountIssuers: readonly string[];
  /** Empty: the issuers. */
  apiAudiences: readonly string[];
  serviceClusterIpRange: string;
  serviceNodePortRange: PortRange;
  kubeletClientCertificate: string | undefined;
  kubeletClientKey: string | undefined;
  kubeletCertificateAuthority: string | undefined;
  clock: Clock;
  log: Logger;
}

export interface RunningApiServer {
  readonly port: number;
  /** `https://127.0.0.1:6443`. */
  readonly url: string;
  /** Settles when everything has stopped; rejects when a part failed. */
  readonly done: Promise<void>;
}

const ownObjectsPeriodMs = 10_000;
const ownObjectsRetryMs = 500;
const compactionPeriodMs = 5 * 60_000;
const drainMs = 500;

/** Resolves when the server listens and its own objects are in place; it lives until `signal` aborts. */
export async function startApiServer(options: ApiServerOptions, signal: AbortSignal): Promise<RunningApiServer> {
  const { storage, clock, log, etcdPrefix, advertiseAddress } = options;
  const allocator = new ServiceAllocator(options.serviceClusterIpRange, options.serviceNodePortRange);
  const table = new ResourceTable(allocator, options.enabledVersions);
  const registry: Registry = new Registry({
    storage,
    prefix: etcdPrefix,
    clock,
    log,
    admit: (admission) => admit(admission, { registry: () => registry, table, clock }),
  });
  const tokens = new ServiceAccountTokens({
    clock,
    keys: {
      signingKey: readOptional(options.serviceAccountSigningKeyFile),
      verifyingKeys: options.serviceAccountKeyFiles.map((file) => readFileSync(file, 'utf8')),
      issuers: options.serviceAccountIssuers,
      audiences: options.apiAudiences,
    },
    lookUp: async (resource, namespace, name, asked) => {
      const found = await registry.find(table.must('v1', resource), { namespace, name }, asked);
      if (found === undefined) return undefined;
      const { uid = '', deletionTimestamp } = found.metadata;
      return { uid, deletionMs: deletionTimestamp === undefined ? undefined : Date.parse(deletionTimestamp) };
    },
  });
  const server = openServer(options);
  const port = await listen(server, options.bindAddress, options.securePort);
  let isReady = false;
  const stop = new AbortController();
  const stopping = AbortSignal.any([signal, stop.signal]);
  const router = new Router({
    registry,
    table,
    tokens,
    openApi: new OpenApi(table.all()),
    kubelets: new KubeletProxy({
      registry,
      table,
      access: {
        clientCertificateFile: options.kubeletClientCertificate,
        clientKeyFile: options.kubeletClientKey,
        authorityFile: options.kubeletCertificateAuthority,
      },
    }),
    clock,
    log: log.child({ room: 'request' }),
    serverAddress: () => `${advertiseAddress}:${port}`,
    whyNotReady: () => (isReady ? undefined : 'the server is starting: its own objects are not in place yet'),
    checkStorage: async (asked) => void (await storage.get(`${etcdPrefix}/health`, asked)),
  });
  route(server, router, stopping);

  const own: OwnObjectsNeed = {
    registry,
    table,
    allocator,
    advertiseAddress,
    securePort: port,
    clientAuthority: readFileSync(options.clientCaFile, 'utf8'),
  };
  let markReady = (): void => {};
  const ready = new Promise<void>((resolve) => (markReady = resolve));
  const keepOwnObjects = async (part: AbortSignal): Promise<void> => {
    while (!part.aborted) {
      let waitMs = ownObjectsPeriodMs;
      try {
        await ensureOwnObjects(own, part);
        isReady = true;
        markReady();
      } catch (err) {
        if (part.aborted) return;
        waitMs = ownObjectsRetryMs;
        log.warn({ reason: describeError(err) }, 'cannot keep the own objects in place, will retry');
      }
      await clock.sleep(waitMs, part);
    }
  };
  const running = runTogether(stopping, [
    (part) => registry.run(part),
    keepOwnObjects,
    (part) => compactRegularly(options, part),
    (part) => serveUntil(server, clock, part),
  ]);
  // a failed part ends the others, and the requests that wait for them
  const done = running.finally(() => stop.abort());
  await Promise.race([ready, done]);
  const host = options.bindAddress === '0.0.0.0' || options.bindAddress === '::' ? '127.0.0.1' : options.bindAddress;
  log.info({ port, address: options.bindAddress }, 'serving');
  return { port, url: `https://${host}:${port}`, done };
}

const readOptional = (file: string | undefined): string | undefined =>
  file === undefined ? undefined : readFileSync(file, 'utf8');

/** HTTP/2 for many requests at once, HTTP/1.1 for those who upgrade. */
function openServer({ tlsCertFile, tlsPrivateKeyFile, clientCaFile }: ApiServerOptions): http2.Http2SecureServer {
  return http2.createSecureServer({
    allowHTTP1: true,
    cert: readFileSync(tlsCertFile),
    key: readFileSync(tlsPrivateKeyFile),
    ca: readFileSync(clientCaFile),
    requestCert: true,
    rejectUnauthorized: false, // those without a certificate may have a token
    minVersion: 'TLSv1.2',
    maxSessionMemory: 1000,
    settings: { maxConcurrentStreams: 1000, initialWindowSize: 1024 * 1024 },
  });
}

function listen(server: http2.Http2SecureServer, address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(new Error(`Cannot listen on "${address}:${port}"`, { cause })));
    server.listen(port, address, () => resolve((server.address() as AddressInfo).port)); // TCP always has one
  });
}

function route(server: http2.Http2SecureServer, router: Router, stopping: AbortSignal): void {
  server.on('request', (request, response) => {
    // the compatibility classes of HTTP/2 have the shape of these two as far as an exchange uses it
    const message = request as unknown as IncomingMessage;
    const exchange = new Exchange(message, response as unknown as ServerResponse, auditIdOf(message), stopping);
    const socket = 'stream' in request ? request.stream?.session?.socket : undefined;
    void router.handle(exchange, (socket ?? request.socket) as TLSSocket); // never rejects; every socket here is TLS
  });
  server.on('upgrade', (message: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy()); // the other side is gone: nobody to tell
    void router.upgrade(message, socket, head, message.socket as TLSSocket, stopping); // never rejects
  });
  server.on('sessionError', () => {}); // a broken client connection is the client's matter
  server.on('tlsClientError', () => {});
}

/** Stops listening when `signal` aborts, lets answers in progress end, then closes what is left. */
async function serveUntil(server: http2.Http2SecureServer, clock: Clock, signal: AbortSignal): Promise<void> {
  const sockets = new Set<TLSSocket>();
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  await Promise.race([closed, clock.sleep(drainMs, new AbortController().signal)]);
  for (const socket of sockets) socket.destroy();
  await closed;
}

/** Drops history that is older than one to two periods. */
async function compactRegularly(
  { storage, etcdPrefix, clock, log }: ApiServerOptions,
  signal: AbortSignal,
): Promise<void> {
  let before: number | undefined;
  while (!signal.aborted) {
    try {
      const { revision } = await storage.get(`${etcdPrefix}/health`, signal);
      if (before !== undefined) await storage.compact(before, signal);
      before = revision;
    } catch (err) {
      if (signal.aborted) return;
      log.warn({ reason: describeError(err) }, 'cannot compact the store, will retry');
    }
    await clock.sleep(compactionPeriodMs, signal);
  }
}
