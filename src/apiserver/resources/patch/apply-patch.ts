/** The patch kinds, by their media type, applied to an object's JSON. */
import jsonPatch from 'fast-json-patch';
import { type JsonObject, copyOf, isJsonObject } from '../api-object.ts';
import type { Resource } from '../resource.ts';
import { typeOfKind } from '../schema.ts';
import { StatusError, badRequest } from '../status-error.ts';
import { StrategicPatchError, strategicMerge } from './strategic-merge.ts';

export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply';

const mediaTypes: Readonly<Record<string, PatchKind>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};
const operationsMax = 10_000;

/** @throws {StatusError} 415 */
export function patchKind(contentType: string): PatchKind {
  const kind = mediaTypes[contentType.split(';')[0]?.trim() ?? ''];
  if (kind === undefined) throw new StatusError(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {});
  return kind;
}

/** `patch` is parsed JSON. @throws {StatusError} when it does not fit the object */
export function applyPatch(
  kind: Exclude<PatchKind, 'apply'>,
  object: JsonObject,
  patch: unknown,
  resource: Resource,
): JsonObject {
  switch (kind) {
    case 'json':
      return applyJsonPatch(object, patch);
    case 'merge':
      if (!isJsonObject(patch)) throw badRequest('error decoding patch: expected an object');
      return mergePatch(object, patch);
    case 'strategic':
      if (!isJsonObject(patch)) throw badRequest('error decoding patch: expected an object');
      try {
        return strategicMerge(object, patch, typeOfKind(resource.groupVersion, resource.kind));
      } catch (err) {
        if (err instanceof StrategicPatchError) throw new StatusError(500, undefined, err.message);
        throw err;
      }
  }
}

function applyJsonPatch(object: JsonObject, patch: unknown): JsonObject {
  if (!Array.isArray(patch)) throw badRequest('error decoding patch: expected a list of operations');
  if (patch.length > operationsMax) {
    throw new StatusError(
      413,
      'RequestEntityTooLarge',
      `Request entity too large: The allowed maximum operations in a JSON patch is ${operationsMax}, got ${patch.length}`,
    );
  }
  let result: unknown;
  try {
    result = jsonPatch.applyPatch(copyOf(object), patch, true).newDocument;
  } catch (cause) {
    throw new StatusError(
      422,
      'Invalid',
      'the server rejected our request due to an error in our request',
      {},
      { cause },
    );
  }
  if (!isJsonObject(result)) throw badRequest('the patched object is no object');
  return result;
}

function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const out: JsonObject = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    const before = out[key];
    if (value === null) delete out[key];
    else out[key] = isJsonObject(value) ? mergePatch(isJsonObject(before) ? before : {}, value) : value;
  }
  return out;
}
