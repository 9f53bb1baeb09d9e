/** Whether a pod uses more of the node's disk than it may, in the words that its eviction would have. Pure. */
import { formatQuantity, parseQuantity, toValue } from '../../../objects/quantity.ts';
import { podLimits } from '../../../objects/qos.ts';
import { parseResources } from '../../../objects/resource-list.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { goQuote } from '../../../base/go-quote.ts';
import { isCriticalPod } from '../../pod-model.ts';
import { sizeLimitOf } from './volume-measures.ts';

export interface StorageUse {
  /** Used bytes of volumes, by name; unknown ones are absent, as everywhere here. */
  volumes: ReadonlyMap<string, { usedBytes: number | undefined; isLocalEphemeral: boolean }>;
  /** Of each container, by name. */
  containers: ReadonlyMap<string, { logBytes: number | undefined; writableBytes: number | undefined }>;
  /** All logs of the pod. */
  podLogBytes: number | undefined;
  hostsFileBytes: number | undefined;
  /** Images, and with them what containers write, have a file system of their own. */
  hasImageFilesystem: boolean;
}

export interface ExceededStorage {
  /** As the metric of evictions names it. */
  signal: 'emptydirfs.limit' | 'ephemeralpodfs.limit' | 'ephemeralcontainerfs.limit';
  /** With the blank at its end, as upstream's. */
  message: string;
}

/** The first limit that does not hold: of an emptyDir, then of the pod, then of a container. Critical pods have none. */
export function exceededStorage(pod: Pod, use: StorageUse): ExceededStorage | undefined {
  return isCriticalPod(pod) ? undefined : (ofVolumes(pod, use) ?? ofPod(pod, use) ?? ofContainers(pod, use));
}

function ofVolumes(pod: Pod, { volumes }: StorageUse): ExceededStorage | undefined {
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    const limit = sizeLimitOf(emptyDir?.sizeLimit);
    if (limit <= 0 || (volumes.get(name)?.usedBytes ?? 0) <= limit) continue;
    const shown = formatQuantity(parseQuantity(emptyDir?.sizeLimit ?? ''));
    const message = `Usage of EmptyDir volume ${goQuote(name)} exceeds the limit ${goQuote(shown)}. `;
    return { signal: 'emptydirfs.limit', message };
  }
  return undefined;
}

function ofPod(pod: Pod, use: StorageUse): ExceededStorage | undefined {
  const limit = podLimits(pod)['ephemeral-storage'];
  if (limit === undefined || usedByPod(use) <= toValue(limit)) return undefined;
  const message = `Pod ephemeral local storage usage exceeds the total limit of containers ${formatQuantity(limit)}. `;
  return { signal: 'ephemeralpodfs.limit', message };
}

/** What the pod uses of the node's disk: what its containers have written, its logs, its volumes, its hosts file. */
export function usedByPod({
  volumes,
  containers,
  podLogBytes,
  hostsFileBytes,
  hasImageFilesystem,
}: StorageUse): number {
  let bytes = (podLogBytes ?? 0) + (hostsFileBytes ?? 0);
  for (const { usedBytes, isLocalEphemeral } of volumes.values()) if (isLocalEphemeral) bytes += usedBytes ?? 0;
  if (!hasImageFilesystem) for (const { writableBytes } of containers.values()) bytes += writableBytes ?? 0;
  return bytes;
}

function ofContainers(pod: Pod, { containers, hasImageFilesystem }: StorageUse): ExceededStorage | undefined {
  for (const { name, resources } of pod.spec.containers) {
    const limit = parseResources(resources?.limits)['ephemeral-storage'];
    if (limit === undefined || toValue(limit) === 0) continue;
    const { logBytes = 0, writableBytes = 0 } = containers.get(name) ?? {};
    if (logBytes + (hasImageFilesystem ? 0 : writableBytes) <= toValue(limit)) continue;
    const message = `Container ${name} exceeded its local ephemeral storage limit ${goQuote(formatQuantity(limit))}. `;
    return { signal: 'ephemeralcontainerfs.limit', message };
  }
  return undefined;
}
