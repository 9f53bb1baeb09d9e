/** The verbs of every resource, and of the subresources that are views of it (`status`, `finalize`, `approval` …). */
import type { Clock } from '../../base/clock.ts';
import type { DeleteOptions } from '../../objects/generated/meta-v1.ts';
import { type ApiObject, type JsonObject, isJsonObject } from '../resources/api-object.ts';
import { notSupported } from '../resources/field-errors.ts';
import { applyPatch, patchKind } from '../resources/patch/apply-patch.ts';
import { defaultColumns, tableOf } from '../resources/print-table.ts';
import type { Place, Registry, UserInfo, WriteContext } from '../resources/registry.ts';
import type { Resource } from '../resources/resource.ts';
import {
  StatusError,
  badRequest,
  invalid,
  methodNotAllowed,
  notFound,
  unsupportedMediaType,
} from '../resources/status-error.ts';
import { decodeBody, decodeKind, fieldValidationOf, parseBody } from './decode-body.ts';
import type { Exchange } from './http-exchange.ts';
import { answerList, answerWatch, findPage, includeOf, partial, reach, revisionOf, served } from './list-watch.ts';
import { isPretty, negotiate, serialize } from './negotiate.ts';
import type { ResourceRequest } from './request-info.ts';
import { validateNoEphemeral } from '../resources/pods.ts';
import { typed } from '../resources/resource.ts';
import type { Pod } from '../../objects/generated/core-v1.ts';

export interface HandlerNeed {
  registry: Registry;
  clock: Clock;
}

export interface ResourceCall {
  request: ResourceRequest;
  resource: Resource;
  user: UserInfo;
  exchange: Exchange;
}

export function placeOf({ request }: ResourceCall): Place {
  return { namespace: request.namespace, name: request.name };
}

/** @throws {StatusError} 422 */
export function writeContext({ exchange, user }: ResourceCall): WriteContext {
  const dryRun = exchange.query.getAll('dryRun').filter((value) => value !== '');
  const bad = dryRun.filter((value) => value !== 'All');
  if (bad.length > 0) {
    const kind =
      { POST: 'CreateOptions', PUT: 'UpdateOptions', PATCH: 'PatchOptions' }[exchange.method] ?? 'DeleteOptions';
    throw invalid({ group: 'meta.k8s.io', kind }, '', [notSupported('dryRun', bad, ['All'])]);
  }
  return { user, isDryRun: dryRun.length > 0, warn: (text) => exchange.warn(text), signal: exchange.signal };
}

/** A request for the resource itself. */
export async function handleResource(need: HandlerNeed, call: ResourceCall): Promise<void> {
  const { request, resource, exchange } = call;
  if (!resource.verbs.includes(request.verb) || exchange.method === 'HEAD') throw methodNotAllowed();
  switch (request.verb) {
    case 'get':
      return handleGet(need, call);
    case 'list':
      return answerList(need, resource, request.namespace, exchange, negotiate(exchange.header('accept')));
    case 'watch':
      return answerWatch(need, resource, request.namespace, exchange, negotiate(exchange.header('accept')));
    case 'create':
      return handleCreate(need, call);
    case 'update':
      return handleUpdate(need, call, '');
    case 'patch':
      return handlePatch(need, call, '');
    case 'delete':
      return handleDelete(need, call);
    case 'deletecollection':
      return handleDeleteCollection(need, call);
    default:
      throw methodNotAllowed();
  }
}

/** GET, PUT and PATCH of a view of the object. */
export async function handleView(need: HandlerNeed, call: ResourceCall): Promise<void> {
  const { subresource, verb } = call.request;
  switch (verb) {
    case 'get':
      return handleGet(need, call);
    case 'update':
      return handleUpdate(need, call, subresource);
    case 'patch':
      return handlePatch(need, call, subresource);
    default:
      throw methodNotAllowed();
  }
}

/** Answers with one object in the form that the client wants. */
export async function sendObject(
  { clock }: HandlerNeed,
  { resource, exchange }: ResourceCall,
  code: number,
  object: ApiObject,
): Promise<void> {
  const { format, as } = negotiate(exchange.header('accept'));
  const pretty = isPretty(exchange.query, exchange.header('user-agent'));
  let body: unknown = served(resource, object);
  if (as === 'Table') {
    const metadata = { resourceVersion: object.metadata.resourceVersion ?? '' };
    body = tableOf(resource.strategy.columns ?? defaultColumns, [object], metadata, {
      include: includeOf(exchange.query),
      nowMs: clock.nowMs(),
    });
  } else if (as !== undefined) {
    body = partial(object);
  }
  await exchange.send(code, serialize(body, format, pretty), { 'content-type': `application/${format}` });
}

async function handleGet(need: HandlerNeed, call: ResourceCall): Promise<void> {
  const { resource, exchange } = call;
  const place = placeOf(call);
  const asked = exchange.query.get('resourceVersion') ?? '';
  if (asked === '') {
    await sendObject(need, call, 200, await need.registry.get(resource, place, exchange.signal));
    return;
  }
  const cache = need.registry.cache(resource);
  const revision = revisionOf(asked);
  if (revision === 0) await cache.ready(exchange.signal);
  else await reach(cache, revision, exchange.signal);
  const found = cache.get(need.registry.keyOf(resource, place));
  if (found === undefined) throw notFound(resource, place.name);
  await sendObject(need, call, 200, found.object);
}

async function readBody({ resource, exchange }: ResourceCall): Promise<unknown> {
  return parseBody(await exchange.body(), exchange.header('content-type'), resource.kind);
}

/** The body as an object of the stored version; defaults are in. */
function toStored(resource: Resource, object: ApiObject, old: ApiObject | undefined): ApiObject {
  const stored = resource.conversion === undefined ? object : resource.conversion.toStored(object, old);
  resource.strategy.applyDefaults?.(stored);
  return stored;
}

function checkNamespace({ request, resource }: ResourceCall, { metadata }: ApiObject): void {
  if (!resource.isNamespaced) return;
  if (request.namespace === '') throw badRequest('Namespace parameter required.');
  if (metadata.namespace !== undefined && metadata.namespace !== '' && metadata.namespace !== request.namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
}

async function handleCreate(need: HandlerNeed, call: ResourceCall): Promise<void> {
  const { resource, request, exchange } = call;
  const context = writeContext(call);
  const decoded = decodeBody(await readBody(call), resource, {
    fieldValidation: fieldValidationOf(exchange.query),
    warn: context.warn,
  });
  checkNamespace(call, decoded);
  if (decoded.metadata.resourceVersion) {
    throw new StatusError(500, undefined, 'resourceVersion should not be set on objects to be created');
  }
  const object = toStored(resource, decoded, undefined);
  if (resource.resource === 'pods') {
    const errors = validateNoEphemeral(typed<Pod>(object));
    if (errors.length > 0) throw invalid(resource, object.metadata.name, errors);
  }
  const created = await need.registry.create(resource, request.namespace, object, context);
  await sendObject(need, call, 201, created);
}

async function handleUpdate(need: HandlerNeed, call: ResourceCall, subresource: string): Promise<void> {
  const { resource, request, exchange } = call;
  const context = writeContext(call);
  const body = decodeBody(await readBody(call), resource, {
    fieldValidation: fieldValidationOf(exchange.query),
    warn: context.warn,
  });
  checkNamespace(call, body);
  const { name } = body.metadata;
  if (name !== '' && name !== request.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${request.name})`);
  }
  body.metadata.name = request.name;
  const change = {
    subresource,
    isUnconditional: !body.metadata.resourceVersion,
    compute: (old: ApiObject) => toStored(resource, structuredClone(body), old),
  };
  try {
    await sendObject(need, call, 200, await need.registry.update(resource, placeOf(call), change, context));
  } catch (err) {
    const mayCreate = subresource === '' && resource.strategy.updateMayCreate === true;
    if (!mayCreate || !(err instanceof StatusError) || err.reason !== 'NotFound') throw err;
    const object = toStored(resource, structuredClone(body), undefined);
    await sendObject(need, call, 201, await need.registry.create(resource, request.namespace, object, context));
  }
}

async function handlePatch(need: HandlerNeed, call: ResourceCall, subresource: string): Promise<void> {
  const { resource, request, exchange } = call;
  const context = writeContext(call);
  const contentType = exchange.header('content-type');
  const kind = patchKind(contentType);
  if (kind === 'apply') {
    throw unsupportedMediaType(
      'server-side apply ("application/apply-patch+yaml") is not supported by this server; use client-side apply',
    );
  }
  const fieldValidation = fieldValidationOf(exchange.query);
  const patch = parseBody(await exchange.body(), contentType, resource.kind);
  const updated = await need.registry.update(
    resource,
    placeOf(call),
    {
      subresource,
      compute: (old) => {
        const json: JsonObject = served(resource, old);
        const patched = applyPatch(kind, json, patch, resource);
        const object = decodeBody(patched, resource, { fieldValidation, warn: context.warn, isPatched: true });
        if (object.metadata.name !== request.name) {
          throw badRequest(
            `the name of the object (${object.metadata.name}) does not match the name on the URL (${request.name})`,
          );
        }
        return toStored(resource, object, old);
      },
    },
    context,
  );
  await sendObject(need, call, 200, updated);
}

/** From the body, or else from the query. */
export async function deleteOptionsOf({ exchange }: ResourceCall): Promise<DeleteOptions> {
  const body = await exchange.body();
  const { query } = exchange;
  let options: DeleteOptions = {};
  if (body.length > 0) {
    const value = parseBody(body, exchange.header('content-type'), 'DeleteOptions');
    if (isJsonObject(value)) {
      const groupVersion =
        typeof value['apiVersion'] === 'string' && value['apiVersion'] !== '' ? value['apiVersion'] : 'v1';
      // every group has the type under its own name; the fields are the same
      const plain = { ...value, apiVersion: 'v1', kind: 'DeleteOptions' };
      const context = { fieldValidation: 'Ignore', warn: () => {} } as const;
      options = typed<DeleteOptions>({
        ...decodeKind(plain, 'v1', 'DeleteOptions', context),
        apiVersion: groupVersion,
      });
    }
  } else {
    const grace = query.get('gracePeriodSeconds');
    if (grace !== null && /^-?\d+$/.test(grace)) options.gracePeriodSeconds = Number(grace);
    const policy = query.get('propagationPolicy');
    if (policy !== null) options.propagationPolicy = policy;
    const orphan = query.get('orphanDependents');
    if (orphan !== null) options.orphanDependents = orphan === 'true';
  }
  const policy = options.propagationPolicy;
  if (policy !== undefined && !['Foreground', 'Background', 'Orphan'].includes(policy)) {
    throw invalid({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', [
      notSupported('propagationPolicy', policy, ['Foreground', 'Background', 'Orphan', 'nil']),
    ]);
  }
  return options;
}

async function handleDelete(need: HandlerNeed, call: ResourceCall): Promise<void> {
  const { resource, request, exchange } = call;
  const options = await deleteOptionsOf(call);
  const context = writeContext(call);
  const isDryRun = context.isDryRun || (options.dryRun ?? []).includes('All');
  const { object, isGone } = await need.registry.delete(resource, placeOf(call), options, { ...context, isDryRun });
  if (!isGone || resource.strategy.deleteReturnsObject === true) {
    const code = !isGone && options.orphanDependents === false ? 202 : 200;
    await sendObject(need, call, code, object);
    return;
  }
  const details = {
    name: request.name,
    ...(resource.group === '' ? {} : { group: resource.group }),
    kind: resource.resource,
    uid: object.metadata.uid,
  };
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
  await exchange.sendJson(200, JSON.stringify(status));
}

async function handleDeleteCollection(need: HandlerNeed, call: ResourceCall): Promise<void> {
  const { resource, request, exchange } = call;
  const options = await deleteOptionsOf(call);
  const context = writeContext(call);
  const page = await findPage(need, resource, request.namespace, exchange.query, exchange.signal);
  for (const { object } of page.objects) {
    const place = { namespace: object.metadata.namespace ?? '', name: object.metadata.name };
    try {
      await need.registry.delete(resource, place, options, context);
    } catch (err) {
      if (!(err instanceof StatusError) || err.reason !== 'NotFound') throw err; // gone already: fine
    }
  }
  const list = {
    kind: `${resource.kind}List`,
    apiVersion: resource.groupVersion,
    metadata: { resourceVersion: String(page.revision) },
    items: page.objects.map(({ object }) => served(resource, object)),
  };
  await exchange.sendJson(200, JSON.stringify(list));
}
