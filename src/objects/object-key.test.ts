import { expect, it } from 'vitest';
import { namespacedKey, objectKey, splitKey } from './object-key.ts';

it.each([
  { namespace: 'default', name: 'web', key: 'default/web' },
  { namespace: undefined, name: 'node-1', key: 'node-1' },
])('$key is one object, both ways', ({ namespace, name, key }) => {
  expect(namespacedKey(namespace, name)).toBe(key);
  expect(objectKey({ metadata: { namespace, name } })).toBe(key);
  expect(splitKey(key)).toEqual({ namespace, name });
});

it('an empty namespace is none', () => {
  expect(namespacedKey('', 'node-1')).toBe('node-1');
});
