import type { ObjectMeta } from '../../objects/generated/meta-v1.ts';

/** Anything between braces in JSON. */
export type JsonObject = { [field: string]: unknown };

/** An object of any kind: what the generic path knows of it. Treated as read-only once it is stored or cached. */
export interface ApiObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value of a field that should be an object; an empty one when it is not there. */
export function objectAt(object: JsonObject | ApiObject, field: string): JsonObject {
  const value = object[field];
  return isJsonObject(value) ? value : {};
}

/** The string at a path, '' when there is none: for selectors and columns. */
export function textAt(object: unknown, ...path: string[]): string {
  const value = valueAt(object, ...path);
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

export function valueAt(object: unknown, ...path: string[]): unknown {
  let at = object;
  for (const field of path) at = isJsonObject(at) ? at[field] : undefined;
  return at;
}

/** The list at a path, empty when there is none. */
export function listAt(object: unknown, ...path: string[]): unknown[] {
  const value = valueAt(object, ...path);
  return Array.isArray(value) ? value : [];
}

/** Whether two JSON values say the same, whatever the order of their keys; absent and undefined fields are alike. */
export function isSameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => isSameJson(item, b[i]));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  for (const key in a) if (a[key] !== undefined && !isSameJson(a[key], b[key])) return false;
  for (const key in b) if (b[key] !== undefined && a[key] === undefined) return false;
  return true;
}

/** The same, where an empty object, list or string counts as absent: "semantic" equality. */
export function isSameMeaning(a: unknown, b: unknown): boolean {
  return isSameJson(withoutEmpty(a), withoutEmpty(b));
}

function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map(withoutEmpty);
  if (!isJsonObject(value)) return value === '' || value === null ? undefined : value;
  const kept: JsonObject = {};
  let isEmpty = true;
  for (const [key, field] of Object.entries(value)) {
    const meaning = withoutEmpty(field);
    if (meaning === undefined) continue;
    kept[key] = meaning;
    isEmpty = false;
  }
  return isEmpty ? undefined : kept;
}

/** A deep copy that may be changed. */
export function copyOf<T>(value: T): T {
  return structuredClone(value);
}
