import type { MountEntry } from '../../../adapters/mounts/mounts.ts';

/**
 * Places at which the file system that is mounted at `path` shows, other than `path` itself. The kubelet's root may show
 * at several places: what ends like the path below `/plugins/kubernetes.io/` is the same mount. Pure.
 */
export function otherReferences(entries: readonly MountEntry[], path: string): string[] {
  const mine = entries.findLast(({ target }) => target === path);
  if (mine === undefined) return [];
  const start = path.indexOf('/plugins/kubernetes.io/');
  const suffix = start < 0 ? path : path.slice(start);
  return entries
    .filter(({ device, root, target }) => device === mine.device && root === mine.root && !target.endsWith(suffix))
    .map(({ target }) => target)
    .toSorted();
}
