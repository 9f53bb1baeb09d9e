/**
 * Reads and writes of all resources. Owns the caches (one per kind, opened when first used) and the order in which the
 * writers of one object take turns. Promises: a write happens on exactly the state that it was computed from; what a
 * failed or dry write took (addresses, ports) is given back. Needs a store, a clock and admission.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, rfc3339Seconds } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { DeleteOptions, ObjectMeta } from '../../objects/generated/meta-v1.ts';
import type { Storage, StoredValue } from '../storage/storage.ts';
import { WatchCache } from '../watch/watch-cache.ts';
import { type ApiObject, type JsonObject, copyOf, isSameJson, isSameMeaning, objectAt } from './api-object.ts';
import { planDelete } from './plan-delete.ts';
import type { Resource } from './resource.ts';
import { alreadyExists, conflict, invalid, modifiedMeanwhile, nameNotGenerated, notFound } from './status-error.ts';
import { StatusError } from './status-error.ts';
import { validateMeta, validateMetaUpdate } from './validate-names.ts';
import { invalidValue } from './field-errors.ts';

export interface UserInfo {
  readonly name: string;
  readonly uid?: string | undefined;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
}

export interface WriteContext {
  readonly user: UserInfo;
  readonly isDryRun: boolean;
  /** Becomes a Warning header. */
  readonly warn: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface Place {
  readonly namespace: string;
  readonly name: string;
}

export type Operation = 'create' | 'update' | 'delete';

export interface Admission {
  operation: Operation;
  resource: Resource;
  subresource: string;
  /** May be changed in place, except on delete. */
  object: ApiObject;
  old: ApiObject | undefined;
  context: WriteContext;
}

export interface RegistryNeed {
  storage: Storage;
  /** Above all keys, without a slash at the end: `/registry`. */
  prefix: string;
  clock: Clock;
  log: Logger;
  /** @throws {StatusError} when the write is refused */
  admit: (admission: Admission) => Promise<void>;
}

const generatedSuffix = 'bcdfghjklmnpqrstvwxz2456789';
const generateTriesMax = 8;
/** Writes that never raise the generation, though they may change the spec. */
const uncounted = new Set(['status', 'binding', 'eviction', 'finalize', 'approval']);

/** What a change of an object may turn into. */
export interface Change {
  /** The wanted object, from a copy of the old one that it may keep. Undefined old: create on update. */
  compute: (old: ApiObject) => Promise<ApiObject> | ApiObject;
  /** '' for the object itself. */
  subresource: string;
  /** The client gave no resourceVersion and means "whatever is there". */
  isUnconditional?: boolean;
}

/** What an update starts from: read from the store just now, or the cache's guess. */
interface State {
  object: ApiObject;
  value: Pick<StoredValue, 'key' | 'modRevision'>;
  isNewest?: boolean;
}

export class Registry {
  readonly #need: RegistryNeed;
  readonly #caches = new Map<string, WatchCache>();
  readonly #running = new Set<Promise<void>>();
  readonly #turns = new Map<string, Promise<unknown>>();
  #signal: AbortSignal | undefined;

  constructor(need: RegistryNeed) {
    this.#need = need;
  }

  /** Caches live until `signal` aborts; settles when all have stopped. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.allSettled(this.#running);
  }

  keyOf(resource: Resource, { namespace, name }: Place): string {
    return `${this.prefixOf(resource, namespace)}${name}`;
  }

  /** The keys of a resource, in one namespace or ('') in all. */
  prefixOf(resource: Resource, namespace: string): string {
    const { prefix } = this.#need;
    return `${prefix}${resource.storagePath}${namespace === '' || !resource.isNamespaced ? '' : `${namespace}/`}`;
  }

  get storage(): Storage {
    return this.#need.storage;
  }

  /** The resource's cache, started when it is asked for first. */
  cache(resource: Resource): WatchCache {
    const known = this.#caches.get(resource.storagePath);
    if (known !== undefined) return known;
    const { prefix, storage, clock, log } = this.#need;
    if (this.#signal === undefined) throw new Error('Cannot open a cache: the registry does not run yet');
    const cache = new WatchCache({
      prefix: `${prefix}${resource.storagePath}`,
      storage,
      decode: decodeStored,
      clock,
      log: log.child({ room: 'watch' }),
    });
    this.#caches.set(resource.storagePath, cache);
    const running = cache.run(this.#signal).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return cache;
  }

  /** The newest state. @throws {StatusError} 404 */
  async get(resource: Resource, place: Place, signal: AbortSignal): Promise<ApiObject> {
    const stored = await this.#stored(resource, place, signal);
    if (stored === undefined) throw notFound(resource, place.name);
    return stored.object;
  }

  async find(resource: Resource, place: Place, signal: AbortSignal): Promise<ApiObject | undefined> {
    return (await this.#stored(resource, place, signal))?.object;
  }

  async #stored(
    resource: Resource,
    place: Place,
    signal: AbortSignal,
  ): Promise<{ object: ApiObject; value: StoredValue } | undefined> {
    const { value } = await this.#need.storage.get(this.keyOf(resource, place), signal);
    return value === undefined ? undefined : { object: decodeStored(value.value, value.modRevision), value };
  }

  /** `object` is a decoded body with defaults, in its stored version; it is changed. */
  async create(resource: Resource, namespace: string, object: ApiObject, context: WriteContext): Promise<ApiObject> {
    const { metadata } = object;
    const isGenerated = metadata.name === '' && (metadata.generateName ?? '') !== '';
    for (let tries = 1; ; tries++) {
      const attempt = isGenerated ? copyOf(object) : object;
      if (isGenerated) attempt.metadata.name = generateName(metadata.generateName ?? '');
      const created = await this.#createOnce(resource, namespace, attempt, context);
      if (created !== undefined) return created;
      const existing = await this.find(resource, { namespace, name: attempt.metadata.name }, context.signal);
      if (isGenerated && tries < generateTriesMax) continue;
      if (isGenerated) throw nameNotGenerated(resource, attempt.metadata.name);
      const isDying = existing?.metadata.deletionTimestamp !== undefined;
      throw alreadyExists(resource, attempt.metadata.name, isDying ? 'object is being deleted: ' : '');
    }
  }

  /** Undefined when the name is taken. */
  async #createOnce(
    resource: Resource,
    namespace: string,
    object: ApiObject,
    context: WriteContext,
  ): Promise<ApiObject | undefined> {
    const { strategy } = resource;
    const { metadata } = object;
    if (resource.isNamespaced) metadata.namespace = namespace;
    else delete metadata.namespace;
    await this.#need.admit({ operation: 'create', resource, subresource: '', object, old: undefined, context });
    metadata.uid = randomUUID();
    metadata.creationTimestamp = rfc3339Seconds(this.#need.clock.nowMs());
    delete metadata.deletionTimestamp;
    delete metadata.deletionGracePeriodSeconds;
    delete metadata.selfLink;
    delete metadata.resourceVersion;
    delete metadata.generation;
    if (strategy.generationPart !== undefined) metadata.generation = 1;
    if (resource.subresources.has('status') && strategy.keepsStatusOnCreate !== true) object['status'] = {};
    strategy.prepareCreate?.(object);
    const reservation = strategy.reserve?.(object, undefined, context.isDryRun);
    let isKept = false;
    try {
      const kindErrors = strategy.validate?.(object) ?? [];
      const errors = kindErrors.length > 0 ? kindErrors : validateMeta(metadata, strategy.nameRule);
      if (errors.length > 0) throw invalid(resource, metadata.name, errors);
      for (const warning of strategy.warnings?.(object) ?? []) context.warn(warning);
      if (context.isDryRun) {
        const taken = await this.find(resource, { namespace, name: metadata.name }, context.signal);
        return taken === undefined ? object : undefined;
      }
      const outcome = await this.#need.storage.create(
        this.keyOf(resource, { namespace, name: metadata.name }),
        encodeStored(object),
        strategy.ttlSeconds,
        context.signal,
      );
      if (outcome.kind !== 'written') return undefined;
      isKept = true;
      reservation?.keep();
      return withRevision(object, outcome.revision);
    } finally {
      if (!isKept) reservation?.release();
    }
  }

  /**
   * Changes an object until the change lands on the state that it was computed from.
   * @throws {StatusError} 404, 409, 422 …
   */
  update(resource: Resource, place: Place, change: Change, context: WriteContext): Promise<ApiObject> {
    return this.#inTurn(this.keyOf(resource, place), async () => {
      const guessed = await this.#updateFromCache(resource, place, change, context);
      if (guessed !== undefined) return guessed;
      for (;;) {
        const stored = await this.#stored(resource, place, context.signal);
        if (stored === undefined) throw notFound(resource, place.name);
        const updated = await this.#updateOnce(resource, place, stored, change, context);
        if (updated !== undefined) return updated;
      }
    });
  }

  /**
   * The cache nearly always has the newest state, and the store's transaction tells when it hasn't. Undefined: only the
   * store can tell. A refusal may be due to the cache's age, too.
   */
  async #updateFromCache(
    resource: Resource,
    place: Place,
    change: Change,
    context: WriteContext,
  ): Promise<ApiObject | undefined> {
    const key = this.keyOf(resource, place);
    const cached = this.#caches.get(resource.storagePath)?.get(key);
    if (cached === undefined || context.isDryRun) return undefined;
    const state = { object: cached.object, value: { key, modRevision: cached.revision }, isNewest: false };
    try {
      return await this.#updateOnce(resource, place, state, change, context);
    } catch (err) {
      if (err instanceof StatusError) return undefined;
      throw err;
    }
  }

  /** Undefined when somebody else wrote first. */
  async #updateOnce(
    resource: Resource,
    place: Place,
    { object: old, value, isNewest = true }: State,
    change: Change,
    context: WriteContext,
  ): Promise<ApiObject | undefined> {
    const { strategy } = resource;
    const { subresource } = change;
    const object = await change.compute(copyOf(old));
    const { metadata } = object;
    const asked = metadata.resourceVersion ?? '';
    if (asked === '' && strategy.updateNeedsRevision === true && change.isUnconditional === true) {
      throw revisionNeeded(resource, place.name);
    }
    if (asked !== '' && asked !== old.metadata.resourceVersion) throw modifiedMeanwhile(resource, place.name);
    if (metadata.uid !== undefined && metadata.uid !== '' && metadata.uid !== old.metadata.uid) {
      const key = this.keyOf(resource, place);
      const why = `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`;
      throw conflict(resource, place.name, why);
    }
    carryMeta(metadata, old.metadata);
    keepOtherParts(resource, object, old, subresource);
    if (subresource === '') strategy.prepareUpdate?.(object, old);
    if (subresource === 'status') strategy.prepareStatus?.(object, old, rfc3339Seconds(this.#need.clock.nowMs()));
    if (strategy.generationPart !== undefined) {
      const isCounted = !uncounted.has(subresource);
      const isSame = !isCounted || isSameMeaning(strategy.generationPart(object), strategy.generationPart(old));
      metadata.generation = (old.metadata.generation ?? 0) + (isSame ? 0 : 1);
    }
    await this.#need.admit({ operation: 'update', resource, subresource, object, old, context });

    const reservation = subresource === '' ? strategy.reserve?.(object, old, context.isDryRun) : undefined;
    let isKept = false;
    try {
      if (subresource === '' || subresource === 'status') {
        const errors = [
          ...validateMetaUpdate(metadata, old.metadata),
          ...(subresource === '' ? (strategy.validate?.(object) ?? []) : []),
          ...(subresource === '' ? (strategy.validateUpdate?.(object, old) ?? []) : []),
        ];
        if (errors.length > 0) throw invalid(resource, place.name, errors);
        if (subresource === '') for (const warning of strategy.warnings?.(object) ?? []) context.warn(warning);
      }
      // that nothing is to change is true only of the newest state
      if (context.isDryRun || isSameJson(object, old)) return isNewest ? object : undefined;
      if (isFinished(resource, object)) {
        const outcome = await this.#need.storage.delete(value.key, value.modRevision, context.signal);
        if (outcome.kind !== 'written') return undefined;
        strategy.afterDelete?.(object);
        return withRevision(object, outcome.revision);
      }
      const text = encodeStored(object);
      const outcome = await this.#need.storage.update(
        value.key,
        text,
        value.modRevision,
        strategy.ttlSeconds,
        context.signal,
      );
      if (outcome.kind !== 'written') return undefined;
      isKept = true;
      reservation?.keep();
      return withRevision(object, outcome.revision);
    } finally {
      if (!isKept) reservation?.release();
    }
  }

  /**
   * Deletes, or marks for deletion what finalizers or a grace period still hold.
   * @returns the object as it is (or last was), and whether it is gone
   */
  delete(
    resource: Resource,
    place: Place,
    options: DeleteOptions,
    context: WriteContext,
  ): Promise<{ object: ApiObject; isGone: boolean }> {
    return this.#inTurn(this.keyOf(resource, place), async () => {
      for (;;) {
        const stored = await this.#stored(resource, place, context.signal);
        if (stored === undefined) throw notFound(resource, place.name);
        const done = await this.#deleteOnce(resource, stored, options, context);
        if (done !== undefined) return done;
      }
    });
  }

  async #deleteOnce(
    resource: Resource,
    { object: old, value }: { object: ApiObject; value: StoredValue },
    options: DeleteOptions,
    context: WriteContext,
  ): Promise<{ object: ApiObject; isGone: boolean } | undefined> {
    checkPreconditions(resource, old, options);
    await this.#need.admit({ operation: 'delete', resource, subresource: '', object: old, old, context });
    const plan = planDelete(resource, old, options, this.#need.clock.nowMs());
    if (plan.kind === 'keep') return { object: old, isGone: false };
    if (plan.kind === 'remove') {
      if (!context.isDryRun) {
        const outcome = await this.#need.storage.delete(value.key, value.modRevision, context.signal);
        if (outcome.kind !== 'written') return undefined;
        resource.strategy.afterDelete?.(old);
        return { object: withRevision(plan.object, outcome.revision), isGone: true };
      }
      return { object: plan.object, isGone: true };
    }
    if (context.isDryRun) return { object: plan.object, isGone: false };
    const outcome = await this.#need.storage.update(
      value.key,
      encodeStored(plan.object),
      value.modRevision,
      resource.strategy.ttlSeconds,
      context.signal,
    );
    return outcome.kind === 'written'
      ? { object: withRevision(plan.object, outcome.revision), isGone: false }
      : undefined;
  }

  /** Writers of one object take turns: they would only make each other start over. */
  async #inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(key) ?? Promise.resolve();
    const turn = before.then(work, work);
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(key, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(key) === settled) this.#turns.delete(key);
    }
  }
}

export function decodeStored(text: string, revision: number): ApiObject {
  const object = JSON.parse(text) as ApiObject; // written by encodeStored
  object.metadata.resourceVersion = String(revision);
  return object;
}

export function encodeStored(object: ApiObject): string {
  const { resourceVersion: _revision, selfLink: _selfLink, ...metadata } = object.metadata;
  return JSON.stringify({ ...object, metadata });
}

function withRevision(object: ApiObject, revision: number): ApiObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
}

/** Deleted, with nothing left that holds it back. */
function isFinished(resource: Resource, object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers ?? []).length > 0) return false;
  if (resource.resource === 'namespaces') {
    const { spec } = object as { spec?: { finalizers?: string[] } }; // checked when decoded
    return (spec?.finalizers ?? []).length === 0;
  }
  return (deletionGracePeriodSeconds ?? 0) === 0;
}

/** What the client may leave out and may not change. */
function carryMeta(metadata: ObjectMeta, old: ObjectMeta): void {
  metadata.resourceVersion = old.resourceVersion;
  for (const field of ['uid', 'creationTimestamp', 'deletionTimestamp'] as const) {
    metadata[field] ||= old[field];
    if (metadata[field] === undefined) delete metadata[field];
  }
  metadata.deletionGracePeriodSeconds ??= old.deletionGracePeriodSeconds;
  if (metadata.deletionGracePeriodSeconds === undefined) delete metadata.deletionGracePeriodSeconds;
  if (old.generation === undefined) delete metadata.generation;
  else metadata.generation = old.generation;
  if (old.namespace !== undefined) metadata.namespace ??= old.namespace;
  if (old.generateName !== undefined) metadata.generateName ??= old.generateName;
  delete metadata.selfLink;
}

/** A write to the object leaves its status, a write to the status leaves everything else. */
function keepOtherParts(resource: Resource, object: ApiObject, old: ApiObject, subresource: string): void {
  if (subresource === 'finalize') object['status'] = old['status'];
  if (subresource === 'approval') {
    object['spec'] = old['spec'];
    object['status'] = { ...Object(old['status']), conditions: objectAt(object, 'status')['conditions'] };
  }
  if (!resource.subresources.has('status')) return;
  if (subresource === '') {
    if (old['status'] === undefined) delete object['status'];
    else object['status'] = old['status'];
    return;
  }
  if (subresource !== 'status') return;
  for (const key of new Set([...Object.keys(object), ...Object.keys(old)])) {
    if (key === 'status' || key === 'metadata' || key === 'apiVersion' || key === 'kind') continue;
    if (old[key] === undefined) delete object[key];
    else object[key] = old[key];
  }
  for (const field of resource.strategy.keepsMetadataOnStatus ?? []) {
    const metadata: JsonObject = Object(object.metadata);
    if (old.metadata[field] === undefined) delete metadata[field];
    else metadata[field] = old.metadata[field];
  }
}

function revisionNeeded(resource: Resource, name: string): StatusError {
  return invalid({ group: resource.group, kind: resource.kind }, name, [
    invalidValue('metadata.resourceVersion', 0, 'must be specified for an update'),
  ]);
}

function checkPreconditions(resource: Resource, object: ApiObject, { preconditions }: DeleteOptions): void {
  const { uid, resourceVersion, name } = object.metadata;
  const refuse = (why: string): StatusError =>
    new StatusError(
      409,
      'Conflict',
      `Operation cannot be fulfilled on ${resource.group === '' ? resource.kind : `${resource.kind}.${resource.group}`} "${name}": ${why}`,
      { name, ...(resource.group === '' ? {} : { group: resource.group }), kind: resource.kind },
    );
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    throw refuse(
      `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
    );
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
    throw refuse(
      `the ResourceVersion in the precondition (${preconditions.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`,
    );
  }
}

export function generateName(base: string): string {
  return `${base.slice(0, 58)}${randomSuffix()}`;
}

/** Five characters that cannot spell a word. */
export function randomSuffix(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(5));
  return [...bytes].map((byte) => generatedSuffix[byte % generatedSuffix.length]).join('');
}
