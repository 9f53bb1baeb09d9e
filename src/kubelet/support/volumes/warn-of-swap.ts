/** Says once that what pods keep in memory may reach a disk, on a machine with swap whose kernel cannot prevent it. */
import type { Mounts } from '../../../adapters/mounts/mounts.ts';

export interface SwapNeed {
  swapBytes: number;
  /** A directory to try it on; it is made and removed. */
  probe: string;
  mounts: Pick<Mounts, 'canNoSwap'>;
  nodeEvent(type: 'Warning', reason: string, message: string): void;
}

const message =
  'The tmpfs noswap option is not supported. Memory-backed volumes (e.g. secrets, emptyDirs, etc.) might be swapped to disk and should no longer be considered secure.';

export async function warnOfSwap(
  { swapBytes, probe, mounts, nodeEvent }: SwapNeed,
  signal: AbortSignal,
): Promise<void> {
  if (swapBytes === 0 || (await mounts.canNoSwap(probe, signal))) return;
  nodeEvent('Warning', 'PossibleMemoryBackedVolumesOnDisk', message);
}
