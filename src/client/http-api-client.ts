/**
 * The API client that components run with: JSON over one multiplexed HTTP/2 connection.
 *
 * Owns: the connection, the client-side rate limit, the translation of the server's answers into our error kinds.
 * Promises: bodies are bounded, every call ends with its signal, a dead peer is noticed within 45 seconds.
 * Needs: `ServerAccess` (kubeconfig.ts) and a clock.
 */
import { waitIsOver } from '../base/quiet-abort.ts';
import type { Clock } from '../base/clock.ts';
import { withDeadline } from '../base/deadline.ts';
import { ConflictError, DeadlineError, NotFoundError, UnavailableError } from '../base/errors.ts';
import { gantrySemver, kubernetesVersion } from '../base/version.ts';
import type { DeleteOptions } from '../objects/generated/meta-v1.ts';
import { decodeJson } from './decode-list.ts';
import {
  type ApiClient,
  ApiStatusError,
  GoneError,
  type ItemTaker,
  type KubeList,
  type KubeObject,
  type ListOptions,
  type ObjectRef,
  type PatchType,
  type ResourceType,
  type WatchEvent,
} from './api-client.ts';
import { HttpTransport, type HttpResponse } from './http-transport.ts';
import { Credentials, type ServerAccess } from './kubeconfig.ts';
import { TokenBucket } from './token-bucket.ts';

export interface HttpApiClientOptions {
  access: ServerAccess;
  clock: Clock;
  /** First word of the User-Agent: the component's name, e.g. `kubelet`. */
  userAgentName: string;
  /** Requests per second in the long run; without it there is no limit. Watches count once. */
  qps?: number | undefined;
  /** Requests at once; only with `qps`, default 2 × qps. */
  burst?: number | undefined;
  /** A request (not a watch) without an answer for so long fails; default 60 s. */
  requestTimeoutMs?: number | undefined;
  /** Silence after which the connection is pinged, and the wait for the answer. Defaults 30 s and 15 s. */
  pingAfterMs?: number | undefined;
  pingTimeoutMs?: number | undefined;
}

const responseMaxBytes = 256 * 1024 * 1024;
const watchLineMaxBytes = 32 * 1024 * 1024;
const retriesMax = 10;
const retryAfterMaxMs = 30_000;

const patchMediaTypes: Record<PatchType, string> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml', // JSON is YAML
};

interface Call {
  method: string;
  path: string;
  body?: unknown;
  contentType?: string;
  /** Gets the items of a list as they come. */
  onItem?: ((item: unknown) => void) | undefined;
}

export class HttpApiClient implements ApiClient {
  readonly #options: HttpApiClientOptions;
  readonly #credentials: Credentials;
  readonly #transport: HttpTransport;
  readonly #limit: TokenBucket | undefined;

  constructor(options: HttpApiClientOptions, connection?: { credentials: Credentials; transport: HttpTransport }) {
    const { access, clock, qps, burst = 2 * (qps ?? 0), pingAfterMs, pingTimeoutMs } = options;
    this.#options = options;
    this.#credentials = connection?.credentials ?? new Credentials(access, clock);
    this.#transport =
      connection?.transport ??
      new HttpTransport({
        access,
        credentials: this.#credentials,
        clock,
        ...(pingAfterMs === undefined ? {} : { pingAfterMs }),
        ...(pingTimeoutMs === undefined ? {} : { pingTimeoutMs }),
      });
    this.#limit = qps === undefined || qps <= 0 ? undefined : new TokenBucket({ qps, burst, clock });
  }

  /** A client on the same connection with a rate limit of its own, or none. Closing one closes both. */
  withLimit(qps?: number, burst?: number): HttpApiClient {
    const connection = { credentials: this.#credentials, transport: this.#transport };
    return new HttpApiClient({ ...this.#options, qps, burst }, connection);
  }

  /** Ends the connection; calls in progress fail, later ones too. */
  close(): void {
    this.#transport.close();
  }

  /** Makes later requests use a new connection, e.g. after our certificate was rotated. Running watches go on. */
  reconnect(): void {
    this.#transport.reconnect();
  }

  get<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, signal: AbortSignal): Promise<T> {
    return this.#call<T>({ method: 'GET', path: objectPath(type, ref) }, `get ${describe(type, ref)}`, signal);
  }

  async list<T extends KubeObject>(
    type: ResourceType<T>,
    options: ListOptions & ItemTaker<T>,
    signal: AbortSignal,
  ): Promise<KubeList<T>> {
    const path = collectionPath(type, options.namespace) + query(listParameters(options));
    const { onItem } = options;
    const list = await this.#call<KubeList<T>>(
      { method: 'GET', path, onItem: onItem === undefined ? undefined : (item) => onItem(item as T) }, // the API's contract
      `list ${type.plural}`,
      signal,
    );
    return { ...list, items: list.items ?? [] }; // Go writes an empty list as null
  }

  async *watch<T extends KubeObject>(
    type: ResourceType<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const timeoutSeconds = Math.floor(300 + Math.random() * 300);
    const path =
      collectionPath(type, options.namespace) +
      query({
        ...listParameters(options),
        watch: 'true',
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(timeoutSeconds),
      });
    const what = `watch ${type.plural}`;
    // the server ends the watch; this is for a server that forgets to
    const late = new AbortController();
    const inner = AbortSignal.any([signal, late.signal]);
    const settled = new AbortController();
    void this.#options.clock
      .sleep((timeoutSeconds + 30) * 1000, AbortSignal.any([signal, settled.signal]))
      .then(() => late.abort(waitIsOver));
    try {
      const response = await this.#send({ method: 'GET', path }, what, inner);
      for await (const line of lines(response, watchLineMaxBytes)) {
        const event = JSON.parse(line) as { type: string; object: unknown }; // the server's word for it
        if (event.type === 'ERROR') throw translateStatus(what, statusOf(event.object, 500));
        yield event as WatchEvent<T>;
      }
      response.assertComplete();
    } catch (err) {
      if (signal.aborted || late.signal.aborted) return;
      throw err instanceof SyntaxError
        ? new UnavailableError(`Cannot ${what}: the stream is garbled`, { cause: err })
        : err;
    } finally {
      settled.abort(waitIsOver);
      late.abort(waitIsOver); // a consumer that stops early ends the stream
    }
  }

  create<T extends KubeObject>(type: ResourceType<T>, object: T, signal: AbortSignal): Promise<T> {
    const { namespace, name } = object.metadata;
    return this.#call<T>(
      { method: 'POST', path: collectionPath(type, namespace), body: withKind(type, object) },
      `create ${describe(type, { namespace, name })}`,
      signal,
    );
  }

  update<T extends KubeObject>(type: ResourceType<T>, object: T, signal: AbortSignal): Promise<T> {
    return this.#call<T>(
      { method: 'PUT', path: objectPath(type, object.metadata), body: withKind(type, object) },
      `update ${describe(type, object.metadata)}`,
      signal,
    );
  }

  updateStatus<T extends KubeObject>(type: ResourceType<T>, object: T, signal: AbortSignal): Promise<T> {
    return this.#call<T>(
      { method: 'PUT', path: `${objectPath(type, object.metadata)}/status`, body: withKind(type, object) },
      `update status of ${describe(type, object.metadata)}`,
      signal,
    );
  }

  /** `apply` writes as field manager with the user agent's name, and forces conflicts. */
  patch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef & { subresource?: string | undefined },
    kind: PatchType,
    body: unknown,
    signal: AbortSignal,
  ): Promise<T> {
    const subresource = ref.subresource === undefined ? '' : `/${ref.subresource}`;
    const parameters = kind === 'apply' ? { fieldManager: this.#options.userAgentName, force: 'true' } : {};
    return this.#call<T>(
      {
        method: 'PATCH',
        path: objectPath(type, ref) + subresource + query(parameters),
        body,
        contentType: patchMediaTypes[kind],
      },
      `patch ${describe(type, ref)}`,
      signal,
    );
  }

  async delete<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#call(
      { method: 'DELETE', path: objectPath(type, ref), body: { kind: 'DeleteOptions', apiVersion: 'v1', ...options } },
      `delete ${describe(type, ref)}`,
      signal,
    );
  }

  createSubresource<Req, Res>(
    type: ResourceType<KubeObject>,
    ref: ObjectRef,
    subresource: string,
    body: Req,
    signal: AbortSignal,
  ): Promise<Res> {
    return this.#call<Res>(
      { method: 'POST', path: `${objectPath(type, ref)}/${subresource}`, body },
      `create ${subresource} of ${describe(type, ref)}`,
      signal,
    );
  }

  raw<Res>(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Res> {
    return this.#call<Res>({ method, path, body }, `${method} ${path}`, signal);
  }

  /** One request with a JSON answer. What is not JSON (`/healthz`) comes back as a string. */
  async #call<Res>(call: Call, what: string, signal: AbortSignal): Promise<Res> {
    const { clock, requestTimeoutMs = 60_000 } = this.#options;
    await this.#limit?.take(signal);
    signal.throwIfAborted();
    try {
      return await withDeadline(`Request to ${what}`, requestTimeoutMs, clock, signal, async (inner) => {
        const response = await this.#send(call, what, inner, { isLimited: true });
        const isJson = String(response.headers['content-type'] ?? '').includes('json');
        if (isJson) return (await readJson(response, what, call.onItem)) as Res; // typed by the API's contract
        const body = await readBody(response, responseMaxBytes, what);
        return (body.length === 0 ? undefined : body.toString('utf8')) as Res; // callers expect text, or nothing
      });
    } catch (err) {
      if (err instanceof DeadlineError) throw new UnavailableError(`Cannot ${what}`, { cause: err });
      throw err;
    }
  }

  /** Sends until there is an answer worth handing on: 2xx is returned, everything else thrown. */
  async #send(
    { method, path, body, contentType = 'application/json' }: Call,
    what: string,
    signal: AbortSignal,
    { isLimited = false } = {},
  ): Promise<HttpResponse> {
    if (!isLimited) await this.#limit?.take(signal);
    const { access, clock, userAgentName } = this.#options;
    const isSafe = method === 'GET';
    const text = body === undefined ? undefined : JSON.stringify(body);
    for (let attempt = 1; ; attempt++) {
      const token = await this.#credentials.token();
      let response: HttpResponse;
      try {
        response = await this.#transport.request(
          {
            method,
            path,
            body: text,
            headers: {
              accept: 'application/json',
              'user-agent': `${userAgentName}/${kubernetesVersion.gitVersion} (${platform}) gantry/${gantrySemver}`,
              ...(text === undefined ? {} : { 'content-type': contentType }),
              ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            },
          },
          signal,
        );
      } catch (err) {
        if (signal.aborted) throw err;
        // a kept-alive connection may have died unnoticed: one more try on a new one, where doing it twice does no harm
        if (isSafe && attempt === 1) continue;
        throw new UnavailableError(`Cannot ${what} on "${access.server}"`, { cause: err });
      }
      if (response.status >= 200 && response.status < 300) return response;
      const retryMs = retryAfterMs(response);
      const answer = await readBody(response, 1024 * 1024, what).catch(() => Buffer.alloc(0)); // the status code says enough
      if (isSafe && retryMs !== undefined && attempt <= retriesMax) {
        await clock.sleep(retryMs, signal);
        signal.throwIfAborted();
        continue;
      }
      throw translateStatus(what, parseStatus(answer, response.status));
    }
  }
}

const platform = `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`;

function collectionPath(type: ResourceType<KubeObject>, namespace: string | undefined): string {
  const inNamespace =
    type.namespaced && namespace !== undefined && namespace !== ''
      ? `/namespaces/${encodeURIComponent(namespace)}`
      : '';
  return `${type.prefix}${inNamespace}/${type.plural}`;
}

function objectPath(type: ResourceType<KubeObject>, { namespace, name }: ObjectRef): string {
  if (name === '') throw new Error(`Cannot address a ${type.kind}: its name is empty`);
  if (type.namespaced && (namespace === undefined || namespace === '')) {
    throw new Error(`Cannot address ${type.kind} "${name}": it has no namespace`);
  }
  return `${collectionPath(type, namespace)}/${encodeURIComponent(name)}`;
}

function describe(type: ResourceType<KubeObject>, { namespace, name }: ObjectRef): string {
  return `${type.kind} "${namespace === undefined || !type.namespaced ? name : `${namespace}/${name}`}"`;
}

function withKind<T extends KubeObject>(type: ResourceType<T>, object: T): T {
  return { ...object, apiVersion: type.prefix.replace(/^\/(?:apis|api)\//, ''), kind: type.kind };
}

function listParameters(options: ListOptions): Record<string, string> {
  const { labelSelector, fieldSelector, resourceVersion, limit } = options;
  return {
    ...(labelSelector === undefined || labelSelector === '' ? {} : { labelSelector }),
    ...(fieldSelector === undefined || fieldSelector === '' ? {} : { fieldSelector }),
    ...(resourceVersion === undefined || resourceVersion === '' ? {} : { resourceVersion }),
    ...(options.continue === undefined || options.continue === '' ? {} : { continue: options.continue }),
    ...(limit === undefined ? {} : { limit: String(limit) }),
  };
}

function query(parameters: Record<string, string>): string {
  const text = new URLSearchParams(parameters).toString();
  return text === '' ? '' : `?${text}`;
}

async function readBody(response: HttpResponse, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of pieces(response, maxBytes, what)) chunks.push(chunk);
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

/** A JSON body; undefined when there is none. Items of a list are handed on while the rest still comes. */
function readJson(
  response: HttpResponse,
  what: string,
  onItem: ((item: unknown) => void) | undefined,
): Promise<unknown> {
  return decodeJson(pieces(response, responseMaxBytes, what), { onItem });
}

/** A body as it comes. @throws when it is too long, or ends before its end */
async function* pieces(response: HttpResponse, maxBytes: number, what: string): AsyncGenerator<Buffer> {
  let bytes = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) break;
      yield chunk;
    }
  } catch (err) {
    response.assertComplete(); // throws the connection's failure, or the abort reason
    throw err;
  }
  if (bytes > maxBytes) throw new Error(`Cannot ${what}: the answer has more than ${maxBytes} bytes`);
  response.assertComplete();
}

/** The non-empty lines of a stream, as they come. */
async function* lines(response: HttpResponse, maxBytes: number): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      let at = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, at)) {
        rest.push(chunk.subarray(at, end));
        at = end + 1;
        const line = (rest.length === 1 && rest[0] !== undefined ? rest[0] : Buffer.concat(rest))
          .toString('utf8')
          .trim();
        rest = [];
        restBytes = 0;
        if (line !== '') yield line;
      }
      if (at < chunk.length) {
        rest.push(chunk.subarray(at));
        restBytes += chunk.length - at;
        if (restBytes > maxBytes) throw new Error(`a watch event has more than ${maxBytes} bytes`);
      }
    }
  } catch (err) {
    response.assertComplete(); // throws the connection's failure, or the abort reason
    throw err;
  } finally {
    response.body.destroy();
  }
}

function retryAfterMs(response: HttpResponse): number | undefined {
  if (response.status !== 429 && response.status !== 503) return undefined;
  const header = response.headers['retry-after'];
  if (typeof header !== 'string' || !/^\d+$/.test(header)) return undefined;
  return Math.min(Number(header) * 1000, retryAfterMaxMs);
}

interface Status {
  code: number;
  reason: string;
  message: string;
  details: unknown;
}

function parseStatus(body: Buffer, code: number): Status {
  const text = body.toString('utf8');
  try {
    return statusOf(JSON.parse(text), code);
  } catch {
    // not every server in between speaks JSON
    return { code, reason: '', message: text.trim().slice(0, 500) || `HTTP status ${code}`, details: undefined };
  }
}

function statusOf(value: unknown, code: number): Status {
  const status = (typeof value === 'object' && value !== null ? value : {}) as Partial<Record<string, unknown>>;
  return {
    code: typeof status['code'] === 'number' && status['code'] !== 0 ? status['code'] : code,
    reason: typeof status['reason'] === 'string' ? status['reason'] : '',
    message: typeof status['message'] === 'string' ? status['message'] : `HTTP status ${code}`,
    details: status['details'],
  };
}

function translateStatus(what: string, { code, reason, message, details }: Status): Error {
  const cause = new ApiStatusError(code, reason, message, details);
  const text = `Cannot ${what}`;
  if (code === 404) return new NotFoundError(text, { cause });
  if (code === 409) return new ConflictError(text, { cause });
  if (code === 410) return new GoneError(text, { cause });
  if (code === 429 || code >= 500) return new UnavailableError(text, { cause });
  return new Error(text, { cause });
}
