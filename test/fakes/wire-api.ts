/**
 * An API server on a socket as far as a kubelet asks one, that keeps pods as they were given: any JSON. Everything but
 * pods is the fake API's (`FakeApi`), pods are lines of text with a place for what the kubelet tells about them.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type JsonObject, isJsonObject } from '../../src/apiserver/resources/api-object.ts';
import { strategicMerge } from '../../src/apiserver/resources/patch/strategic-merge.ts';
import { typeNamed } from '../../src/apiserver/resources/schema.ts';
import { isConflict, isNotFound } from '../../src/base/errors.ts';
import type { KubeObject, ResourceType } from '../../src/client/api-client.ts';
import * as resourceTypes from '../../src/client/resource-types.ts';
import { FakeApi } from './fake-api.ts';

export interface WirePod {
  /** What is on the wire. */
  object: JsonObject;
  version: number;
  /** The status that the kubelet wrote. */
  status: JsonObject | undefined;
}

type Change = 'ADDED' | 'MODIFIED' | 'DELETED';

const knownTypes: readonly ResourceType<KubeObject>[] = Object.values(resourceTypes);

export class WireApi {
  /** Everything but pods. */
  readonly others = new FakeApi();
  readonly pods = new Set<WirePod>();
  /** `name: reason: message` of events about pods. */
  readonly events: string[] = [];
  readonly #watchers = new Set<ServerResponse>();
  readonly #server = http.createServer((request, response) => {
    this.#answer(request, response).catch((err: unknown) => {
      if (response.headersSent) response.destroy();
      else
        reply(response, isNotFound(err) ? 404 : isConflict(err) ? 409 : 500, { kind: 'Status', message: String(err) });
    });
  });
  #version = 1;

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', () => resolve()));
    const { port } = this.#server.address() as AddressInfo; // a listening TCP server has one
    return `http://127.0.0.1:${port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  /** @param text JSON */
  add(text: string): WirePod {
    const object: unknown = JSON.parse(text);
    if (!isJsonObject(object)) throw new Error('a pod is an object at least');
    const pod = { object, version: 0, status: undefined };
    this.pods.add(pod);
    this.#tell('ADDED', pod);
    return pod;
  }

  /** Changes metadata, as a deletion does. */
  setMetadata(pod: WirePod, more: JsonObject): void {
    const { metadata } = pod.object;
    pod.object = { ...pod.object, metadata: { ...(isJsonObject(metadata) ? metadata : {}), ...more } };
    this.#tell('MODIFIED', pod);
  }

  remove(pod: WirePod): void {
    if (this.pods.delete(pod)) this.#tell('DELETED', pod);
  }

  #tell(type: Change, pod: WirePod): void {
    pod.version = ++this.#version;
    const line = `{"type":"${type}","object":${JSON.stringify(this.#wire(pod))}}\n`;
    for (const watcher of this.#watchers) watcher.write(line);
  }

  #wire({ object, version }: WirePod): JsonObject {
    const { metadata } = object;
    return isJsonObject(metadata) ? { ...object, metadata: { ...metadata, resourceVersion: String(version) } } : object;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://x');
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    const match =
      /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+)(?=\/))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(
        pathname,
      );
    const [, prefix, namespace, plural, name] = (match ?? []).map((part) =>
      part === undefined ? undefined : decodeURIComponent(part),
    );
    const type = knownTypes.find((one) => one.prefix === prefix && one.plural === plural);
    if (type === undefined) return reply(response, 404, { kind: 'Status', code: 404, reason: 'NotFound' });
    const isWatch = searchParams.get('watch') === 'true';
    if (plural === 'pods') return await this.#answerPods(request.method ?? '', name, body, response, isWatch);
    if (plural === 'events') return this.#noteEvent(body, response);
    const options = { namespace, fieldSelector: searchParams.get('fieldSelector') ?? undefined };
    if (isWatch) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      const ended = new AbortController();
      response.once('close', () => ended.abort());
      const from = { ...options, resourceVersion: searchParams.get('resourceVersion') ?? undefined };
      for await (const event of this.others.watch(type, from, ended.signal))
        response.write(`${JSON.stringify(event)}\n`);
      return;
    }
    const ref = { namespace, name: name ?? '' };
    switch (request.method ?? '') {
      case 'GET':
        return reply(
          response,
          200,
          await (name === undefined ? this.others.list(type, options) : this.others.get(type, ref)),
        );
      case 'POST':
        return reply(response, 201, await this.others.create(type, body as KubeObject)); // the kubelet wrote it
      case 'PUT':
        return reply(response, 200, await this.others.update(type, body as KubeObject)); // likewise
      case 'PATCH':
        return reply(response, 200, await this.others.patch(type, ref, 'strategic', body));
      default:
        return reply(response, 405, { kind: 'Status', code: 405 });
    }
  }

  #noteEvent(body: unknown, response: ServerResponse): void {
    if (isJsonObject(body) && isJsonObject(body['involvedObject'])) {
      this.events.push(
        `${String(body['involvedObject']['name'])}: ${String(body['reason'])}: ${String(body['message'])}`,
      );
    }
    const metadata = { name: 'an-event', namespace: 'default' };
    reply(response, 201, { metadata, ...(isJsonObject(body) ? body : {}) });
  }

  async #answerPods(
    method: string,
    name: string | undefined,
    body: unknown,
    response: ServerResponse,
    isWatch: boolean,
  ): Promise<void> {
    if (isWatch) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      this.#watchers.add(response);
      response.once('close', () => this.#watchers.delete(response));
      return;
    }
    if (method === 'GET' && name === undefined) {
      const items = [...this.pods].map((pod) => this.#wire(pod));
      return reply(response, 200, { kind: 'PodList', metadata: { resourceVersion: String(this.#version) }, items });
    }
    const request = isJsonObject(body) ? body : {};
    const wanted = method === 'DELETE' ? request['preconditions'] : request['metadata'];
    const uid = isJsonObject(wanted) ? wanted['uid'] : undefined;
    const pod = [...this.pods].findLast(({ object: { metadata } }) => {
      return isJsonObject(metadata) && metadata['name'] === name && (uid === undefined || metadata['uid'] === uid);
    });
    if (pod === undefined) return reply(response, 404, { kind: 'Status', code: 404, reason: 'NotFound' });
    if (method === 'DELETE') {
      this.remove(pod);
      return reply(response, 200, { kind: 'Status', status: 'Success' });
    }
    if (method === 'PATCH' && isJsonObject(request['status'])) {
      const { status } = pod.object;
      const merged = strategicMerge(
        isJsonObject(status) ? status : {},
        request['status'],
        typeNamed('core.v1.PodStatus'),
      );
      pod.status = merged;
      pod.object = { ...pod.object, status: merged };
      this.#tell('MODIFIED', pod);
    }
    return reply(response, 200, this.#wire(pod));
  }
}

function reply(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
