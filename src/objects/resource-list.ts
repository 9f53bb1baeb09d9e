/** Amounts by resource name (`cpu`, `memory`, `hugepages-2Mi` …) and sums of them. Pure. */
import {
  type Quantity,
  addQuantity,
  compareQuantity,
  formatQuantity,
  maxQuantity,
  parseQuantity,
  toMilli,
  toValue,
  zeroQuantity,
} from './quantity.ts';

/** As objects of the API write it: canonical texts. */
export type ResourceList = Record<string, string>;

/** The same, parsed. Never changed in place. */
export type Resources = Readonly<Record<string, Quantity>>;

export const hugepagesPrefix = 'hugepages-';
export const isHugepages = (name: string): boolean => name.startsWith(hugepagesPrefix);

/** @throws {RangeError} naming the resource whose amount is no quantity */
export function parseResources(list: ResourceList | undefined): Resources {
  const parsed: Record<string, Quantity> = {};
  for (const [name, text] of Object.entries(list ?? {})) {
    try {
      parsed[name] = parseQuantity(text);
    } catch (cause) {
      throw new RangeError(`Cannot read the amount of resource "${name}"`, { cause });
    }
  }
  return parsed;
}

/** Canonical texts, in the order of the names. */
export function formatResources(resources: Resources): ResourceList {
  const entries = Object.entries(resources).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, quantity]) => [name, formatQuantity(quantity)]));
}

export function addResources(a: Resources, b: Resources): Resources {
  return combine(a, b, addQuantity);
}

/** The larger of the two, by name. */
export function maxResources(a: Resources, b: Resources): Resources {
  return combine(a, b, maxQuantity);
}

function combine(a: Resources, b: Resources, of: (a: Quantity, b: Quantity) => Quantity): Resources {
  const all: Record<string, Quantity> = { ...a };
  for (const [name, quantity] of Object.entries(b)) {
    const other = Object.hasOwn(all, name) ? all[name] : undefined; // a resource may be called `constructor`
    all[name] = other === undefined ? quantity : of(other, quantity);
  }
  return all;
}

/** Same names with the same amounts; formats don't count. */
export function sameResources(a: Resources, b: Resources): boolean {
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => {
    if (!Object.hasOwn(b, name)) return false;
    const [one, other] = [a[name], b[name]];
    return one !== undefined && other !== undefined && compareQuantity(one, other) === 0;
  });
}

export const milliCpuOf = (resources: Resources): number => toMilli(resources['cpu'] ?? zeroQuantity);

/** 0 when it isn't named. */
export const memoryBytesOf = (resources: Resources): number => toValue(resources['memory'] ?? zeroQuantity);
