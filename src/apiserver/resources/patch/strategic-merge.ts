/**
 * Strategic merge: maps merge, lists merge by key where the field table says so, and directives in the patch
 * (`$patch`, `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`) say what a plain merge cannot. Pure.
 */
import { type JsonObject, isJsonObject } from '../api-object.ts';
import { type FieldInfo, type TypeInfo, elementType, typeNamed } from '../schema.ts';

/** The patch itself is wrong; the text is upstream's. */
export class StrategicPatchError extends Error {
  override name = 'StrategicPatchError';
}

const orderPrefix = '$setElementOrder/';
const deletePrefix = '$deleteFromPrimitiveList/';

/** The result shares what did not change with `live`. @throws {StrategicPatchError} */
export function strategicMerge(live: JsonObject, patch: JsonObject, type: TypeInfo | undefined): JsonObject {
  return mergeMap(live, patch, (key) => type?.fields.get(key));
}

type FieldOf = (key: string) => FieldInfo | undefined;

function mergeMap(live: JsonObject, patch: JsonObject, fieldOf: FieldOf): JsonObject {
  const { $patch, $retainKeys, ...changes } = patch;
  if ($patch === 'replace') return mergeMap({}, changes, fieldOf);
  if ($patch === 'delete') return {};
  if ($patch !== undefined && $patch !== 'merge') {
    throw new StrategicPatchError(`unknown patch type: ${String($patch)} in map: ${goMap(patch)}`);
  }
  let out: JsonObject = { ...live };
  if (Array.isArray($retainKeys)) {
    const retained = $retainKeys;
    const stray = Object.keys(changes).find((key) => !key.startsWith('$') && !retained.includes(key));
    if (stray !== undefined) {
      throw new StrategicPatchError(`${goMap(patch)} has fields ${stray} that are not present in the $retainKeys list`);
    }
    out = Object.fromEntries(Object.entries(out).filter(([key]) => retained.includes(key)));
  }
  const keys = new Set<string>();
  for (const key of Object.keys(changes)) {
    keys.add(key.startsWith(orderPrefix) || key.startsWith(deletePrefix) ? key.slice(key.indexOf('/') + 1) : key);
  }
  for (const key of keys) {
    const value = changes[key];
    const order = changes[`${orderPrefix}${key}`];
    const removals = changes[`${deletePrefix}${key}`];
    if (value === null) {
      delete out[key];
      continue;
    }
    if (Array.isArray(value) || Array.isArray(order) || Array.isArray(removals)) {
      const list = Array.isArray(value) ? value : [];
      const before = Array.isArray(out[key]) ? out[key] : [];
      const isGiven = Array.isArray(value);
      out[key] = mergeList(before, list, {
        field: fieldOf(key),
        order: Array.isArray(order) ? order : undefined,
        removals: Array.isArray(removals) ? removals : [],
        isGiven,
      });
      continue;
    }
    out[key] = isJsonObject(value)
      ? mergeMap(isJsonObject(out[key]) ? out[key] : {}, value, fieldsBelow(fieldOf(key)))
      : value;
  }
  return out;
}

/** The fields of a field's own type; those of a map's values are all alike. */
function fieldsBelow(field: FieldInfo | undefined): FieldOf {
  if (field === undefined) return () => undefined;
  const element = elementType(field.type);
  if (element !== undefined) {
    const each: FieldInfo = { ...field, type: element, patchStrategy: [], patchMergeKey: '' };
    return () => each;
  }
  const type = typeNamed(field.type);
  return (key) => type?.fields.get(key);
}

interface ListMerge {
  field: FieldInfo | undefined;
  order: readonly unknown[] | undefined;
  removals: readonly unknown[];
  /** The patch has the list itself, not just directives about it. */
  isGiven: boolean;
}

function mergeList(
  live: readonly unknown[],
  patch: readonly unknown[],
  { field, order, removals, isGiven }: ListMerge,
): unknown[] {
  if (field === undefined || !field.patchStrategy.includes('merge')) return isGiven ? patch.map(cleaned) : [...live];
  if (field.patchMergeKey === '') {
    const kept = live.filter((item) => !removals.includes(item));
    const merged = [...kept, ...patch.filter((item) => !kept.includes(item))];
    return inOrder(merged, order ?? patch, live, (item) => item);
  }
  const elements = patch.filter(isJsonObject);
  const isReplace = (item: JsonObject): boolean => item['$patch'] === 'replace' && !(field.patchMergeKey in item);
  const below = fieldsBelow({ ...field, type: elementType(field.type) ?? '' });
  if (elements.some(isReplace)) {
    return elements.filter((item) => !isReplace(item)).map((item) => mergeMap({}, item, below));
  }
  const keyOf = (item: unknown): unknown => (isJsonObject(item) ? item[field.patchMergeKey] : undefined);
  const keyed = (item: JsonObject): unknown => {
    const key = keyOf(item);
    if (key === undefined) {
      throw new StrategicPatchError(`map: ${goMap(item)} does not contain declared merge key: ${field.patchMergeKey}`);
    }
    return key;
  };
  const merged = [...live];
  for (const element of elements) {
    const key = keyed(element);
    const at = merged.findIndex((item) => keyOf(item) === key);
    if (element['$patch'] === 'delete') {
      if (at >= 0) merged.splice(at, 1);
      continue;
    }
    const before = merged[at];
    const result = mergeMap(isJsonObject(before) ? before : {}, element, below);
    if (at >= 0) merged[at] = result;
    else merged.push(result);
  }
  const wanted = order ?? elements.filter((item) => item['$patch'] !== 'delete');
  return inOrder(merged, wanted, live, keyOf);
}

/**
 * What the patch knows comes in the patch's order, the rest in its old order. Between the two, an old item stays ahead
 * of a known one that followed it before; new ones come as early as they can.
 */
function inOrder(
  items: readonly unknown[],
  wanted: readonly unknown[],
  live: readonly unknown[],
  keyOf: (item: unknown) => unknown,
): unknown[] {
  const wantedKeys = wanted.map(keyOf);
  const liveKeys = live.map(keyOf);
  const known = items
    .filter((item) => wantedKeys.includes(keyOf(item)))
    .toSorted((a, b) => wantedKeys.indexOf(keyOf(a)) - wantedKeys.indexOf(keyOf(b)));
  const others = items.filter((item) => !wantedKeys.includes(keyOf(item)));
  const out: unknown[] = [];
  while (known.length > 0 || others.length > 0) {
    const isOtherFirst =
      known.length === 0 || (others.length > 0 && wasAhead(keyOf(others[0]), keyOf(known[0]), liveKeys));
    out.push(isOtherFirst ? others.shift() : known.shift());
  }
  return out;
}

function wasAhead(a: unknown, b: unknown, keys: readonly unknown[]): boolean {
  const at = keys.indexOf(a);
  const bt = keys.indexOf(b);
  return at >= 0 && bt >= 0 && at < bt;
}

/** A value of the patch without what only a merge understands. */
function cleaned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cleaned);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, item]) => item !== null && !key.startsWith('$patch') && !key.startsWith('$retainKeys'))
      .map(([key, item]) => [key, cleaned(item)]),
  );
}

function goMap(object: JsonObject): string {
  const entries = Object.entries(object).map(
    ([key, value]) => `${key}:${typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
  );
  return `map[${entries.toSorted().join(' ')}]`;
}
