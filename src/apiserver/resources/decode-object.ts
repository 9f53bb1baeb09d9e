/**
 * Turns parsed JSON into an object whose fields have the types that the table says: nulls go, numbers given for
 * quantities become text, what no field is called is reported. After this, code may trust the shape of what is there.
 */
import { canonicalQuantity, isQuantity } from '../../objects/quantity.ts';
import { type JsonObject, isJsonObject } from './api-object.ts';
import { type TypeInfo, elementType, typeNamed } from './schema.ts';

export interface Decoded {
  object: JsonObject;
  /** Paths such as `spec.containers[0].imagee`. */
  unknownFields: string[];
}

/** A value of the wrong type, in the words of upstream's JSON library. */
export class DecodeError extends Error {
  override name = 'DecodeError';
}

/** @throws {DecodeError} when a value has the wrong type */
export function decodeObject(value: JsonObject, type: TypeInfo): Decoded {
  const unknownFields: string[] = [];
  const object = decodeFields(value, type, '', '', unknownFields);
  return { object, unknownFields };
}

/** What is decoded, said as upstream does: the struct, the path without indexes. */
interface Place {
  struct: string;
  goPath: string;
  path: string;
}

function decodeFields(value: JsonObject, type: TypeInfo, path: string, goPath: string, unknown: string[]): JsonObject {
  const out: JsonObject = {};
  const struct = type.name.slice(type.name.lastIndexOf('.') + 1);
  for (const [key, fieldValue] of Object.entries(value)) {
    const field = type.fields.get(key);
    const fieldPath = path === '' ? key : `${path}.${key}`;
    if (field === undefined) {
      unknown.push(fieldPath);
      continue;
    }
    if (fieldValue === null || fieldValue === undefined) continue;
    const place = { struct, goPath: goPath === '' ? key : `${goPath}.${key}`, path: fieldPath };
    out[key] = decodeValue(fieldValue, field.type, place, unknown);
  }
  return out;
}

function decodeValue(value: unknown, type: string, place: Place, unknown: string[]): unknown {
  const element = elementType(type);
  if (element !== undefined && type.startsWith('[]')) {
    if (!Array.isArray(value)) throw mismatch(value, place, goType(type));
    return value
      .filter((item) => item !== null)
      .map((item, i) => decodeValue(item, element, { ...place, path: `${place.path}[${i}]` }, unknown));
  }
  if (element !== undefined) {
    if (!isJsonObject(value)) throw mismatch(value, place, goType(type));
    const out: JsonObject = {};
    for (const [key, item] of Object.entries(value)) {
      if (item === null && element !== 'string') continue;
      out[key] = decodeValue(item ?? '', element, { ...place, path: `${place.path}.${key}` }, unknown);
    }
    return out;
  }
  switch (type) {
    case 'string':
    case 'string:date-time':
    case 'meta.v1.Time':
    case 'meta.v1.MicroTime':
      if (typeof value !== 'string') throw mismatch(value, place, 'string');
      return value;
    case 'string:byte':
      if (typeof value !== 'string') throw mismatch(value, place, '[]uint8');
      return decodeBase64(value);
    case 'boolean':
      if (typeof value !== 'boolean') throw mismatch(value, place, 'bool');
      return value;
    case 'integer:int32':
    case 'integer:int64':
      if (typeof value !== 'number' || !Number.isInteger(value)) throw mismatch(value, place, type.slice(8));
      return value;
    case 'number:double':
      if (typeof value !== 'number') throw mismatch(value, place, 'float64');
      return value;
    case 'Quantity':
      return decodeQuantity(value);
    case 'IntOrString':
      if (typeof value !== 'number' && typeof value !== 'string') throw mismatch(value, place, 'int32');
      return value;
    default:
      return decodeNamed(value, type, place, unknown);
  }
}

function decodeNamed(value: unknown, type: string, place: Place, unknown: string[]): unknown {
  const info = typeNamed(type);
  if (info === undefined || info.fields.size === 0) return value;
  if (!isJsonObject(value)) throw mismatch(value, place, goType(type));
  return decodeFields(value, info, place.path, place.goPath, unknown);
}

function decodeQuantity(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !isQuantity(text.trim())) {
    throw new DecodeError(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
  }
  return canonicalQuantity(text.trim());
}

function decodeBase64(value: string): string {
  const text = value.replaceAll(/[\r\n]/g, '');
  const bad = /[^A-Za-z0-9+/=]/.exec(text)?.index ?? /=[^=]/.exec(text)?.index;
  if (bad !== undefined || text.length % 4 !== 0) {
    throw new DecodeError(`illegal base64 data at input byte ${bad ?? Math.floor(text.length / 4) * 4}`);
  }
  return text;
}

function mismatch(value: unknown, { struct, goPath }: Place, wanted: string): DecodeError {
  const found = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
  const shown = found === 'number' && !Number.isInteger(value) ? `number ${String(value)}` : found;
  return new DecodeError(`json: cannot unmarshal ${shown} into Go struct field ${struct}.${goPath} of type ${wanted}`);
}

function goType(type: string): string {
  if (type.startsWith('[]')) return `[]${goType(type.slice(2))}`;
  if (type.startsWith('map[string]')) return `map[string]${goType(type.slice(11))}`;
  if (type === 'boolean') return 'bool';
  if (type.startsWith('integer:')) return type.slice(8);
  if (type === 'string:byte') return '[]uint8';
  if (!type.includes('.')) return type;
  const [group = '', version = '', name = ''] = type.split('.');
  return group === '' ? name : `${version}.${name}`;
}
