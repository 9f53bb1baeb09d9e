/** Who owns the files of a volume. Pure. */
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { podContainers } from '../../pod-model.ts';

/** Bits that a pod's fsGroup adds to files and directories; directories also pass the group on. */
export function groupBits(readOnly: boolean): { fileBits: number; directoryBits: number } {
  const fileBits = readOnly ? 0o440 : 0o660;
  return { fileBits, directoryBits: fileBits | 0o110 | 0o2000 };
}

/** The user that all containers run as; undefined when one of them says nothing or says another. */
export function commonUser(pod: Pod): number | undefined {
  const users = new Set(
    podContainers(pod).map(({ spec }) => spec.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser),
  );
  const [user] = users;
  return users.size === 1 ? user : undefined;
}

/** Mode and owner of a token file: closed to others as soon as the pod says who its user or group is. */
export function tokenFileOwner(pod: Pod, defaultMode: number): { mode: number; uid: number | undefined } {
  const uid = commonUser(pod);
  const isClosed = uid !== undefined || pod.spec.securityContext?.fsGroup !== undefined;
  return { mode: isClosed ? 0o600 : defaultMode, uid };
}
