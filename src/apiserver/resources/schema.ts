/**
 * The fields of every served type, read from the generated table on first use: what decodes bodies, merges patches and
 * describes the API to clients.
 */
import { schemaText } from './generated/schema.ts';

export interface FieldInfo {
  readonly name: string;
  /** `string`, `integer:int32`, `[]core.v1.Container`, `map[string]string` … */
  readonly type: string;
  readonly isRequired: boolean;
  /** `merge`, `retainKeys`, both, or none. */
  readonly patchStrategy: readonly string[];
  readonly patchMergeKey: string;
  /** `map`, `set`, `atomic` or ''. */
  readonly listType: string;
  readonly listMapKeys: readonly string[];
}

export interface TypeInfo {
  readonly name: string;
  /** `apps/v1/Deployment` for kinds, '' for parts. */
  readonly gvk: string;
  /** The JSON form of a type that is no object, '' otherwise. */
  readonly scalar: string;
  readonly isAtomic: boolean;
  /** Empty for types that take anything. */
  readonly fields: ReadonlyMap<string, FieldInfo>;
}

let types: Map<string, TypeInfo> | undefined;
let kinds: Map<string, string> | undefined;

function load(): { types: Map<string, TypeInfo>; kinds: Map<string, string> } {
  if (types !== undefined && kinds !== undefined) return { types, kinds };
  types = new Map();
  kinds = new Map();
  for (const line of schemaText.split('\n')) {
    if (line === '') continue;
    const [head = '', ...fieldTexts] = line.split(' ');
    const [name = '', gvk = '', scalar = '', mapType = ''] = head.split('@');
    const fields = new Map<string, FieldInfo>();
    for (const text of fieldTexts) {
      const [key = '', type = '', strategy = '', mergeKey = '', listType = '', mapKeys = ''] = text.split('~');
      const isRequired = key.endsWith('!');
      const field = isRequired ? key.slice(0, -1) : key;
      fields.set(field, {
        name: field,
        type,
        isRequired,
        patchStrategy: strategy === '' ? [] : strategy.split(','),
        patchMergeKey: mergeKey,
        listType: listType === 'map' || listType === 'set' ? listType : 'atomic',
        listMapKeys: mapKeys === '' ? [] : mapKeys.split(','),
      });
    }
    types.set(name, { name, gvk, scalar, isAtomic: mapType === 'atomic', fields });
    if (gvk !== '' && !kinds.has(gvk)) kinds.set(gvk, name);
  }
  return { types, kinds };
}

/** A type by its short name, e.g. `core.v1.PodSpec`. */
export function typeNamed(name: string): TypeInfo | undefined {
  return load().types.get(name);
}

/** The type of a kind, e.g. (`apps/v1`, `Deployment`). */
export function typeOfKind(groupVersion: string, kind: string): TypeInfo | undefined {
  const name = load().kinds.get(`${groupVersion}/${kind}`);
  return name === undefined ? undefined : typeNamed(name);
}

export function allTypes(): IterableIterator<TypeInfo> {
  return load().types.values();
}

/** What a list's or map's elements are; undefined for others. */
export function elementType(type: string): string | undefined {
  if (type.startsWith('[]')) return type.slice(2);
  if (type.startsWith('map[string]')) return type.slice('map[string]'.length);
  return undefined;
}
