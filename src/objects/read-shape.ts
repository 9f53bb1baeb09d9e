/**
 * Reads a pod as it came over a wire or out of a file: what is of the wrong type is left out and named, nulls and
 * unknown fields go. After this, code may trust the shape of what is there. Pure.
 */
import type { Pod } from './generated/core-v1.ts';
import { podShapeText } from './generated/pod-shape.ts';
import { isQuantity } from './quantity.ts';

interface Field {
  type: string;
  isRequired: boolean;
}

interface Fields {
  get(name: string): Field | undefined;
  /** Names and types. */
  required: ReadonlyArray<readonly [string, string]>;
}

let tables: Map<string, Fields> | undefined;

/** Problems beyond these say nothing new. */
const problemsMax = 10;

function fieldsOf(type: string): Fields | undefined {
  if (tables === undefined) {
    tables = new Map();
    for (const line of podShapeText.split('\n')) {
      const [name = '', ...texts] = line.split(' ');
      if (name === '') continue;
      const fields = texts.map((text): [string, Field] => {
        const [key = '', fieldType = ''] = text.split('~');
        const isRequired = key.endsWith('!');
        return [isRequired ? key.slice(0, -1) : key, { type: fieldType, isRequired }];
      });
      const byName = new Map(fields);
      const required = fields.filter(([, { isRequired }]) => isRequired).map(([key, { type }]) => [key, type] as const);
      tables.set(name, { get: (key) => byName.get(key), required });
    }
  }
  return tables.get(type);
}

/**
 * @returns the pod with what could be read of it, and a text for each thing that could not; the pod has a name and a
 * spec with a list of containers whatever the value was
 */
export function readPodShape(value: unknown): { pod: Pod; problems: string[] } {
  const reader = new Reader();
  const read = reader.object(value, 'core.v1.Pod', '') ?? {};
  const { metadata, spec, ...rest } = read as Partial<Pod>; // of the table's types
  const pod: Pod = {
    ...rest,
    metadata: { ...metadata, name: metadata?.name ?? '' },
    spec: { ...spec, containers: spec?.containers ?? [] },
  };
  return { pod, problems: reader.problems };
}

class Reader {
  readonly problems: string[] = [];

  object(value: unknown, type: string, path: string): Record<string, unknown> | undefined {
    const fields = fieldsOf(type);
    if (!isObject(value)) return this.#mismatch(path, 'an object', value);
    if (fields === undefined) return value;
    const out: Record<string, unknown> = {};
    let isWhole = true;
    for (const name of Object.keys(value)) {
      const field = fields.get(name);
      const given = value[name];
      if (field === undefined || given === undefined || given === null) continue;
      const read = this.#value(given, field.type, path === '' ? name : `${path}.${name}`);
      if (read !== undefined) out[name] = read;
      else if (field.isRequired) isWhole = false;
    }
    for (const [name, type] of fields.required) {
      if (Object.hasOwn(value, name) && value[name] !== undefined && value[name] !== null) continue;
      if (isScalar(type)) {
        out[name] = emptyOf(type); // as Go reads it
      } else {
        this.#problem(`${path === '' ? name : `${path}.${name}`}: Required value`);
        isWhole = false;
      }
    }
    return isWhole || path === '' || path === 'spec' ? out : undefined;
  }

  #value(value: unknown, type: string, path: string): unknown {
    if (type.startsWith('[]')) {
      if (!Array.isArray(value)) return this.#mismatch(path, 'a list', value);
      const items: unknown[] = [];
      for (const [i, item] of value.entries()) {
        const read = item === null ? this.#mismatch(`${path}[${i}]`, 'a value', item) : undefined;
        const one = item === null ? read : this.#value(item, type.slice(2), `${path}[${i}]`);
        if (one !== undefined) items.push(one);
      }
      return items;
    }
    if (type.startsWith('map[string]')) {
      if (!isObject(value)) return this.#mismatch(path, 'an object', value);
      const element = type.slice('map[string]'.length);
      const entries = Object.entries(value).flatMap(([key, item]): Array<[string, unknown]> => {
        const given = item === null && element === 'string' ? '' : item;
        const read = given === null ? undefined : this.#value(given, element, `${path}[${key}]`);
        return read === undefined ? [] : [[key, read]];
      });
      return Object.fromEntries(entries);
    }
    switch (type) {
      case 'string':
      case 'string:byte':
      case 'string:date-time':
      case 'meta.v1.Time':
      case 'meta.v1.MicroTime':
        return typeof value === 'string' ? value : this.#mismatch(path, 'a string', value);
      case 'boolean':
        return typeof value === 'boolean' ? value : this.#mismatch(path, 'true or false', value);
      case 'integer:int32':
      case 'integer:int64':
        return isInteger(value, type) ? value : this.#mismatch(path, 'a whole number', value);
      case 'number:double':
        return typeof value === 'number' ? value : this.#mismatch(path, 'a number', value);
      case 'Quantity':
        return this.#quantity(value, path);
      case 'IntOrString':
        return isInteger(value, 'integer:int32') || typeof value === 'string'
          ? value
          : this.#mismatch(path, 'a whole number or a string', value);
      default:
        return fieldsOf(type) === undefined ? value : this.object(value, type, path);
    }
  }

  #quantity(value: unknown, path: string): string | undefined {
    const text = typeof value === 'number' ? String(value) : value;
    if (typeof text === 'string' && isQuantity(text.trim())) return text.trim();
    return this.#mismatch(path, 'a quantity like 1, 100m or 2Gi', value);
  }

  #mismatch(path: string, wanted: string, value: unknown): undefined {
    this.#problem(`${path === '' ? 'the object' : path}: expected ${wanted}, found ${shown(value)}`);
  }

  #problem(text: string): void {
    if (this.problems.length < problemsMax) this.problems.push(text);
  }
}

const isScalar = (type: string): boolean =>
  type === 'string' || type === 'boolean' || type.startsWith('integer:') || type.startsWith('string:');

const emptyOf = (type: string): unknown => (type.startsWith('string') ? '' : type === 'boolean' ? false : 0);

const int32Max = 2_147_483_647;

/** Whole numbers of 64 bits are read as far as JavaScript keeps them exact. */
function isInteger(value: unknown, type: string): value is number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) return false;
  return type !== 'integer:int32' || (value <= int32Max && value >= -int32Max - 1);
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'object') return 'an object';
  const text = typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : String(value);
  return `${typeof value} ${text.slice(0, 60)}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
