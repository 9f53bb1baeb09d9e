/** What CSIDriver objects say of how their drivers want to be treated. Pure. */
import type { CSIDriver, VolumeAttachment } from '../../../objects/generated/storage-v1.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { goQuote } from '../../../base/go-quote.ts';
import type { CsiVolume } from '../../volume-model.ts';

/** A driver without an object is one that must attach. */
export const requiresAttach = (driver: CSIDriver | undefined): boolean => driver?.spec.attachRequired !== false;

/** `RESOURCE_EXHAUSTED`, as gRPC counts. */
const exhausted = 8;

/** Whether the driver has said that the node takes no more volumes, and wants to be asked again how many it takes. */
export function isOverLimit(driver: CSIDriver | undefined, { status }: Pick<VolumeAttachment, 'status'>): boolean {
  if ((driver?.spec.nodeAllocatableUpdatePeriodSeconds ?? 0) <= 0 || status?.attached === true) return false;
  return status?.attachError?.errorCode === exhausted;
}

export type Lifecycle = 'Persistent' | 'Ephemeral';
export const lifecycleOf = ({ source }: Pick<CsiVolume, 'source'>): Lifecycle =>
  'inline' in source ? 'Ephemeral' : 'Persistent';

/** Why the driver takes no such volumes; undefined when it does. */
export function lifecycleProblem(name: string, mode: Lifecycle, driver: CSIDriver | undefined): string | undefined {
  const refusal = `volume mode ${goQuote(mode)} not supported by driver ${name}`;
  if (driver === undefined) return mode === 'Persistent' ? undefined : `${refusal} (no CSIDriver object)`;
  const modes = driver.spec.volumeLifecycleModes ?? [];
  const served = modes.length === 0 ? ['Persistent'] : modes;
  return served.includes(mode) ? undefined : `${refusal} (only supports [${served.map(goQuote).join(' ')}])`;
}

const modesOf = ({ source }: Pick<CsiVolume, 'source'>): readonly string[] =>
  'pv' in source ? (source.pv.spec?.accessModes ?? []) : [];

export const fsTypeOf = ({ source }: Pick<CsiVolume, 'source'>): string =>
  ('pv' in source ? source.pv.spec?.csi?.fsType : source.inline.fsType) ?? '';

/** Whether the kubelet gives the files of a volume to the pod's group. */
export function givesToGroup(
  volume: Pick<CsiVolume, 'source' | 'isReadOnly' | 'isBlock'>,
  pod: Pod,
  driver: CSIDriver | undefined,
): boolean {
  if (pod.spec.securityContext?.fsGroup === undefined || volume.isReadOnly || volume.isBlock) return false;
  const policy = driver?.spec.fsGroupPolicy ?? 'ReadWriteOnceWithFSType';
  if (policy === 'None') return false;
  if (policy === 'File') return true;
  if (fsTypeOf(volume) === '') return false;
  if ('inline' in volume.source) return true;
  return modesOf(volume).some((mode) => mode === 'ReadWriteOnce' || mode === 'ReadWriteOncePod');
}

/**
 * The label that a volume is mounted with instead of giving it to each file: of pods whose containers all have one, for
 * volumes that only one pod can have.
 */
export function mountLabel(
  volume: Pick<CsiVolume, 'source' | 'isBlock'>,
  pod: Pod,
  driver: CSIDriver | undefined,
): string | undefined {
  const modes = modesOf(volume);
  if (volume.isBlock || driver?.spec.seLinuxMount !== true) return undefined;
  if (modes.length !== 1 || modes[0] !== 'ReadWriteOncePod') return undefined;
  const { seLinuxOptions, seLinuxChangePolicy } = pod.spec.securityContext ?? {};
  if (seLinuxChangePolicy === 'Recursive') return undefined;
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const labels = new Set(
    containers.map(({ securityContext }) => {
      const { user, level } = securityContext?.seLinuxOptions ?? seLinuxOptions ?? {};
      return (level ?? '') === '' ? undefined : `${user || 'system_u'}:object_r:container_file_t:${level}`;
    }),
  );
  return labels.size === 1 ? [...labels][0] : undefined;
}
