import type { ObjectMeta } from './generated/meta-v1.ts';

/** `namespace/name`, or the bare name of a cluster-wide object: the key of stores and queues. */
export function objectKey({ metadata }: { metadata: ObjectMeta }): string {
  return namespacedKey(metadata.namespace, metadata.name);
}

export function namespacedKey(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** The two halves of a key; `namespace` is undefined for a bare name. */
export function splitKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf('/');
  if (slash < 0) return { namespace: undefined, name: key };
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
