/** From a volume of a pod to what it stands for: its claim, the PersistentVolume behind that, and its kind. */
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeSpec,
  Pod,
  Volume,
} from '../../../objects/generated/core-v1.ts';
import { podContainers, uidOf } from '../../pod-model.ts';
import type { PersistentKind, PodVolume } from './persistent-model.ts';

export interface ClaimSources {
  /** As the API has them now, not as a cache had them a while ago. Throw `NotFoundError` when there is none. */
  getClaim(namespace: string, name: string, signal: AbortSignal): Promise<PersistentVolumeClaim>;
  getVolume(name: string, signal: AbortSignal): Promise<PersistentVolume>;
}

/** Whether a volume is one for this file: by claim, or of a kind that is mounted from elsewhere. */
export const isPersistent = (volume: Volume): boolean =>
  volume.persistentVolumeClaim !== undefined ||
  volume.ephemeral !== undefined ||
  volume.nfs !== undefined ||
  volume.csi !== undefined;

/** Whether a claim, of the pod's own or by name, must be followed. */
export const hasClaim = ({ persistentVolumeClaim, ephemeral }: Volume): boolean =>
  persistentVolumeClaim !== undefined || ephemeral !== undefined;

/** @throws {Error} in upstream's words when the claim leads to no volume that this pod may use here */
export async function resolveVolume(
  pod: Pod,
  volume: Volume,
  sources: ClaimSources,
  signal: AbortSignal,
): Promise<PodVolume> {
  if (!hasClaim(volume)) return resolveInline(pod, volume);
  const namespace = pod.metadata.namespace ?? 'default';
  const claimName = claimNameOf(pod, volume);
  const problem = (cause: unknown): Error => new Error(`error processing PVC ${namespace}/${claimName}`, { cause });
  const claim = await readClaim(namespace, claimName, sources, signal).catch((err: unknown) => {
    throw problem(err);
  });
  if (volume.ephemeral !== undefined && !isOwnedBy(claim, pod)) {
    const ofPod = `pod ${namespace}/${pod.metadata.name}`;
    throw new Error(`PVC ${namespace}/${claimName} was not created for ${ofPod} (pod is not owner)`);
  }
  const pv = await readVolume(claim, sources, signal).catch((err: unknown) => {
    throw problem(err);
  });
  const isBlock = pv.spec?.volumeMode === 'Block';
  const conflict = modeConflict(pod, volume.name, isBlock);
  if (conflict !== undefined) throw new Error(conflict);
  const kind = kindOfPersistent(pv.spec ?? {});
  const specName = pv.metadata.name;
  if (kind === undefined) {
    const type = sourceOf(pv.spec ?? {}) ?? 'unknown';
    throw new Error(`PersistentVolume "${specName}" is of type ${type}, which this node does not support`);
  }
  if (isBlock && kind !== 'local-volume' && kind !== 'csi') {
    throw new Error(`PersistentVolume "${specName}" is of a type that has no volumeMode Block`);
  }
  return {
    kind,
    name: volume.name,
    specName,
    pv,
    claim,
    volume,
    isBlock,
    isReadOnly: volume.persistentVolumeClaim?.readOnly === true,
    uniqueName: uniqueNameOf(kind, specName, pv, uidOf(pod)),
  };
}

function resolveInline(pod: Pod, volume: Volume): PodVolume {
  const kind = volume.nfs === undefined ? 'csi' : 'nfs';
  return {
    kind,
    name: volume.name,
    specName: volume.name,
    pv: undefined,
    claim: undefined,
    volume,
    isBlock: false,
    isReadOnly: (volume.nfs ?? volume.csi)?.readOnly === true,
    uniqueName: uniqueNameOf(kind, volume.name, undefined, uidOf(pod)),
  };
}

/** The claim of a generic ephemeral volume has a name that is made of the pod's and the volume's. */
export const claimNameOf = (pod: Pod, { name, persistentVolumeClaim }: Volume): string =>
  persistentVolumeClaim?.claimName ?? `${pod.metadata.name}-${name}`;

async function readClaim(
  namespace: string,
  name: string,
  { getClaim }: ClaimSources,
  signal: AbortSignal,
): Promise<PersistentVolumeClaim> {
  const claim = await getClaim(namespace, name, signal).catch((cause: unknown) => {
    throw new Error('failed to fetch PVC from API server', { cause });
  });
  const problem = claimProblem(claim);
  if (problem !== undefined) throw new Error(problem);
  return claim;
}

/** Why a claim cannot be used; undefined when it can. */
export function claimProblem({ metadata, spec, status }: PersistentVolumeClaim): string | undefined {
  const isProtected = (metadata.finalizers ?? []).includes('kubernetes.io/pvc-protection');
  if (metadata.deletionTimestamp !== undefined && !isProtected) return 'PVC is being deleted';
  if (status?.phase !== 'Bound') return 'PVC is not bound';
  if ((spec?.volumeName ?? '') === '') return 'PVC has empty pvc.Spec.VolumeName';
  return undefined;
}

async function readVolume(
  { metadata, spec }: PersistentVolumeClaim,
  { getVolume }: ClaimSources,
  signal: AbortSignal,
): Promise<PersistentVolume> {
  const name = spec?.volumeName ?? '';
  const pv = await getVolume(name, signal).catch((cause: unknown) => {
    throw new Error(`failed to fetch PV ${name} from API server`, { cause });
  });
  const bound = pv.spec?.claimRef;
  if (bound === undefined) {
    throw new Error(
      `found PV object ${name} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim`,
    );
  }
  if (bound.uid !== metadata.uid) {
    throw new Error(
      `found PV object ${name} but its pv.Spec.ClaimRef.UID ${bound.uid ?? ''} does not point to claim.UID ${metadata.uid ?? ''}`,
    );
  }
  return pv;
}

const isOwnedBy = ({ metadata }: PersistentVolumeClaim, pod: Pod): boolean =>
  (metadata.ownerReferences ?? []).some(({ controller, uid }) => controller === true && uid === uidOf(pod));

/** A file system is mounted, a device is handed on: containers must ask for what the volume is. */
export function modeConflict(pod: Pod, name: string, isBlock: boolean): string | undefined {
  const containers = podContainers(pod);
  if (isBlock && containers.some(({ spec }) => spec.volumeMounts?.some((mount) => mount.name === name) === true)) {
    return `volume ${name} has volumeMode Block, but is specified in volumeMounts`;
  }
  if (!isBlock && containers.some(({ spec }) => spec.volumeDevices?.some((device) => device.name === name) === true)) {
    return `volume ${name} has volumeMode Filesystem, but is specified in volumeDevices`;
  }
  return undefined;
}

/** Undefined for kinds that this node does not serve. */
export function kindOfPersistent(spec: PersistentVolumeSpec): PersistentKind | undefined {
  if (spec.csi !== undefined) return 'csi';
  if (spec.local !== undefined) return 'local-volume';
  if (spec.nfs !== undefined) return 'nfs';
  if (spec.hostPath !== undefined) return 'host-path';
  return undefined;
}

/** The field of a PersistentVolume's source: the one object in its spec that is about nothing else. */
function sourceOf(spec: PersistentVolumeSpec): string | undefined {
  const others = new Set(['capacity', 'claimRef', 'nodeAffinity']);
  return Object.entries(spec).find(
    ([field, value]) => !others.has(field) && typeof value === 'object' && value !== null && !Array.isArray(value),
  )?.[0];
}

function uniqueNameOf(kind: PersistentKind, specName: string, pv: PersistentVolume | undefined, uid: string): string {
  const plugin = `kubernetes.io/${kind}`;
  const csi = pv?.spec?.csi;
  if (csi !== undefined) return `${plugin}/${csi.driver}^${csi.volumeHandle}`;
  return kind === 'local-volume' ? `${plugin}/${specName}` : `${plugin}/${uid}-${specName}`;
}

/** Groups that a PersistentVolume asks its users to be in: an annotation with one number. */
export function volumeGroup(pv: PersistentVolume | undefined): number | undefined {
  const text = pv?.metadata.annotations?.['pv.beta.kubernetes.io/gid'] ?? '';
  return /^\d+$/.test(text) && Number(text) <= 0xffffffff ? Number(text) : undefined;
}
