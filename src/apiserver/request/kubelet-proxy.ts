/**
 * What only a node can answer: logs, exec, attach, port-forward and `nodes/proxy`. Requests go to the kubelet over TLS
 * with the server's client certificate; upgraded connections are relayed as bytes, both ways, without a look inside.
 *
 * kubectl tries WebSockets first (`v5.channel.k8s.io`, `SPDY/3.1+portforward.k8s.io`). These are relayed to kubelets
 * that declare the feature `ExtendWebSocketsToKubelet`; for others the upgrade is refused with 400, upon which kubectl
 * falls back to SPDY. Older WebSocket protocols and SPDY go to any kubelet.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { Node, Pod } from '../../objects/generated/core-v1.ts';
import { describeError } from '../../base/errors.ts';
import { listAt } from '../resources/api-object.ts';
import type { Registry } from '../resources/registry.ts';
import type { ResourceTable } from '../resources/resource-table.ts';
import { typed } from '../resources/resource.ts';
import { StatusError, badRequest, internal, serviceUnavailable } from '../resources/status-error.ts';
import type { Exchange } from './http-exchange.ts';
import { type RequestInfo, type ResourceRequest, isTrue } from './request-info.ts';

export interface KubeletAccess {
  clientCertificateFile: string | undefined;
  clientKeyFile: string | undefined;
  /** Without it the kubelet's certificate is not checked. */
  authorityFile: string | undefined;
}

export interface KubeletProxyNeed {
  registry: Registry;
  table: ResourceTable;
  access: KubeletAccess;
}

interface KubeletTarget {
  host: string;
  port: number;
  declaresWebSockets: boolean;
}

const connectTimeoutMs = 10_000;
const defaultKubeletPort = 10_250;
const addressTypes = ['InternalIP', 'ExternalIP', 'Hostname'];

export class KubeletProxy {
  readonly #need: KubeletProxyNeed;
  #tls: (tls.SecureContextOptions & { rejectUnauthorized: boolean }) | undefined;

  constructor(need: KubeletProxyNeed) {
    this.#need = need;
  }

  /** GET `pods/NAME/log`. */
  async answerLog(request: ResourceRequest, exchange: Exchange): Promise<void> {
    const pod = await this.#pod(request, exchange.signal);
    const { query } = exchange;
    const container = chooseContainer(pod, query.get('container') ?? '');
    if (query.get('sinceSeconds') !== null && query.get('sinceTime') !== null) {
      throw logOptionsError(request.name, [], 'at most one of `sinceTime` or `sinceSeconds` may be specified');
    }
    const tail = query.get('tailLines');
    if (tail !== null && !(Number(tail) >= 0))
      throw logOptionsError(request.name, 'tailLines', 'must be greater than or equal to 0');
    const limit = query.get('limitBytes');
    if (limit !== null && !(Number(limit) > 0))
      throw logOptionsError(request.name, 'limitBytes', 'must be greater than 0');
    if (!pod.spec.nodeName) {
      await exchange.send(200, '', { 'content-type': 'text/plain' });
      return;
    }
    const target = await this.#target(pod.spec.nodeName, exchange.signal);
    const wanted = new URLSearchParams();
    for (const flag of ['follow', 'previous', 'timestamps']) if (isTrue(query.get(flag))) wanted.set(flag, 'true');
    for (const name of ['sinceSeconds', 'sinceTime', 'tailLines', 'limitBytes', 'stream']) {
      const value = query.get(name);
      if (value !== null) wanted.set(name, value);
    }
    const path = `/containerLogs/${encodeURIComponent(request.namespace)}/${encodeURIComponent(request.name)}/${encodeURIComponent(container)}?${wanted}`;
    await this.#relay(target, 'GET', path, exchange);
  }

  /** `nodes/NAME/proxy/…`: the kubelet's own API. */
  async answerNodeProxy(request: ResourceRequest, exchange: Exchange): Promise<void> {
    const target = await this.#target(request.name.split(':')[0] ?? '', exchange.signal);
    await this.#relay(target, exchange.method, `${request.rest || '/'}${exchange.url.search}`, exchange);
  }

  /**
   * An upgraded exec, attach or port-forward. Takes the sockets over when it succeeds; what fails before that is thrown.
   * @param head bytes that came after the request's head
   * @throws {StatusError}
   */
  async upgrade(
    request: ResourceRequest,
    message: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    signal: AbortSignal,
  ): Promise<void> {
    const pod = await this.#pod(request, signal);
    if (!pod.spec.nodeName) throw badRequest(`pod ${request.name} does not have a host assigned`);
    const target = await this.#target(pod.spec.nodeName, signal);
    const protocols = String(message.headers['sec-websocket-protocol'] ?? '')
      .split(',')
      .map((one) => one.trim());
    const isWebSocket = /websocket/i.test(String(message.headers.upgrade ?? ''));
    const isNew = protocols.some((one) => one === 'v5.channel.k8s.io' || one.startsWith('SPDY/3.1+portforward'));
    if (isWebSocket && isNew && !target.declaresWebSockets) {
      throw badRequest(
        `the kubelet of node "${pod.spec.nodeName}" does not take this WebSocket protocol; use SPDY/3.1`,
      );
    }
    const path = kubeletPath(request, pod, new URL(message.url ?? '/', 'https://localhost').searchParams);
    const kubelet = await this.#connect(target, signal);
    const lines = [`${message.method ?? 'GET'} ${path} HTTP/1.1`, `Host: ${target.host}:${target.port}`];
    for (const [name, value] of headerPairs(message)) {
      // the client's credentials are for us, not for the kubelet
      if (!['host', 'authorization', 'content-length'].includes(name.toLowerCase())) lines.push(`${name}: ${value}`);
    }
    kubelet.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (head.length > 0) kubelet.write(head);
    relayBytes(socket, kubelet, signal);
  }

  async #pod(request: ResourceRequest, signal: AbortSignal): Promise<Pod> {
    const { registry, table } = this.#need;
    const place = { namespace: request.namespace, name: request.name };
    return typed<Pod>(await registry.get(table.must('v1', 'pods'), place, signal));
  }

  async #target(nodeName: string, signal: AbortSignal): Promise<KubeletTarget> {
    const { registry, table } = this.#need;
    const found = await registry.get(table.must('v1', 'nodes'), { namespace: '', name: nodeName }, signal);
    const { status } = typed<Node>(found);
    const addresses = status?.addresses ?? [];
    const host = addressTypes.map((type) => addresses.find((one) => one.type === type)?.address).find(Boolean);
    if (host === undefined)
      throw internal(`no preferred addresses found; known addresses: ${JSON.stringify(addresses)}`);
    return {
      host,
      port: status?.daemonEndpoints?.kubeletEndpoint?.Port || defaultKubeletPort,
      declaresWebSockets: listAt(found, 'status', 'declaredFeatures').includes('ExtendWebSocketsToKubelet'),
    };
  }

  #tlsOptions(): tls.SecureContextOptions & { rejectUnauthorized: boolean } {
    const { clientCertificateFile, clientKeyFile, authorityFile } = this.#need.access;
    this.#tls ??= {
      ...(clientCertificateFile === undefined ? {} : { cert: readFileSync(clientCertificateFile) }),
      ...(clientKeyFile === undefined ? {} : { key: readFileSync(clientKeyFile) }),
      ...(authorityFile === undefined ? {} : { ca: readFileSync(authorityFile) }),
      rejectUnauthorized: authorityFile !== undefined,
    };
    return this.#tls;
  }

  #connect({ host, port }: KubeletTarget, signal: AbortSignal): Promise<tls.TLSSocket> {
    return new Promise((resolve, reject) => {
      const socket = tls.connect({ host, port, ALPNProtocols: ['http/1.1'], ...this.#tlsOptions() });
      const fail = (err: Error): void => {
        socket.destroy();
        reject(serviceUnavailable(`error dialing backend: ${describeError(err)}`, err));
      };
      const abort = (): void => fail(new Error('the request was given up'));
      socket.setTimeout(connectTimeoutMs, () => fail(new Error(`dial tcp ${host}:${port}: i/o timeout`)));
      socket.once('error', fail);
      signal.addEventListener('abort', abort, { once: true });
      socket.once('secureConnect', () => {
        socket.setTimeout(0);
        socket.off('error', fail);
        signal.removeEventListener('abort', abort);
        resolve(socket);
      });
    });
  }

  /** Passes the request on and streams the answer back as it comes. */
  async #relay({ host, port }: KubeletTarget, method: string, path: string, exchange: Exchange): Promise<void> {
    const { signal } = exchange;
    const body = method === 'GET' ? undefined : await exchange.body();
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = https.request({
        host,
        port,
        method,
        path,
        ...this.#tlsOptions(),
        agent: false,
        signal,
        headers:
          body === undefined ? {} : { 'content-type': exchange.header('content-type'), 'content-length': body.length },
      });
      request.once('response', resolve);
      request.once('error', (err) => reject(serviceUnavailable(`error dialing backend: ${describeError(err)}`, err)));
      request.end(body);
    });
    const code = answer.statusCode ?? 500;
    if (code >= 400) {
      throw kubeletRefusal(code, await readText(answer));
    }
    exchange.startStream(code, { 'content-type': answer.headers['content-type'] ?? 'text/plain' });
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) if (!(await exchange.write(chunk))) break;
    } catch (err) {
      if (!signal.aborted) throw err;
    } finally {
      answer.destroy();
      exchange.end();
    }
  }
}

const errorTextMax = 64 * 1024;

async function readText(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8');
    if (text.length > errorTextMax) break;
  }
  return text;
}

const reasons: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  500: 'InternalError',
  503: 'ServiceUnavailable',
};

function kubeletRefusal(code: number, text: string): StatusError {
  return new StatusError(code, reasons[code] ?? 'Unknown', text.trim());
}

function logOptionsError(pod: string, field: string | [], phrase: string): StatusError {
  const at = typeof field === 'string' ? field : '[]';
  const kind = typeof field === 'string' ? 'Invalid value' : 'Forbidden';
  return new StatusError(422, 'Invalid', `PodLogOptions "${pod}" is invalid: ${at}: ${kind}: ${phrase}`, {
    name: pod,
    kind: 'PodLogOptions',
    causes: [
      {
        reason: kind === 'Forbidden' ? 'FieldValueForbidden' : 'FieldValueInvalid',
        message: `${kind}: ${phrase}`,
        field: at,
      },
    ],
  });
}

/** The container asked for, or the only one. @throws {StatusError} 400 */
export function chooseContainer(pod: Pod, asked: string): string {
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec;
  const { name } = pod.metadata;
  if (asked !== '') {
    const all = [...containers, ...initContainers, ...ephemeralContainers];
    if (all.some((container) => container.name === asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const only = containers[0];
  if (containers.length === 1 && only !== undefined) return only.name;
  const names = (list: ReadonlyArray<{ name?: string | undefined }>): string =>
    `[${list.map((one) => one.name).join(' ')}]`;
  const init = initContainers.length === 0 ? '' : ` or one of the init containers: ${names(initContainers)}`;
  throw badRequest(`a container name must be specified for pod ${name}, choose one of: ${names(containers)}${init}`);
}

/** The API's parameters in the kubelet's words. @throws {StatusError} 400 */
export function kubeletPath(request: ResourceRequest, pod: Pod, query: URLSearchParams): string {
  const place = `${encodeURIComponent(request.namespace)}/${encodeURIComponent(request.name)}`;
  const wanted = new URLSearchParams();
  if (request.subresource === 'portforward') {
    for (const ports of query.getAll('ports')) for (const port of ports.split(',')) wanted.append('port', port);
    return `/portForward/${place}${wanted.size === 0 ? '' : `?${wanted}`}`;
  }
  const container = chooseContainer(pod, query.get('container') ?? '');
  const streams = [
    ['stdin', 'input'],
    ['stdout', 'output'],
    ['stderr', 'error'],
  ] as const;
  for (const [ours, kubelets] of streams) if (isTrue(query.get(ours))) wanted.set(kubelets, '1');
  if (wanted.size === 0) throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
  if (isTrue(query.get('tty'))) wanted.set('tty', '1');
  for (const word of query.getAll('command')) wanted.append('command', word);
  return `/${request.subresource}/${place}/${encodeURIComponent(container)}?${wanted}`;
}

/** Headers as they came, repeated ones included. */
function headerPairs({ rawHeaders }: IncomingMessage): Array<[name: string, value: string]> {
  const pairs: Array<[string, string]> = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) pairs.push([rawHeaders[i] ?? '', rawHeaders[i + 1] ?? '']);
  return pairs;
}

/** Bytes both ways until either side is done. */
function relayBytes(client: Duplex, kubelet: Duplex, signal: AbortSignal): void {
  const end = (): void => {
    signal.removeEventListener('abort', end);
    client.destroy();
    kubelet.destroy();
  };
  for (const side of [client, kubelet]) {
    side.on('error', end);
    side.on('close', end);
  }
  signal.addEventListener('abort', end, { once: true });
  client.pipe(kubelet);
  kubelet.pipe(client);
}

/** Whether a request is for one of the upgraded subresources of a pod. */
export function isStreaming(info: RequestInfo): info is ResourceRequest {
  return (
    info.kind === 'resource' && info.resource === 'pods' && ['exec', 'attach', 'portforward'].includes(info.subresource)
  );
}
