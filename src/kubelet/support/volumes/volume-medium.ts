/** What a volume lies on: the disk, memory, or huge pages. Pure. */
import type { Pod, Volume } from '../../../objects/generated/core-v1.ts';
import { isHugePagesMedium, pageSizeOf } from './huge-pages.ts';
import type { PageSize } from './huge-pages.ts';
import { tmpfsSizeBytes } from './tmpfs-size.ts';
import type { VolumeKind } from './volume-kinds.ts';

/** In memory: with at most so many bytes (no limit of ours when undefined). */
export type Medium = 'disk' | { memoryBytes: number | undefined } | { page: PageSize };

/** configMaps lie on disk; secrets, tokens and a pod's own fields only in memory. @throws {Error} in upstream's words */
export function mediumOf(pod: Pod, volume: Volume, kind: VolumeKind, nodeMemoryBytes: number): Medium {
  const medium = kind === 'empty-dir' ? (volume.emptyDir?.medium ?? '') : kind === 'configmap' ? '' : 'Memory';
  if (medium === '') return 'disk';
  if (medium === 'Memory') {
    return { memoryBytes: tmpfsSizeBytes(pod, nodeMemoryBytes, volume.emptyDir?.sizeLimit) };
  }
  if (isHugePagesMedium(medium)) return { page: pageSizeOf(medium, pod) };
  throw new Error(`unknown storage medium "${medium}"`);
}
