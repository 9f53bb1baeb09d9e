/** An API client that passes what it is asked on to another, through a gate; writes of pods are steps of the record. */
import type {
  ApiClient,
  KubeList,
  KubeObject,
  ListOptions,
  ObjectRef,
  PatchType,
  ResourceType,
  WatchEvent,
} from '../../src/client/api-client.ts';
import { UnavailableError } from '../../src/base/errors.ts';
import type { DeleteOptions } from '../../src/objects/generated/meta-v1.ts';
import type { FaultGate, GateStep } from './fault-gate.ts';

export class ApiMiddleman implements ApiClient {
  readonly #api: ApiClient;
  readonly #gate: FaultGate;

  constructor(api: ApiClient, gate: FaultGate) {
    this.#api = api;
    this.#gate = gate;
  }

  get<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, signal: AbortSignal): Promise<T> {
    return this.#unlessShut(() => this.#api.get(type, ref, signal));
  }

  list<T extends KubeObject>(type: ResourceType<T>, options: ListOptions, signal: AbortSignal): Promise<KubeList<T>> {
    const work = (): Promise<KubeList<T>> => this.#api.list(type, options, signal);
    if (type.plural !== 'pods') return this.#unlessShut(work);
    return this.#pass(
      { method: 'LIST pods', podUid: undefined, container: undefined, request: options, state: 'asked' },
      signal,
      work,
    );
  }

  async *watch<T extends KubeObject>(
    type: ResourceType<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    if (this.#gate.isShut) throw away();
    for await (const event of this.#api.watch(type, options, signal)) {
      if (this.#gate.isShut) throw away();
      yield event;
    }
  }

  create<T extends KubeObject>(type: ResourceType<T>, object: T, signal: AbortSignal): Promise<T> {
    return this.#unlessShut(() => this.#api.create(type, object, signal));
  }

  update<T extends KubeObject>(type: ResourceType<T>, object: T, signal: AbortSignal): Promise<T> {
    return this.#unlessShut(() => this.#api.update(type, object, signal));
  }

  updateStatus<T extends KubeObject>(type: ResourceType<T>, object: T, signal: AbortSignal): Promise<T> {
    return this.#unlessShut(() => this.#api.updateStatus(type, object, signal));
  }

  patch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef & { subresource?: string | undefined },
    kind: PatchType,
    body: unknown,
    signal: AbortSignal,
  ): Promise<T> {
    const work = (): Promise<T> => this.#api.patch(type, ref, kind, body, signal);
    if (type.plural !== 'pods') return this.#unlessShut(work);
    const podUid = (body as { metadata?: { uid?: string } }).metadata?.uid; // the kubelet's precondition
    return this.#pass(
      { method: 'PATCH pods', podUid, container: undefined, request: body, state: 'asked' },
      signal,
      work,
    );
  }

  delete<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<void> {
    const work = (): Promise<void> => this.#api.delete(type, ref, options, signal);
    if (type.plural !== 'pods') return this.#unlessShut(work);
    const podUid = options.preconditions?.uid;
    return this.#pass(
      { method: 'DELETE pods', podUid, container: undefined, request: options, state: 'asked' },
      signal,
      work,
    );
  }

  createSubresource<Req, Res>(
    type: ResourceType<KubeObject>,
    ref: ObjectRef,
    subresource: string,
    body: Req,
    signal: AbortSignal,
  ): Promise<Res> {
    return this.#unlessShut(() => this.#api.createSubresource<Req, Res>(type, ref, subresource, body, signal));
  }

  raw<Res>(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Res> {
    return this.#unlessShut(() => this.#api.raw<Res>(method, path, body, signal));
  }

  async #unlessShut<T>(work: () => Promise<T>): Promise<T> {
    if (this.#gate.isShut) throw away();
    return await work();
  }

  async #pass<T>(step: GateStep, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const gone = Promise.withResolvers<never>();
    gone.promise.catch(() => {}); // the gate may not wait for it
    const onAbort = (): void => gone.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await this.#gate.pass(step, gone.promise, work);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}

const away = (): Error => new UnavailableError('the kubelet of this client is dead');
