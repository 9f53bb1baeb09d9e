/** What drivers are asked, made of volumes and pods. Pure. */
import type { CsiAccessMode, CsiCapability, CsiNodeCapabilities } from '../../../adapters/csi/csi.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { podKey, uidOf } from '../../pod-model.ts';
import type { CsiVolume } from '../../volume-model.ts';
import { fsTypeOf } from './driver-policies.ts';

/** Of a volume's access modes the first counts; a volume without any, as an inline one, has one writer. */
export function accessMode(modes: readonly string[] | undefined, capabilities: CsiNodeCapabilities): CsiAccessMode {
  const isExact = capabilities.has('SINGLE_NODE_MULTI_WRITER');
  switch (modes?.[0] ?? 'ReadWriteOnce') {
    case 'ReadWriteOnce':
      return isExact ? 'SINGLE_NODE_MULTI_WRITER' : 'SINGLE_NODE_WRITER';
    case 'ReadWriteOncePod':
      return isExact ? 'SINGLE_NODE_SINGLE_WRITER' : 'SINGLE_NODE_WRITER';
    case 'ReadOnlyMany':
      return 'MULTI_NODE_READER_ONLY';
    case 'ReadWriteMany':
      return 'MULTI_NODE_MULTI_WRITER';
    default:
      return 'UNKNOWN';
  }
}

/** @param label what the volume is to be mounted with; undefined: no label of ours */
export function volumeCapability(
  volume: CsiVolume,
  pod: Pod | undefined,
  capabilities: CsiNodeCapabilities,
  label: string | undefined,
): CsiCapability {
  const spec = 'pv' in volume.source ? volume.source.pv.spec : undefined;
  const access_mode = { mode: accessMode(spec?.accessModes, capabilities) };
  if (volume.isBlock) return { block: {}, access_mode };
  const fsGroup = pod?.spec.securityContext?.fsGroup;
  return {
    access_mode,
    mount: {
      fs_type: fsTypeOf(volume),
      mount_flags: [...(spec?.mountOptions ?? []), ...(label === undefined ? [] : [`context="${label}"`])],
      volume_mount_group: takesGroup(capabilities) && fsGroup !== undefined ? String(fsGroup) : '',
    },
  };
}

/** The driver gives files to the pod's group itself. */
export const takesGroup = (capabilities: CsiNodeCapabilities): boolean => capabilities.has('VOLUME_MOUNT_GROUP');
export const canStage = (capabilities: CsiNodeCapabilities): boolean => capabilities.has('STAGE_UNSTAGE_VOLUME');

/** What a driver is told of the pod that it publishes for. */
export function podInfo(pod: Pod, isInline: boolean): Record<string, string> {
  const [namespace = '', name = ''] = podKey(pod).split('/');
  return {
    'csi.storage.k8s.io/pod.name': name,
    'csi.storage.k8s.io/pod.namespace': namespace,
    'csi.storage.k8s.io/pod.uid': uidOf(pod),
    'csi.storage.k8s.io/serviceAccount.name': pod.spec.serviceAccountName ?? '',
    'csi.storage.k8s.io/ephemeral': String(isInline),
  };
}

/** What the volume itself says to its driver. */
export const attributesOf = ({ source }: CsiVolume): Record<string, string> =>
  ('pv' in source ? source.pv.spec?.csi?.volumeAttributes : source.inline.volumeAttributes) ?? {};

export type SecretUse = 'stage' | 'publish' | 'expand';

/** The secret that a call brings along; undefined when the volume names none. */
export function secretOf(
  { source }: CsiVolume,
  use: SecretUse,
  pod: Pod,
): { namespace: string; name: string } | undefined {
  if ('inline' in source) {
    const { name = '' } = source.inline.nodePublishSecretRef ?? {};
    return use === 'publish' && name !== '' ? { namespace: pod.metadata.namespace ?? 'default', name } : undefined;
  }
  const csi = source.pv.spec?.csi;
  const ref =
    use === 'stage'
      ? csi?.nodeStageSecretRef
      : use === 'publish'
        ? csi?.nodePublishSecretRef
        : csi?.nodeExpandSecretRef;
  const { namespace = '', name = '' } = ref ?? {};
  return name === '' ? undefined : { namespace, name };
}
