/**
 * The door to @peculiar/x509: the only file that loads it. Its dependency container asks for the `Reflect` metadata
 * functions when it is loaded, so these are put in place first; the import is dynamic so that a bundler cannot hoist it.
 */
import type * as X509Module from '@peculiar/x509';

type X509 = typeof X509Module;

interface ReflectMetadata {
  defineMetadata(key: unknown, value: unknown, target: object): void;
  getMetadata(key: unknown, target: object): unknown;
  getOwnMetadata(key: unknown, target: object): unknown;
  hasOwnMetadata(key: unknown, target: object): boolean;
}

let loaded: Promise<X509> | undefined;

export function loadX509(): Promise<X509> {
  loaded ??= importX509();
  return loaded;
}

async function importX509(): Promise<X509> {
  if (!('getMetadata' in Reflect)) Object.assign(Reflect, createReflectMetadata());
  return import('@peculiar/x509');
}

/** The part of the metadata proposal that the container uses: values per target and key, inherited for `getMetadata`. */
function createReflectMetadata(): ReflectMetadata {
  const byTarget = new WeakMap<object, Map<unknown, unknown>>();
  const own = (key: unknown, target: object): unknown => byTarget.get(target)?.get(key);
  return {
    defineMetadata: (key, value, target) => {
      const values = byTarget.get(target) ?? new Map<unknown, unknown>();
      values.set(key, value);
      byTarget.set(target, values);
    },
    getMetadata: (key, target) => {
      for (let t: object | null = target; t !== null; t = Object.getPrototypeOf(t) as object | null) {
        if (byTarget.get(t)?.has(key) === true) return own(key, t);
      }
      return undefined;
    },
    getOwnMetadata: own,
    hasOwnMetadata: (key, target) => byTarget.get(target)?.has(key) === true,
  };
}
