/** Which volumes of a pod we set up, and which we cannot. Pure. */
import type { Pod, Volume } from '../../../objects/generated/core-v1.ts';
import { podContainers } from '../../pod-model.ts';
import { isPersistent } from './resolve-volume.ts';

/** The kinds that this node serves, by the name of their directory (upstream's plugin names). */
export type VolumeKind = 'empty-dir' | 'host-path' | 'configmap' | 'secret' | 'downward-api' | 'projected' | 'image';

/** The kind of a volume that is a directory of its pod's; undefined for any other. One without any source is an emptyDir. */
export function volumeKind(volume: Volume): VolumeKind | undefined {
  if (volume.emptyDir !== undefined) return 'empty-dir';
  if (volume.hostPath !== undefined) return 'host-path';
  if (volume.configMap !== undefined) return 'configmap';
  if (volume.secret !== undefined) return 'secret';
  if (volume.downwardAPI !== undefined) return 'downward-api';
  if (volume.projected !== undefined) return 'projected';
  if (volume.image !== undefined) return 'image';
  return sourceName(volume) === undefined ? 'empty-dir' : undefined;
}

/** The field of the volume's source, e.g. `persistentVolumeClaim`. */
function sourceName(volume: Volume): string | undefined {
  return Object.entries(volume).find(
    ([field, value]) => field !== 'name' && value !== undefined && value !== null,
  )?.[0];
}

/** The content of these comes from the API and is written anew when it changes. */
export const isProjectedKind = (kind: VolumeKind): boolean =>
  kind === 'configmap' || kind === 'secret' || kind === 'downward-api' || kind === 'projected';

/** Volumes that some container mounts, in the pod's order. Nobody waits for the others, and nobody sets them up. */
export function usedVolumes(pod: Pod): Volume[] {
  const used = new Set<string>();
  for (const { spec } of podContainers(pod)) {
    for (const { name } of spec.volumeMounts ?? []) used.add(name);
    for (const { name } of spec.volumeDevices ?? []) used.add(name);
  }
  return (pod.spec.volumes ?? []).filter(({ name }) => used.has(name));
}

/**
 * The first volume in use that this node cannot serve, named with its type; undefined when all can be served.
 * @param hasCsi whether there can be CSI drivers
 */
export function selectUnsupportedVolume(pod: Pod, { hasCsi = false }: { hasCsi?: boolean } = {}): string | undefined {
  for (const volume of usedVolumes(pod)) {
    const what = unsupportedPart(volume, hasCsi);
    if (what !== undefined) return `volume "${volume.name}" is of type ${what}, which this node does not support`;
  }
  return undefined;
}

function unsupportedPart(volume: Volume, hasCsi: boolean): string | undefined {
  const kind = volumeKind(volume);
  if (kind === undefined) {
    const isServed = isPersistent(volume) && (volume.csi === undefined || hasCsi);
    return isServed ? undefined : sourceName(volume);
  }
  return undefined;
}

export interface ObjectReference {
  kind: 'ConfigMap' | 'Secret';
  name: string;
}

/** The objects whose content a volume shows. */
export function referencedObjects(volume: Volume): ObjectReference[] {
  const found: ObjectReference[] = [];
  const add = (kind: ObjectReference['kind'], name: string | undefined): void => {
    if (name !== undefined && name !== '') found.push({ kind, name });
  };
  add('ConfigMap', volume.configMap?.name);
  add('Secret', volume.secret?.secretName);
  for (const { configMap, secret } of volume.projected?.sources ?? []) {
    add('ConfigMap', configMap?.name);
    add('Secret', secret?.name);
  }
  return found;
}
