import { posix } from 'node:path';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { podContainers } from '../../pod-model.ts';

/**
 * Places inside a volume where some container mounts something else. Volumes made from API objects are mounted
 * read-only, so the runtime could not make these directories itself. Of nested places only the outer one counts.
 */
export function nestedMountPoints(pod: Pod, volumeName: string): string[] {
  const found = new Set<string>();
  for (const { spec } of podContainers(pod)) {
    const all = (spec.volumeMounts ?? []).map(({ name, mountPath }) => ({ name, path: clean(mountPath) }));
    for (const mine of all.filter(({ name }) => name === volumeName)) {
      const outer: string[] = [];
      for (const path of all.map((mount) => mount.path).toSorted()) {
        if (!path.startsWith(`${mine.path}/`) || outer.some((other) => path.startsWith(`${other}/`))) continue;
        outer.push(path);
        found.add(path.slice(mine.path.length + 1));
      }
    }
  }
  return [...found];
}

/** Absolute, without `.`, `..` and trailing slash. */
function clean(mountPath: string): string {
  const path = posix.resolve('/', mountPath);
  return path === '/' ? '' : path;
}
