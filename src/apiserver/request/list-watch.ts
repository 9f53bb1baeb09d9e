/** Lists and watches: which revision they show, what they select, and how they page. */
import type { Clock } from '../../base/clock.ts';
import { type LabelRequirement, matchesRequirements } from '../../objects/label-selector.ts';
import type { ApiObject, JsonObject } from '../resources/api-object.ts';
import { type IncludeObject, defaultColumns, tableOf } from '../resources/print-table.ts';
import { type Registry, decodeStored } from '../resources/registry.ts';
import type { Resource } from '../resources/resource.ts';
import { type FieldRequirement, parseFieldSelector, parseLabelSelector, pinnedValue } from '../resources/selectors.ts';
import { StatusError, badRequest, gone, invalid } from '../resources/status-error.ts';
import { CompactedError, FutureRevisionError } from '../storage/storage.ts';
import { type CacheEvent, CachedObject, TooLargeError, TooOldError, type WatchCache } from '../watch/watch-cache.ts';
import { type FieldError, notSupported } from '../resources/field-errors.ts';
import type { Exchange } from './http-exchange.ts';
import { type Representation, isPretty, serialize } from './negotiate.ts';
import { isTrue } from './request-info.ts';

const pageMax = 500;
const bookmarkMs = 60_000;
const watchMinSeconds = 1800;

export interface Selection {
  labels: readonly LabelRequirement[];
  fields: readonly FieldRequirement[];
}

/** @throws {StatusError} 400 for what is no selector or selects by an unknown field */
export function selectionOf(resource: Resource, query: URLSearchParams): Selection {
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '');
  for (const { field } of fields) {
    if (field === 'metadata.name' || (field === 'metadata.namespace' && resource.isNamespaced)) continue;
    const known = resource.strategy.selectableFields;
    if (known === undefined) {
      const names = resource.isNamespaced ? '"metadata.name", "metadata.namespace"' : '"metadata.name"';
      throw badRequest(`"${field}" is not a known field selector: only ${names}`);
    }
    if (known[field] === undefined) throw badRequest(`field label not supported: ${field}`);
  }
  return { fields, labels: parseLabelSelector(query.get('labelSelector') ?? '') };
}

export function isSelected(resource: Resource, { labels, fields }: Selection, object: ApiObject): boolean {
  const { metadata } = object;
  if (labels.length > 0 && !matchesRequirements(labels, metadata.labels)) return false;
  return fields.every(({ field, isEqual, value }) => {
    const actual =
      field === 'metadata.name'
        ? metadata.name
        : field === 'metadata.namespace'
          ? (metadata.namespace ?? '')
          : (resource.strategy.selectableFields?.[field]?.(object) ?? '');
    return (actual === value) === isEqual;
  });
}

interface ListOptions {
  resourceVersion: string;
  match: string;
  limit: number;
  continueToken: string;
}

function listOptionsOf(query: URLSearchParams): ListOptions {
  const limitText = query.get('limit') ?? '';
  if (limitText !== '' && !/^-?\d+$/.test(limitText)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(limitText)}: invalid syntax`);
  }
  return {
    resourceVersion: query.get('resourceVersion') ?? '',
    match: query.get('resourceVersionMatch') ?? '',
    limit: Math.max(0, Number(limitText)),
    continueToken: query.get('continue') ?? '',
  };
}

export function revisionOf(text: string): number {
  if (!/^\d{1,16}$/.test(text)) {
    throw badRequest(
      `invalid resource version: resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  }
  return Number(text);
}

const listOptionsError = (errors: FieldError[]): StatusError =>
  invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', errors);

const forbiddenMatch = (phrase: string): StatusError =>
  listOptionsError([{ reason: 'FieldValueForbidden', field: 'resourceVersionMatch', phrase: `Forbidden: ${phrase}` }]);

function checkMatch({ resourceVersion, match, continueToken }: ListOptions): void {
  if (match === '') return;
  if (match !== 'Exact' && match !== 'NotOlderThan') {
    throw listOptionsError([notSupported('resourceVersionMatch', match, ['Exact', 'NotOlderThan', ''])]);
  }
  if (resourceVersion === '') {
    throw forbiddenMatch('resourceVersionMatch is forbidden unless resourceVersion is provided');
  }
  if (continueToken !== '') throw forbiddenMatch('resourceVersionMatch is forbidden when continue is provided');
  if (match === 'Exact' && resourceVersion === '0') {
    throw forbiddenMatch('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  }
}

/** One page of a list. */
interface Page {
  objects: CachedObject[];
  revision: number;
  /** Where the next page starts, below the resource's prefix; undefined at the end. */
  next: string | undefined;
  remaining: number | undefined;
}

export interface ListNeed {
  registry: Registry;
  clock: Clock;
}

export async function findPage(
  { registry }: ListNeed,
  resource: Resource,
  namespace: string,
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<Page> {
  const selection = selectionOf(resource, query);
  const options = listOptionsOf(query);
  checkMatch(options);
  const { resourceVersion, match, limit, continueToken } = options;
  const cache = registry.cache(resource);
  const prefix = registry.prefixOf(resource, namespace);
  if (continueToken !== '') {
    if (resourceVersion !== '' && resourceVersion !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    const { revision, start } = readToken(continueToken);
    return readPast(
      registry,
      resource,
      prefix,
      selection,
      { revision, startKey: `${prefix}${start}`, limit, isContinued: true },
      signal,
    );
  }
  const revision = resourceVersion === '' ? undefined : revisionOf(resourceVersion);
  const isExact = match === 'Exact' || (match === '' && limit > 0 && revision !== undefined && revision > 0);
  if (isExact) {
    return readPast(
      registry,
      resource,
      prefix,
      selection,
      { revision, startKey: undefined, limit, isContinued: false },
      signal,
    );
  }
  if (revision === undefined) await cache.fresh(signal);
  else if (revision === 0) await cache.ready(signal);
  else await reach(cache, revision, signal);
  // nothing waits between here and the return: the page is one state of the cache
  const all = candidates(registry, cache, resource, namespace, prefix, selection);
  const matching = all.filter(({ object }) => isSelected(resource, selection, object));
  const isPaged = limit > 0 && revision !== 0 && matching.length > limit;
  const objects = isPaged ? matching.slice(0, limit) : matching;
  const last = objects.at(-1);
  const isWhole = selection.labels.length === 0 && selection.fields.length === 0;
  return {
    objects,
    revision: cache.revision,
    next: isPaged && last !== undefined ? `${last.key.slice(prefix.length)}\0` : undefined,
    remaining: isPaged && isWhole ? matching.length - limit : undefined,
  };
}

/** All that may match: one object when the selector names it. */
function candidates(
  registry: Registry,
  cache: WatchCache,
  resource: Resource,
  namespace: string,
  prefix: string,
  { fields }: Selection,
): CachedObject[] {
  const name = pinnedValue(fields, 'metadata.name');
  if (name !== undefined && (namespace !== '' || !resource.isNamespaced)) {
    const one = cache.get(registry.keyOf(resource, { namespace, name }));
    return one === undefined ? [] : [one];
  }
  return cache.list(prefix);
}

export async function reach(cache: WatchCache, revision: number, signal: AbortSignal): Promise<void> {
  try {
    await cache.reach(revision, signal);
  } catch (err) {
    if (err instanceof TooLargeError) throw tooLarge(err);
    throw err;
  }
}

function tooLarge(err: TooLargeError): StatusError {
  return new StatusError(504, 'Timeout', `Timeout: ${err.message}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

interface PastOptions {
  /** Undefined: now. */
  revision: number | undefined;
  startKey: string | undefined;
  limit: number;
  isContinued: boolean;
}

/** A page from the store itself: the past, or the rest of a list that was begun. */
async function readPast(
  registry: Registry,
  resource: Resource,
  prefix: string,
  selection: Selection,
  { revision, startKey, limit, isContinued }: PastOptions,
  signal: AbortSignal,
): Promise<Page> {
  const objects: CachedObject[] = [];
  const isWhole = selection.labels.length === 0 && selection.fields.length === 0;
  let at = revision;
  let from = startKey;
  for (;;) {
    let page;
    try {
      page = await registry.storage.range(
        prefix,
        { revision: at, startKey: from, limit: limit > 0 ? limit : pageMax },
        signal,
      );
    } catch (err) {
      if (err instanceof CompactedError) throw compacted(isContinued, (from ?? '').slice(prefix.length));
      if (err instanceof FutureRevisionError) {
        throw tooLarge(new TooLargeError(at ?? 0, registry.cache(resource).revision));
      }
      throw err;
    }
    at ??= page.revision;
    for (const [i, { key, value, modRevision }] of page.items.entries()) {
      const object = decodeStored(value, modRevision);
      if (!isSelected(resource, selection, object)) continue;
      objects.push(new CachedObject(key, object, modRevision));
      if (limit > 0 && objects.length === limit) {
        const isMore = page.more || i < page.items.length - 1;
        return {
          objects,
          revision: at,
          next: isMore ? `${key.slice(prefix.length)}\0` : undefined,
          remaining: isMore && isWhole ? page.count - (i + 1) : undefined,
        };
      }
    }
    const last = page.items.at(-1);
    if (!page.more || last === undefined) return { objects, revision: at, next: undefined, remaining: undefined };
    from = `${last.key}\0`;
  }
}

function compacted(isContinued: boolean, start: string): StatusError {
  if (!isContinued) return gone('The resourceVersion for the provided list is too old.');
  return gone(
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    writeToken(-1, start),
  );
}

function writeToken(revision: number, start: string): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start })).toString('base64url');
}

function readToken(token: string): { revision: number | undefined; start: string } {
  const refuse = (why: string): StatusError => badRequest(`invalid continue token: continue key is not valid: ${why}`);
  let parsed: { v?: unknown; rv?: unknown; start?: unknown };
  try {
    parsed = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
  } catch (err) {
    throw refuse(String(err instanceof Error ? err.message : err));
  }
  const { v, rv, start } = parsed;
  if (v !== 'meta.k8s.io/v1') throw refuse('server does not recognize this encoded version');
  if (typeof rv !== 'number' || rv === 0)
    throw refuse('incorrect encoded start resourceVersion (version meta.k8s.io/v1)');
  if (typeof start !== 'string' || start === '') throw refuse('encoded start key empty (version meta.k8s.io/v1)');
  const key = start.startsWith('/') ? start.slice(1) : start;
  if (key.split('/').includes('..')) throw refuse(start);
  return { revision: rv < 0 ? undefined : rv, start: key };
}

export async function answerList(
  need: ListNeed,
  resource: Resource,
  namespace: string,
  exchange: Exchange,
  representation: Representation,
): Promise<void> {
  const { query } = exchange;
  if (query.get('sendInitialEvents') !== null) {
    throw listOptionsError([
      {
        reason: 'FieldValueForbidden',
        field: 'sendInitialEvents',
        phrase: 'Forbidden: sendInitialEvents is forbidden for list',
      },
    ]);
  }
  const page = await findPage(need, resource, namespace, query, exchange.signal);
  const metadata: JsonObject = {
    resourceVersion: String(page.revision),
    ...(page.next === undefined ? {} : { continue: writeToken(page.revision, page.next) }),
    ...(page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
  };
  const pretty = isPretty(query, exchange.header('user-agent'));
  const objects = (): ApiObject[] => page.objects.map(({ object }) => served(resource, object));
  if (representation.as === 'Table') {
    const table = tableOf(
      resource.strategy.columns ?? defaultColumns,
      page.objects.map(({ object }) => object),
      metadata,
      { include: includeOf(query), nowMs: need.clock.nowMs() },
    );
    await exchange.sendJson(200, serialize(table, 'json', pretty));
    return;
  }
  if (representation.as !== undefined) {
    const items = objects().map(partial);
    const list = { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata, items };
    await exchange.sendJson(200, serialize(list, 'json', pretty));
    return;
  }
  const head = { kind: `${resource.kind}List`, apiVersion: resource.groupVersion, metadata };
  if (pretty || representation.format === 'yaml') {
    await exchange.send(200, serialize({ ...head, items: objects() }, representation.format, pretty), {
      'content-type': `application/${representation.format}`,
    });
    return;
  }
  const items = page.objects.map((item) => servedJson(resource, item)).join(',');
  await exchange.sendJson(200, `${JSON.stringify(head).slice(0, -1)},"items":[${items}]}`);
}

export function includeOf(query: URLSearchParams): IncludeObject {
  const include = query.get('includeObject') ?? '';
  if (include === 'None' || include === 'Full') return include;
  return 'Metadata';
}

/** An object in the version that was asked for. */
export function served(resource: Resource, object: ApiObject): ApiObject {
  return resource.conversion === undefined ? object : resource.conversion.fromStored(object);
}

function servedJson(resource: Resource, cached: CachedObject): string {
  return resource.conversion === undefined ? cached.json : JSON.stringify(served(resource, cached.object));
}

export function partial({ metadata }: ApiObject): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

interface WatchOptions {
  revision: number | undefined;
  /** Undefined: the old rule, events first when no revision is given. */
  sendInitialEvents: boolean | undefined;
  allowBookmarks: boolean;
  timeoutSeconds: number;
}

function watchOptionsOf(query: URLSearchParams): WatchOptions {
  const resourceVersion = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  const initial = query.get('sendInitialEvents');
  if (initial === null && match !== '') {
    throw forbiddenMatch('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
  }
  if (initial !== null && match !== 'NotOlderThan') {
    throw forbiddenMatch('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  }
  const timeoutText = query.get('timeoutSeconds') ?? '';
  const asked = /^\d+$/.test(timeoutText) ? Number(timeoutText) : 0;
  return {
    revision: resourceVersion === '' ? undefined : revisionOf(resourceVersion),
    sendInitialEvents: initial === null ? undefined : isTrue(initial),
    allowBookmarks: isTrue(query.get('allowWatchBookmarks')),
    timeoutSeconds: asked > 0 ? asked : watchMinSeconds * (1 + Math.random()),
  };
}

/** One line of a watch, or undefined when the event is none of the watcher's business. Pure. */
export function watchEvent(
  resource: Resource,
  selection: Selection,
  event: CacheEvent,
): { type: CacheEvent['type']; cached: CachedObject | ApiObject } | undefined {
  const isNow = event.type !== 'DELETED' && isSelected(resource, selection, event.object.object);
  const wasBefore = event.previous !== undefined && isSelected(resource, selection, event.previous.object);
  if (isNow) return { type: wasBefore ? 'MODIFIED' : 'ADDED', cached: event.object };
  if (!wasBefore || event.previous === undefined) return undefined;
  if (event.type === 'DELETED') return { type: 'DELETED', cached: event.object };
  const { metadata } = event.previous.object;
  const last = { ...event.previous.object, metadata: { ...metadata, resourceVersion: String(event.revision) } };
  return { type: 'DELETED', cached: last };
}

export async function answerWatch(
  { registry, clock }: ListNeed,
  resource: Resource,
  namespace: string,
  exchange: Exchange,
  representation: Representation,
): Promise<void> {
  const { query, signal } = exchange;
  const selection = selectionOf(resource, query);
  const options = watchOptionsOf(query);
  const cache = registry.cache(resource);
  const prefix = registry.prefixOf(resource, namespace);
  const { revision, sendInitialEvents } = options;
  const isInitial = sendInitialEvents ?? (revision === undefined || revision === 0);
  await cache.ready(signal);

  const include = includeOf(query);
  let isFirstTable = true;
  const line = (type: string, item: CachedObject | ApiObject): string => {
    const object = isCached(item) ? item.object : item;
    if (representation.as === undefined) {
      const json = isCached(item) ? servedJson(resource, item) : JSON.stringify(served(resource, item));
      return `{"type":"${type}","object":${json}}\n`;
    }
    if (representation.as !== 'Table') return `${JSON.stringify({ type, object: partial(object) })}\n`;
    const metadata = { resourceVersion: object.metadata.resourceVersion ?? '' };
    const table = tableOf(resource.strategy.columns ?? defaultColumns, [object], metadata, {
      include,
      nowMs: clock.nowMs(),
      withColumns: isFirstTable,
    });
    isFirstTable = false;
    return `${JSON.stringify({ type, object: table })}\n`;
  };
  const bookmark = (at: number, annotations?: Record<string, string>): string => {
    const metadata = { resourceVersion: String(at), ...(annotations === undefined ? {} : { annotations }) };
    return `${JSON.stringify({ type: 'BOOKMARK', object: { kind: resource.kind, apiVersion: resource.groupVersion, metadata } })}\n`;
  };
  const errorLine = (error: StatusError): string => `${JSON.stringify({ type: 'ERROR', object: error.toJSON() })}\n`;
  const start = (): void => exchange.startStream(200, { 'content-type': 'application/json' });

  try {
    if (isInitial || sendInitialEvents === false) {
      if (revision === undefined) await cache.fresh(signal);
      else if (isInitial && revision > 0) await reach(cache, revision, signal);
    }
  } catch (err) {
    if (!(err instanceof StatusError)) throw err;
    start();
    await exchange.write(errorLine(err));
    exchange.end();
    return;
  }
  let watcher;
  let initial: CachedObject[] = [];
  let initialRevision = cache.revision;
  try {
    // no wait between the two: the changes follow the state without a gap
    watcher = cache.watch(isInitial || revision === undefined ? cache.revision : revision);
    initialRevision = cache.revision;
    if (isInitial) {
      initial = cache.list(prefix).filter(({ object }) => isSelected(resource, selection, object));
    }
  } catch (err) {
    if (!(err instanceof TooOldError)) throw err;
    start();
    await exchange.write(errorLine(gone(err.message)));
    exchange.end();
    return;
  }
  start();
  const end = new AbortController();
  const stop = AbortSignal.any([signal, end.signal]);
  // `sleep` never rejects
  void clock.sleep(options.timeoutSeconds * 1000, stop).then(() => end.abort());
  stop.addEventListener('abort', () => watcher.close(), { once: true });
  try {
    for (const item of initial) if (!(await exchange.write(line('ADDED', item)))) return;
    if (sendInitialEvents === true && options.allowBookmarks) {
      if (!(await exchange.write(bookmark(initialRevision, { 'k8s.io/initial-events-end': 'true' })))) return;
    }
    let sent = initialRevision;
    const keepUp = async (): Promise<void> => {
      while (!stop.aborted) {
        await clock.sleep(bookmarkMs * (0.75 + Math.random() / 2), stop);
        if (stop.aborted) return;
        await cache.fresh(stop).catch(() => {}); // without the store there is no news to mark
        if (cache.revision > sent && watcher.isEmpty) {
          sent = cache.revision;
          await exchange.write(bookmark(sent));
        }
      }
    };
    if (options.allowBookmarks) void keepUp(); // ends with `stop`; catches its own failures
    while (!stop.aborted && !watcher.isClosed) {
      const events = await watcher.next();
      let text = '';
      for (const event of events) {
        sent = Math.max(sent, event.revision);
        if (!event.object.key.startsWith(prefix)) continue;
        const shown = watchEvent(resource, selection, event);
        if (shown !== undefined) text += line(shown.type, shown.cached);
      }
      if (text !== '' && !(await exchange.write(text))) return;
    }
  } finally {
    end.abort();
    watcher.close();
    exchange.end();
  }
}

function isCached(item: CachedObject | ApiObject): item is CachedObject {
  return item instanceof CachedObject;
}
