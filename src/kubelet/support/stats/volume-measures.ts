/** How the space of a pod's volumes is measured, by their kind. Pure. */
import type { Pod, Volume } from '../../../objects/generated/core-v1.ts';
import { parseQuantity, toValue } from '../../../objects/quantity.ts';
import { podLimits } from '../../../objects/qos.ts';
import { podContainers } from '../../pod-model.ts';

export interface VolumeMeasure {
  name: string;
  /**
   * `walk`: its files are added up; `walk-once`: so they are, once, for nobody but us writes there; `ask`: whoever set it
   * up knows.
   */
  how: 'walk' | 'walk-once' | 'ask';
  /** It lies on the node's own disk, and counts as what the pod uses of that. */
  isLocalEphemeral: boolean;
  /** The name of the claim that it comes from. */
  claim: string | undefined;
}

/** The volumes that have figures at all: a hostPath or an image belongs to more than the pod. */
export function volumeMeasures(pod: Pod): VolumeMeasure[] {
  return (pod.spec.volumes ?? []).flatMap((volume) => {
    const measure = measureOf(pod, volume);
    return measure === undefined ? [] : [{ name: volume.name, claim: undefined, isLocalEphemeral: false, ...measure }];
  });
}

function measureOf(pod: Pod, volume: Volume): (Pick<VolumeMeasure, 'how'> & Partial<VolumeMeasure>) | undefined {
  const { name, emptyDir, configMap, secret, downwardAPI, projected, persistentVolumeClaim, ephemeral, csi, nfs } =
    volume;
  if (emptyDir !== undefined) return { how: 'walk', isLocalEphemeral: (emptyDir.medium ?? '') === '' };
  if (configMap !== undefined) return { how: 'walk-once', isLocalEphemeral: true };
  if (secret !== undefined || downwardAPI !== undefined || projected !== undefined) return { how: 'walk-once' };
  if (persistentVolumeClaim !== undefined) return { how: 'ask', claim: persistentVolumeClaim.claimName };
  if (ephemeral !== undefined) return { how: 'ask', claim: `${pod.metadata.name}-${name}` };
  if (csi !== undefined || nfs !== undefined) return { how: 'ask' };
  const isEmpty = Object.entries(volume).every(([field, value]) => field === 'name' || value === undefined);
  return isEmpty ? { how: 'walk', isLocalEphemeral: true } : undefined; // a volume without any source is an emptyDir
}

/** Whether anything of the pod may use only so much of the node's disk. */
export function hasStorageLimit(pod: Pod): boolean {
  return (
    (pod.spec.volumes ?? []).some(({ emptyDir }) => sizeLimitOf(emptyDir?.sizeLimit) > 0) ||
    podLimits(pod)['ephemeral-storage'] !== undefined
  );
}

/** The directories of a pod's logs, by container. */
export const containerNames = (pod: Pod): string[] => podContainers(pod).map(({ spec }) => spec.name);

export const sizeLimitOf = (limit: string | undefined): number =>
  limit === undefined || limit === '' ? 0 : toValue(parseQuantity(limit));
