/** What the groups of pods are called, by each cgroup driver: folders in folders, or slices in slices. Pure. */
import { ConfigError } from '../../../base/errors.ts';

export type DriverName = 'cgroupfs' | 'systemd';

export interface GroupNames {
  /** From the top of all groups: `['kubepods', 'burstable', 'pod1-2']`. @throws {RangeError} for a part without a name */
  path(parts: readonly string[]): string;
  /** The part that a folder stands for: the last of its group. */
  part(folder: string): string;
  /** A group that the configuration names, as the parts of its path. */
  configured(group: string): string[];
}

export const cgroupfsNames: GroupNames = {
  path: (parts) => `/${parts.join('/')}`,
  part: (folder) => folder,
  configured: (group) => group.split('/').filter((part) => part !== ''),
};

/**
 * `-` in a slice's name leads from a slice to one in it, so a part has `_` for it: `kubepods-burstable-pod1_2.slice` is
 * pod1-2 in burstable in kubepods, and lies in the folders of both.
 */
export const systemdNames: GroupNames = {
  path: (parts) => {
    const escaped = parts.map((part) => {
      if (part === '' || part.includes('/') || part.includes('_')) {
        throw new RangeError(`Cannot name a slice after "${part}": it must hold neither "/" nor "_"`);
      }
      return part.replaceAll('-', '_');
    });
    return `/${escaped.map((_, i) => `${escaped.slice(0, i + 1).join('-')}.slice`).join('/')}`;
  },
  part: (folder) => partsOfSlice(folder).at(-1) ?? '',
  configured: partsOfSlice,
};

/** The last slice of a path tells all of it; without the ending it is the name of a slice, too. */
function partsOfSlice(path: string): string[] {
  const last = path.split('/').findLast((part) => part !== '') ?? '';
  return last
    .replace(/\.slice$/, '')
    .split('-')
    .filter((part) => part !== '')
    .map((part) => part.replaceAll('_', '-'));
}

/**
 * The group under which all groups of pods lie, as parts. It is a path of folders under either driver, as upstream
 * reads it.
 * @throws {ConfigError} when no slice can be named so
 */
export function rootParts(cgroupRoot: string, names: GroupNames): string[] {
  const parts = cgroupfsNames.configured(cgroupRoot);
  try {
    names.path(parts);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError('Cannot use the cgroup driver systemd', [`cgroupRoot (--cgroup-root): ${problem}`]);
  }
  return parts;
}
