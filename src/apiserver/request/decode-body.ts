/** From the bytes of a request to an object in the stored version, with defaults and every field checked. */
import { parse } from 'yaml';
import { decodeProtobuf } from './decode-protobuf.ts';
import { type ApiObject, type JsonObject, isJsonObject } from '../resources/api-object.ts';
import { DecodeError, decodeObject } from '../resources/decode-object.ts';
import type { Resource } from '../resources/resource.ts';
import { type TypeInfo, typeNamed, typeOfKind } from '../resources/schema.ts';
import { type StatusError, badRequest, invalid, unsupportedMediaType } from '../resources/status-error.ts';
import { invalidValue } from '../resources/field-errors.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

const accepted = 'application/json, application/yaml, application/vnd.kubernetes.protobuf';

/** JSON or YAML as plain values. @throws {StatusError} 400, 415 */
export function parseBody(body: Buffer, contentType: string, what: string): unknown {
  const type = contentType.split(';')[0]?.trim() ?? '';
  const text = body.toString('utf8');
  switch (type) {
    case '':
    case 'application/json':
    case 'application/json-patch+json':
    case 'application/merge-patch+json':
    case 'application/strategic-merge-patch+json':
      try {
        return JSON.parse(text);
      } catch (err) {
        throw badRequest(
          `the object provided is unrecognized (must be of type ${what}): couldn't get version/kind; json parse error: ${String(err instanceof Error ? err.message : err)} (${text.slice(0, 32)})`,
        );
      }
    case 'application/vnd.kubernetes.protobuf':
      return decodeProtobuf(body);
    case 'application/yaml':
    case 'application/apply-patch+yaml':
      try {
        return parse(text, { version: '1.1', maxAliasCount: 100 });
      } catch (err) {
        throw badRequest(`error parsing YAML: ${String(err instanceof Error ? err.message : err)}`);
      }
    default:
      throw unsupportedMediaType(
        `the body of the request was in an unknown format - accepted media types include: ${accepted}`,
      );
  }
}

export interface DecodeContext {
  fieldValidation: FieldValidation;
  warn: (text: string) => void;
  /** The body is a patched object: unknown fields are the patch's fault. */
  isPatched?: boolean;
}

/** A body of the resource's kind, in the version of the request; with defaults. @throws {StatusError} 400, 422 */
export function decodeBody(value: unknown, resource: Resource, context: DecodeContext): ApiObject {
  const object = decodeKind(value, resource.groupVersion, resource.kind, context);
  return object;
}

/** A body of any kind of the table, without defaults. */
export function decodeKind(value: unknown, groupVersion: string, kind: string, context: DecodeContext): ApiObject {
  const type = kind === 'DeleteOptions' ? typeNamed('meta.v1.DeleteOptions') : typeOfKind(groupVersion, kind);
  if (type === undefined) throw new Error(`Cannot decode ${groupVersion} ${kind}: it is not in the field table`);
  if (!isJsonObject(value)) {
    throw badRequest(
      `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct`,
    );
  }
  const apiVersion =
    typeof value['apiVersion'] === 'string' && value['apiVersion'] !== '' ? value['apiVersion'] : groupVersion;
  const givenKind = typeof value['kind'] === 'string' && value['kind'] !== '' ? value['kind'] : kind;
  if (apiVersion !== groupVersion) {
    throw badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${groupVersion})`,
    );
  }
  if (givenKind !== kind) {
    const version = groupVersion.split('/').at(-1) ?? '';
    throw badRequest(
      `${givenKind} in version "${version}" cannot be handled as a ${kind}: no kind "${givenKind}" is expected here`,
    );
  }
  return { ...decodeFields(value, type, kind, groupVersion, context), apiVersion, kind } as ApiObject; // metadata is set below
}

function decodeFields(
  value: JsonObject,
  type: TypeInfo,
  kind: string,
  groupVersion: string,
  { fieldValidation, warn, isPatched = false }: DecodeContext,
): JsonObject {
  const version = groupVersion.split('/').at(-1) ?? '';
  const prefix = `${kind} in version "${version}" cannot be handled as a ${kind}`;
  let decoded;
  try {
    decoded = decodeObject(value, type);
  } catch (err) {
    if (err instanceof DecodeError) throw badRequest(`${prefix}: ${err.message}`);
    throw err;
  }
  const { object, unknownFields } = decoded;
  const problems = unknownFields.map((field) => `unknown field "${field}"`);
  if (problems.length > 0 && fieldValidation === 'Strict') {
    throw isPatched
      ? strictPatchError(value, problems)
      : badRequest(`${prefix}: strict decoding error: ${problems.join(', ')}`);
  }
  if (fieldValidation === 'Warn') for (const problem of problems) warn(problem);
  const metadata = isJsonObject(object['metadata']) ? object['metadata'] : {};
  if (type.fields.has('metadata')) object['metadata'] = { ...metadata, name: metadata['name'] ?? '' };
  return object;
}

function strictPatchError(value: JsonObject, problems: readonly string[]): StatusError {
  return invalid({ group: '', kind: '' }, '', [
    invalidValue('patch', JSON.stringify(value), `strict decoding error: ${problems.join(', ')}`),
  ]);
}

/** @throws {StatusError} 422 */
export function fieldValidationOf(query: URLSearchParams): FieldValidation {
  const value = query.get('fieldValidation') ?? '';
  if (value === '') return 'Warn';
  if (value === 'Ignore' || value === 'Warn' || value === 'Strict') return value;
  throw invalid({ group: 'meta.k8s.io', kind: 'CreateOptions' }, '', [
    {
      reason: 'FieldValueNotSupported',
      field: 'fieldValidation',
      phrase: `Unsupported value: ${JSON.stringify(value)}: supported values: "", "Ignore", "Strict", "Warn"`,
    },
  ]);
}
