/** Whether a node can take as many volumes of a driver as a pod needs, and whether they are in its zone. Pure. */
import { claimNameOf, classOfClaim } from '../../objects/claims.ts';
import { csiUniqueName } from '../../objects/csi-names.ts';
import type { Node, PersistentVolume, PersistentVolumeClaim } from '../../objects/generated/core-v1.ts';
import { namespacedKey, objectKey } from '../../objects/object-key.ts';
import type { NodeInfo, PodInfo } from '../cache/node-info.ts';
import type { PodVolumes } from './pod-volumes.ts';
import type { VolumeView } from './volume-view.ts';

/** Whether the drivers of the pod's volumes would have more to serve on the node than they can. */
export function exceedsLimits(pod: PodInfo, { node, pods }: NodeInfo, view: VolumeView): boolean {
  const limits = new Map<string, number>();
  for (const { name, allocatable } of view.csiNode(node.metadata.name)?.spec.drivers ?? []) {
    if (allocatable?.count !== undefined) limits.set(name, allocatable.count);
  }
  if (limits.size === 0) return false;
  const wanted = volumesOf(pod, view);
  if (![...wanted.values()].some((driver) => limits.has(driver))) return false;
  const there = new Map<string, string>();
  for (const other of pods) for (const [name, driver] of volumesOf(other, view)) there.set(name, driver);
  for (const { spec } of view.attachments(node.metadata.name)) {
    const source = view.volume(spec.source.persistentVolumeName ?? '')?.spec?.csi;
    if (source !== undefined) there.set(csiUniqueName(source.driver, source.volumeHandle), source.driver);
  }
  const added = [...wanted].filter(([name]) => !there.has(name));
  return [...limits].some(([driver, max]) => {
    const count = added.filter(([, one]) => one === driver).length;
    return count > 0 && count + [...there.values()].filter((one) => one === driver).length > max;
  });
}

/** Unique names of a pod's CSI volumes with their drivers; one that is still to be made has its claim's name. */
function volumesOf({ pod }: PodInfo, view: VolumeView): Map<string, string> {
  const found = new Map<string, string>();
  for (const volume of pod.spec.volumes ?? []) {
    const name = claimNameOf(pod, volume);
    const claim = name === undefined ? undefined : view.claim(namespacedKey(pod.metadata.namespace, name));
    const csi = claim === undefined ? undefined : csiOf(claim, view);
    if (csi !== undefined) found.set(csi.name, csi.driver);
  }
  return found;
}

function csiOf(claim: PersistentVolumeClaim, view: VolumeView): { name: string; driver: string } | undefined {
  const volumeName = claim.spec?.volumeName ?? '';
  if (volumeName !== '') {
    const source = view.volume(volumeName)?.spec?.csi;
    return source && { name: csiUniqueName(source.driver, source.volumeHandle), driver: source.driver };
  }
  const driver = view.storageClass(classOfClaim(claim))?.provisioner;
  return driver === undefined ? undefined : { name: csiUniqueName(driver, objectKey(claim)), driver };
}

const zoneLabels = [
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
];

/** Nodes without any zone are everywhere. A volume may name several zones, with `__` between them. */
export function isInOtherZone({ bound }: PodVolumes, { metadata }: Node): boolean {
  const { labels = {} } = metadata;
  if (!zoneLabels.some((key) => labels[key] !== undefined)) return false;
  const volumes: PersistentVolume[] = bound.flatMap(({ volume }) => volume ?? []);
  return volumes.some((volume) =>
    zoneLabels.some((key) => {
      const zones = volume.metadata.labels?.[key];
      return zones !== undefined && !zones.split('__').includes(labels[key] ?? '');
    }),
  );
}
