/**
 * The ConfigMaps and Secrets that pods on this node name: each watched by its own name from the first pod that needs it
 * to the last, so that a change is known at once and the node asks for nothing else. An immutable object is not watched
 * any more once it was seen: it stays as it was for as long as a pod names it, whatever becomes of it in the API.
 */
import { NotFoundError } from '../../../base/errors.ts';
import type { ConfigMap, Pod, Secret } from '../../../objects/generated/core-v1.ts';
import { uidOf } from '../../pod-model.ts';

export type ObjectKind = 'ConfigMap' | 'Secret';

/** A list-watch of one object by name. */
export interface ObjectWatch {
  get(): ConfigMap | Secret | undefined;
  whenSynced(signal: AbortSignal): Promise<void>;
  run(signal: AbortSignal): Promise<void>;
}

interface WatchedObjectsNeed {
  watch(kind: ObjectKind, namespace: string, name: string, onChange: () => void): ObjectWatch;
  /** @param uids the pods that name it */
  onChange(kind: ObjectKind, namespace: string, name: string, uids: ReadonlySet<string>): void;
  /** How long a reader waits for an object that the API has not told us of yet. */
  waitMs: number;
  withDeadline<T>(what: string, ms: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
}

interface Watched {
  watch: ObjectWatch;
  stop: AbortController;
  done: Promise<void>;
  uids: Set<string>;
  /** The object, when it is immutable: nobody watches it any more. */
  fixed: ConfigMap | Secret | undefined;
  /** Who reads it now. One who reads for a pod that is gone keeps no watch. */
  readers: number;
}

export class WatchedObjects {
  readonly #need: WatchedObjectsNeed;
  readonly #watched = new Map<string, Watched>();
  #signal: AbortSignal = AbortSignal.abort();

  constructor(need: WatchedObjectsNeed) {
    this.#need = need;
  }

  /** Watches live until `signal` aborts; resolves when all have ended. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.allSettled([...this.#watched.values()].map(({ done }) => done));
  }

  /** The pod needs what it names: begin to watch what nobody watches yet. */
  register(pod: Pod): void {
    const uid = uidOf(pod);
    const namespace = pod.metadata.namespace ?? 'default';
    const wanted = new Set(namedObjects(pod).map(({ kind, name }) => keyOf(kind, namespace, name)));
    for (const { kind, name } of namedObjects(pod)) this.#open(kind, namespace, name).uids.add(uid);
    for (const [key, { uids }] of this.#watched) if (!wanted.has(key) && uids.delete(uid)) this.#closeUnused(key);
  }

  /** The pod is gone. */
  unregister(uid: string): void {
    for (const [key, { uids }] of this.#watched) if (uids.delete(uid)) this.#closeUnused(key);
  }

  async configMap(namespace: string, name: string, signal: AbortSignal): Promise<ConfigMap> {
    return (await this.#get('ConfigMap', namespace, name, signal)) as ConfigMap;
  }

  async secret(namespace: string, name: string, signal: AbortSignal): Promise<Secret> {
    return (await this.#get('Secret', namespace, name, signal)) as Secret;
  }

  /** @throws {NotFoundError} in upstream's words when the API does not have it */
  async #get(kind: ObjectKind, namespace: string, name: string, signal: AbortSignal): Promise<ConfigMap | Secret> {
    const watched = this.#open(kind, namespace, name);
    watched.readers++;
    try {
      if (watched.fixed === undefined) await this.#whenSynced(kind, watched, signal);
    } finally {
      watched.readers--;
      this.#closeUnused(keyOf(kind, namespace, name));
    }
    const object = watched.fixed ?? watched.watch.get();
    if (object === undefined) throw new NotFoundError(`${kind.toLowerCase()} "${name}" not found`);
    fix(watched);
    return object;
  }

  async #whenSynced(kind: ObjectKind, { watch }: Watched, signal: AbortSignal): Promise<void> {
    const { waitMs, withDeadline } = this.#need;
    const what = `${kind.toLowerCase()} cache`;
    try {
      await withDeadline(what, waitMs, signal, (s) => watch.whenSynced(s));
    } catch {
      signal.throwIfAborted();
      throw new Error(`failed to sync ${what}: timed out waiting for the condition`);
    }
  }

  #open(kind: ObjectKind, namespace: string, name: string): Watched {
    const key = keyOf(kind, namespace, name);
    const known = this.#watched.get(key);
    if (known !== undefined) return known;
    const stop = new AbortController();
    const watch = this.#need.watch(kind, namespace, name, () => {
      fix(watched);
      this.#need.onChange(kind, namespace, name, watched.uids);
    });
    const signal = AbortSignal.any([this.#signal, stop.signal]);
    const done = watch.run(signal).catch(() => {}); // a list-watch logs and retries by itself; it rejects only when stopped
    const watched: Watched = { watch, stop, done, uids: new Set(), fixed: undefined, readers: 0 };
    this.#watched.set(key, watched);
    return watched;
  }

  #closeUnused(key: string): void {
    const watched = this.#watched.get(key);
    if (watched === undefined || watched.uids.size > 0 || watched.readers > 0) return;
    watched.stop.abort();
    this.#watched.delete(key);
  }
}

/** Ends the watch of an object that never changes. */
function fix(watched: Watched): void {
  const object = watched.watch.get();
  if (watched.fixed !== undefined || object?.immutable !== true) return;
  watched.fixed = object;
  watched.stop.abort();
}

const keyOf = (kind: ObjectKind, namespace: string, name: string): string => `${kind}/${namespace}/${name}`;

/** Every ConfigMap and Secret that a pod names: in environments, volumes and pull secrets. */
export function namedObjects({ spec }: Pod): Array<{ kind: ObjectKind; name: string }> {
  const found = new Map<string, { kind: ObjectKind; name: string }>();
  const add = (kind: ObjectKind, name: string | undefined): void => {
    if (name !== undefined && name !== '') found.set(`${kind}/${name}`, { kind, name });
  };
  for (const { name } of spec.imagePullSecrets ?? []) add('Secret', name);
  const containers = [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
  for (const { env, envFrom } of containers) {
    for (const { valueFrom } of env ?? []) {
      add('ConfigMap', valueFrom?.configMapKeyRef?.name);
      add('Secret', valueFrom?.secretKeyRef?.name);
    }
    for (const { configMapRef, secretRef } of envFrom ?? []) {
      add('ConfigMap', configMapRef?.name);
      add('Secret', secretRef?.name);
    }
  }
  for (const { configMap, secret, projected } of spec.volumes ?? []) {
    add('ConfigMap', configMap?.name);
    add('Secret', secret?.secretName);
    for (const source of projected?.sources ?? []) {
      add('ConfigMap', source.configMap?.name);
      add('Secret', source.secret?.name);
    }
  }
  return [...found.values()];
}
