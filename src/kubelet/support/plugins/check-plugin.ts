/** What a plugin says of itself is its own: none of it is used before it is known to be short and plain. Pure. */
import type { Plugin } from './plugins.ts';

/** The longest path that a socket can have. */
const socketPathMax = 107;
const versionsMax = 32;

/** @throws {Error} naming what cannot be used */
export function checkPlugin({ name, endpoint, versions }: Plugin): void {
  const shown = JSON.stringify(name.slice(0, 64));
  if (!/^[A-Za-z0-9]([-A-Za-z0-9._/]{0,251}[A-Za-z0-9])?$/.test(name) || name.includes('..')) {
    throw new Error(`${shown} cannot be the name of a plugin`);
  }
  if (!endpoint.startsWith('/') || Buffer.byteLength(endpoint) > socketPathMax || /\p{Cc}/u.test(endpoint)) {
    throw new Error(`plugin ${shown} has no absolute path of at most ${socketPathMax} bytes as its endpoint`);
  }
  if (versions.length > versionsMax || versions.some((version) => version.length > 64)) {
    throw new Error(`plugin ${shown} has more than ${versionsMax} versions, or very long ones`);
  }
}
