/** From a request to the handler that answers it, past authentication and authorization; every failure becomes a Status. */
import type { IncomingMessage } from 'node:http';
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import { describeError, isDeadline, isUnavailable } from '../../base/errors.ts';
import { rpcDetails } from '../../base/grpc.ts';
import type { Logger } from '../../base/logger.ts';
import { gantryVersion, kubernetesVersion } from '../../base/version.ts';
import { anonymous, authenticate } from '../access/authenticate.ts';
import { type Attributes, authorize, describeRefusal } from '../access/authorize.ts';
import { review } from '../access/reviews.ts';
import type { ServiceAccountTokens } from '../access/service-account-tokens.ts';
import type { Registry, UserInfo } from '../resources/registry.ts';
import type { ResourceTable } from '../resources/resource-table.ts';
import type { Resource } from '../resources/resource.ts';
import {
  StatusError,
  badRequest,
  forbidden,
  methodNotAllowed,
  noSuchResource,
  serviceUnavailable,
  unauthorized,
} from '../resources/status-error.ts';
import { decodeKind, fieldValidationOf, parseBody } from './decode-body.ts';
import { discover } from './discovery.ts';
import type { Exchange } from './http-exchange.ts';
import { type KubeletProxy, isStreaming } from './kubelet-proxy.ts';
import type { OpenApi } from './openapi.ts';
import { handleBinding, handleEviction, handlePodPart } from './pod-subresources.ts';
import { type RequestInfo, type ResourceRequest, requestInfo } from './request-info.ts';
import { type ResourceCall, handleResource, handleView } from './resource-handlers.ts';
import { handleScale } from './scale.ts';
import { handleTokenRequest } from './token-request.ts';

export interface RouterNeed {
  registry: Registry;
  table: ResourceTable;
  tokens: ServiceAccountTokens;
  openApi: OpenApi;
  kubelets: KubeletProxy;
  clock: Clock;
  log: Logger;
  /** `host:port` as clients outside reach it. */
  serverAddress: () => string;
  /** Why the server cannot serve resources now; undefined: it can. */
  whyNotReady: () => string | undefined;
  /** Whether the store answers. */
  checkStorage: (signal: AbortSignal) => Promise<void>;
}

const reviewKinds = new Set([
  'TokenReview',
  'SelfSubjectReview',
  'SubjectAccessReview',
  'SelfSubjectAccessReview',
  'LocalSubjectAccessReview',
  'SelfSubjectRulesReview',
]);

export class Router {
  readonly #need: RouterNeed;

  constructor(need: RouterNeed) {
    this.#need = need;
  }

  /** Never rejects. */
  async handle(exchange: Exchange, socket: TLSSocket): Promise<void> {
    try {
      const info = requestInfo(exchange.method, exchange.url.pathname, exchange.query);
      const user = await this.#admitUser(info, socket, exchange.header('authorization'), exchange.signal);
      if (info.kind === 'path') await this.#answerPath(info.path, exchange, user);
      else await this.#answerResource(info, exchange, user);
    } catch (err) {
      await this.#fail(exchange, err);
    }
  }

  /** An upgraded connection, which has no answer object. Never rejects. */
  async upgrade(
    message: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    tlsSocket: TLSSocket,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const url = new URL(message.url ?? '/', 'https://localhost');
      const info = requestInfo(message.method ?? 'GET', url.pathname, url.searchParams);
      await this.#admitUser(info, tlsSocket, message.headers.authorization ?? '', signal);
      if (!isStreaming(info)) throw badRequest('this path cannot be upgraded');
      await this.#need.kubelets.upgrade(info, message, socket, head, signal);
    } catch (err) {
      const status = this.#toStatus(err, message.method ?? '', message.url ?? '');
      const body = JSON.stringify(status);
      const lines = [
        `HTTP/1.1 ${status.code} ${status.reason ?? 'Error'}`,
        'Content-Type: application/json',
        `Content-Length: ${Buffer.byteLength(body)}`,
        'Connection: close',
      ];
      socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
    }
  }

  /** @throws {StatusError} 401, 403 */
  async #admitUser(
    info: RequestInfo,
    socket: TLSSocket,
    authorization: string,
    signal: AbortSignal,
  ): Promise<UserInfo> {
    const user = await authenticate(socket, authorization, this.#need.tokens, signal);
    const attributes: Attributes = info;
    const decision = authorize(user, attributes);
    if (decision.isAllowed) return user;
    if (user === anonymous) throw unauthorized();
    const why = describeRefusal(user, attributes, decision);
    if (info.kind === 'path') throw new StatusError(403, 'Forbidden', `forbidden: ${why}`, {});
    throw forbidden(info, info.name, why);
  }

  async #answerPath(path: string, exchange: Exchange, user: UserInfo): Promise<void> {
    const { tokens, openApi, table, serverAddress } = this.#need;
    const isGet = exchange.method === 'GET';
    const discovered = discover(path, exchange.header('accept'), table.all(), serverAddress());
    if (discovered !== undefined) {
      if (!isGet) throw methodNotAllowed();
      const { body, headers } = discovered;
      if (headers['etag'] !== undefined && exchange.header('if-none-match') === headers['etag']) {
        await exchange.send(304, '', headers);
      } else {
        await exchange.send(200, body, headers);
      }
      return;
    }
    const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
    switch (trimmed) {
      case '/healthz':
      case '/livez':
      case '/readyz':
        return this.#answerHealth(trimmed.slice(1), exchange);
      case '/version':
        return exchange.sendJson(200, JSON.stringify(versionInfo));
      case '/openapi/v3':
        return exchange.sendJson(200, openApi.index());
      case '/openid/v1/jwks':
        return exchange.send(200, JSON.stringify({ keys: tokens.publicKeys() }), {
          'content-type': 'application/jwk-set+json',
          'cache-control': 'public, max-age=3600',
        });
      case '/.well-known/openid-configuration':
        return exchange.sendJson(
          200,
          JSON.stringify({
            issuer: tokens.issuer,
            jwks_uri: `https://${serverAddress()}/openid/v1/jwks`,
            response_types_supported: ['id_token'],
            subject_types_supported: ['public'],
            id_token_signing_alg_values_supported: ['RS256'],
          }),
          { 'cache-control': 'public, max-age=3600' },
        );
      case '/':
        return exchange.sendJson(200, JSON.stringify({ paths: rootPaths(table) }));
    }
    if (path.startsWith('/openapi/v3/')) {
      const document = openApi.document(path.slice('/openapi/v3/'.length));
      const isCurrent = exchange.query.get('hash') === document?.hash;
      if (document !== undefined) {
        const caching = isCurrent ? { 'cache-control': 'public, immutable' } : { etag: `"${document.hash}"` };
        return exchange.sendJson(200, document.body, caching);
      }
    }
    this.#need.log.debug({ path, user: user.name }, 'no such path');
    await exchange.send(404, '404 page not found\n', { 'content-type': 'text/plain; charset=utf-8' });
  }

  async #answerHealth(endpoint: string, exchange: Exchange): Promise<void> {
    const checks: Array<[name: string, problem: string | undefined]> = [
      ['ping', undefined],
      ['log', undefined],
    ];
    let storeProblem: string | undefined;
    try {
      await this.#need.checkStorage(exchange.signal);
    } catch (err) {
      storeProblem = describeError(err);
    }
    checks.push(['etcd', storeProblem]);
    if (endpoint === 'readyz') checks.push(['informer-sync', this.#need.whyNotReady()]);
    const excluded = exchange.query.getAll('exclude');
    const isFailed = checks.some(([name, problem]) => problem !== undefined && !excluded.includes(name));
    const isVerbose = exchange.query.get('verbose') !== null || isFailed;
    const lines = checks.map(([name, problem]) => {
      if (excluded.includes(name)) return `[+]${name} excluded: ok`;
      return problem === undefined ? `[+]${name} ok` : `[-]${name} failed: reason withheld`;
    });
    const text = isVerbose ? `${lines.join('\n')}\n${endpoint} check ${isFailed ? 'failed' : 'passed'}\n` : 'ok';
    await exchange.send(isFailed ? 500 : 200, text, {
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
  }

  async #answerResource(request: ResourceRequest, exchange: Exchange, user: UserInfo): Promise<void> {
    const { table, whyNotReady } = this.#need;
    const why = whyNotReady();
    if (why !== undefined) throw serviceUnavailable(why, undefined, 1);
    const resource = table.find(request.group, request.version, request.resource);
    if (resource === undefined) {
      if (table.has(request.group, request.version)) throw noSuchResource();
      await exchange.send(404, '404 page not found\n', { 'content-type': 'text/plain; charset=utf-8' });
      return;
    }
    const isMisplaced = resource.isNamespaced
      ? request.namespace === '' && (request.name !== '' || request.verb === 'create')
      : request.namespace !== '' && request.resource !== 'namespaces';
    if (isMisplaced) throw noSuchResource();
    const call: ResourceCall = { request, resource, user, exchange };
    if (request.subresource !== '') return this.#answerSubresource(call);
    if (reviewKinds.has(resource.kind)) return this.#answerReview(call);
    if (resource.kind === 'Binding') return handleBinding(this.#need, call, table.must('v1', 'pods'));
    return handleResource(this.#need, call);
  }

  async #answerReview({ request, resource, user, exchange }: ResourceCall): Promise<void> {
    if (request.verb !== 'create') throw methodNotAllowed();
    const value = parseBody(await exchange.body(), exchange.header('content-type'), resource.kind);
    const decoding = {
      fieldValidation: fieldValidationOf(exchange.query),
      warn: (text: string) => exchange.warn(text),
    };
    const object = decodeKind(value, resource.groupVersion, resource.kind, decoding);
    const status = await review(object, user, this.#need.tokens, request.namespace, exchange.signal);
    await exchange.sendJson(201, JSON.stringify({ ...object, status }));
  }

  async #answerSubresource(call: ResourceCall): Promise<void> {
    const { request, resource, exchange } = call;
    const { kubelets, table } = this.#need;
    const subresource = resource.subresources.get(request.subresource);
    if (subresource === undefined) throw noSuchResource();
    if (!subresource.verbs.includes(request.verb)) throw methodNotAllowed();
    switch (subresource.name) {
      case 'status':
      case 'finalize':
      case 'approval':
        return handleView(this.#need, call);
      case 'scale':
        return handleScale(this.#need, call);
      case 'binding':
        return handleBinding(this.#need, call, resource);
      case 'eviction':
        return handleEviction({ ...this.#need, budgets: mustFind(table, 'policy/v1', 'poddisruptionbudgets') }, call);
      case 'ephemeralcontainers':
      case 'resize':
        return handlePodPart({ ...this.#need, nodes: mustFind(table, 'v1', 'nodes') }, call);
      case 'token':
        return handleTokenRequest(this.#need, call);
      case 'log':
        return kubelets.answerLog(request, exchange);
      case 'exec':
      case 'attach':
      case 'portforward':
        throw badRequest('Upgrade request required');
      case 'proxy':
        if (resource.resource === 'nodes') return kubelets.answerNodeProxy(request, exchange);
        throw new StatusError(501, 'NotImplemented', `${resource.resource}/proxy is not supported by this server`);
      default:
        throw new StatusError(
          501,
          'NotImplemented',
          `${resource.resource}/${subresource.name} is not supported by this server`,
        );
    }
  }

  async #fail(exchange: Exchange, err: unknown): Promise<void> {
    if (exchange.signal.aborted || exchange.isStarted) {
      exchange.end();
      return;
    }
    const status = this.#toStatus(err, exchange.method, exchange.url.pathname);
    const retry = status.details?.retryAfterSeconds;
    const headers: Record<string, string> = {};
    if (retry !== undefined && retry > 0) headers['retry-after'] = String(retry);
    if (status.code === 403) headers['x-content-type-options'] = 'nosniff';
    await exchange.sendJson(status.code, JSON.stringify(status), headers);
  }

  #toStatus(err: unknown, method: string, path: string): StatusError {
    if (err instanceof StatusError) return err;
    if (err instanceof URIError) return badRequest(err.message);
    if (isUnavailable(err) || isDeadline(err)) {
      this.#need.log.warn({ method, path, reason: describeError(err) }, 'the store does not answer');
      return serviceUnavailable(`the store is not available: ${describeError(err)}`, err, 1);
    }
    this.#need.log.error({ method, path, err }, 'request failed');
    return new StatusError(500, undefined, rpcDetails(err));
  }
}

function mustFind(table: ResourceTable, groupVersion: string, resource: string): Resource {
  return table.must(groupVersion, resource);
}

const versionInfo = {
  major: kubernetesVersion.major,
  minor: kubernetesVersion.minor,
  emulationMajor: kubernetesVersion.major,
  emulationMinor: kubernetesVersion.minor,
  minCompatibilityMajor: kubernetesVersion.major,
  minCompatibilityMinor: String(Number(kubernetesVersion.minor) - 1),
  gitVersion: gantryVersion,
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: 'none',
  compiler: 'none',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

function rootPaths(table: ResourceTable): string[] {
  const groups = new Set(
    table.all().map(({ group, version }) => (group === '' ? `/api/${version}` : `/apis/${group}/${version}`)),
  );
  return [
    '/.well-known/openid-configuration',
    '/api',
    '/apis',
    '/healthz',
    '/livez',
    '/openapi/v3',
    '/openid/v1/jwks',
    '/readyz',
    '/version',
    ...groups,
  ].toSorted();
}

/** One id per request, the client's own when it gave one. */
export function auditIdOf(message: IncomingMessage): string {
  const given = message.headers['audit-id'];
  return typeof given === 'string' && given !== '' ? given.slice(0, 64) : randomUUID();
}
