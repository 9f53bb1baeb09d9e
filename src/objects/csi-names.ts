/** The names by which the control plane and the kubelet speak of a CSI volume. Pure. */
import { createHash } from 'node:crypto';

const uniquePrefix = 'kubernetes.io/csi/';

/** As `node.status.volumesInUse` and `volumesAttached` have it. */
export function csiUniqueName(driver: string, handle: string): string {
  return `${uniquePrefix}${driver}^${handle}`;
}

/** The two halves of such a name; undefined for volumes of other kinds. */
export function parseCsiUniqueName(name: string): { driver: string; handle: string } | undefined {
  const at = name.indexOf('^');
  if (!name.startsWith(uniquePrefix) || at < 0) return undefined;
  return { driver: name.slice(uniquePrefix.length, at), handle: name.slice(at + 1) };
}

/** The name of the VolumeAttachment. */
export function csiAttachmentName(handle: string, driver: string, nodeName: string): string {
  return `csi-${createHash('sha256').update(`${handle}${driver}${nodeName}`).digest('hex')}`;
}
