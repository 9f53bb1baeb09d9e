/** Group paths as the systemd driver names them: slices inside slices. Pure. */

/** `['kubepods', 'burstable', 'pod1-2']` → `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice`. */
export function toSystemdPath(parts: readonly string[]): string {
  const escaped = parts.map((part) => {
    if (part.includes('/') || part.includes('_')) {
      throw new RangeError(`Cannot name a slice after "${part}": it must hold neither "/" nor "_"`);
    }
    return part.replaceAll('-', '_');
  });
  return `/${escaped.map((_, i) => `${escaped.slice(0, i + 1).join('-')}.slice`).join('/')}`;
}

/** The parts of the last slice in a path. */
export function fromSystemdPath(path: string): string[] {
  const last = path.split('/').findLast((part) => part !== '') ?? '';
  return last
    .replace(/\.slice$/, '')
    .split('-')
    .filter((part) => part !== '')
    .map((part) => part.replaceAll('_', '-'));
}

/** `['kubepods', 'burstable', 'pod1-2']` → `/kubepods/burstable/pod1-2`. */
export const toCgroupfsPath = (parts: readonly string[]): string => `/${parts.join('/')}`;
