/**
 * What everybody asks of a Kubernetes API server. The real one is `HttpApiClient` (http-api-client.ts); a test may
 * pass any object of this shape.
 */
import type { DeleteOptions, ListMeta, ObjectMeta } from '../objects/generated/meta-v1.ts';

/** Anything the API stores. */
export interface KubeObject {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata: ObjectMeta;
}

export interface KubeList<T> {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata: ListMeta;
  items: T[];
}

/** A resource type's place in the API, e.g. `{ prefix: '/apis/apps/v1', plural: 'deployments', namespaced: true }`. */
export interface ResourceType<T extends KubeObject> {
  readonly prefix: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Only carries the object's type; never set. */
  readonly object?: T;
}

/** One object's address. `namespace` is left out for cluster-wide resources. */
export interface ObjectRef {
  namespace?: string | undefined;
  name: string;
}

export interface ListOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  resourceVersion?: string | undefined;
  limit?: number | undefined;
  /** The `metadata.continue` of the page before. */
  continue?: string | undefined;
}

export interface ItemTaker<T> {
  /**
   * Gets items as they come, so that a long list is never in memory as a whole: those are not in the list that is
   * returned. A client may as well return them all. When the list fails, some have come for nothing.
   */
  onItem?: ((item: T) => void) | undefined;
}

export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | {
      type: 'BOOKMARK';
      object: { metadata: { resourceVersion: string; annotations?: Record<string, string> | undefined } };
    };

export type PatchType = 'merge' | 'strategic' | 'json' | 'apply';

/**
 * Every method throws `NotFoundError` (404), `ConflictError` (409, AlreadyExists included), `UnavailableError`
 * (no connection, 429, 5xx) or plain `Error`, each with an `ApiStatusError` as cause when the server answered.
 */
export interface ApiClient {
  get<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, signal: AbortSignal): Promise<T>;
  list<T extends KubeObject>(
    type: ResourceType<T>,
    options: ListOptions & ItemTaker<T>,
    signal: AbortSignal,
  ): Promise<KubeList<T>>;
  /** Ends when the server ends it (normal: watch again) or `signal` aborts. 410 Gone throws `GoneError`. */
  watch<T extends KubeObject>(
    type: ResourceType<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  /** `namespace` of the object, or of the path for subresources such as `token` and `binding`. */
  create<T extends KubeObject>(type: ResourceType<T>, object: T, signal: AbortSignal): Promise<T>;
  update<T extends KubeObject>(type: ResourceType<T>, object: T, signal: AbortSignal): Promise<T>;
  updateStatus<T extends KubeObject>(type: ResourceType<T>, object: T, signal: AbortSignal): Promise<T>;
  patch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef & { subresource?: string | undefined },
    kind: PatchType,
    body: unknown,
    signal: AbortSignal,
  ): Promise<T>;
  delete<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<void>;
  /** POST to `…/<name>/<subresource>`: `serviceaccounts/x/token`, `pods/x/binding`, `pods/x/eviction`. */
  createSubresource<Req, Res>(
    type: ResourceType<KubeObject>,
    ref: ObjectRef,
    subresource: string,
    body: Req,
    signal: AbortSignal,
  ): Promise<Res>;
  /** Any other JSON request, e.g. `GET /version`. */
  raw<Res>(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Res>;
}

/** The server's own words: its `metav1.Status`. */
export class ApiStatusError extends Error {
  override name = 'ApiStatusError';
  readonly code: number;
  readonly reason: string;
  readonly details: unknown;
  constructor(code: number, reason: string, message: string, details?: unknown) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
  }
}

/** The resource version asked for is too old (410): list again. */
export class GoneError extends Error {
  override name = 'GoneError';
}

/** The server's status inside an error of any wrapping. */
export function apiStatus(error: unknown): ApiStatusError | undefined {
  let e = error;
  while (e instanceof Error) {
    if (e instanceof ApiStatusError) return e;
    e = (e as Error).cause;
  }
  return undefined;
}
