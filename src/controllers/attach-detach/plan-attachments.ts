/** What is to be attached to a node and what taken off it. Pure. */
import { isConditionTrue } from '../../objects/conditions.ts';
import { csiAttachmentName, parseCsiUniqueName } from '../../objects/csi-names.ts';
import type { Node } from '../../objects/generated/core-v1.ts';
import type { VolumeAttachment } from '../../objects/generated/storage-v1.ts';
import type { WantedVolume } from './wanted-volumes.ts';

export interface AttachmentState {
  nodeName: string;
  /** Undefined when it is gone. */
  node: Node | undefined;
  /** By the attachment's name. */
  wanted: ReadonlyMap<string, WantedVolume>;
  /** Of all nodes. */
  attachments: readonly VolumeAttachment[];
  /** The name in the node's status of the volume behind an attachment; undefined when nobody knows it any more. */
  uniqueNameOf: (attachment: VolumeAttachment) => string | undefined;
  /** Since when an attachment of the node has been wanted by nobody, by its name. */
  unwantedMs: (name: string) => number;
  /** How long a node that is not well keeps what it may still use; undefined: for good. */
  forceAfterMs: number | undefined;
}

export interface AttachmentPlan {
  attach: WantedVolume[];
  /** Not to be attached yet: other nodes have them. */
  blocked: Array<{ volume: WantedVolume; nodes: string[] }>;
  /** To be taken off. Unless forced, only if the node still does not use it when it has been told. */
  detach: Array<{ attachment: VolumeAttachment; uniqueName: string | undefined; isForced: boolean }>;
  /** Unique names for the node's status. */
  reported: string[];
  /** When something may be taken off by force. */
  lookAgainMs: number | undefined;
}

export function planAttachments(state: AttachmentState): AttachmentPlan {
  const { nodeName, node, wanted, attachments, uniqueNameOf, unwantedMs, forceAfterMs } = state;
  const plan: AttachmentPlan = { attach: [], blocked: [], detach: [], reported: [], lookAgainMs: undefined };
  const own = attachments.filter(({ spec }) => spec.nodeName === nodeName);
  const there = new Set(own.map(({ metadata }) => metadata.name));
  for (const volume of wanted.values()) {
    if (there.has(volume.attachmentName)) continue;
    const nodes = volume.isShared ? [] : otherNodes(volume, nodeName, attachments);
    if (nodes.length > 0) plan.blocked.push({ volume, nodes });
    else plan.attach.push(volume);
  }
  const inUse = new Set(node?.status?.volumesInUse);
  const isHealthy = isConditionTrue(node?.status?.conditions, 'Ready');
  const isOutOfService = (node?.spec?.taints ?? []).some(({ key }) => key === 'node.kubernetes.io/out-of-service');
  for (const attachment of own) {
    if (attachment.metadata.deletionTimestamp !== undefined) continue; // on its way
    const { name } = attachment.metadata;
    const uniqueName = wanted.get(name)?.uniqueName ?? uniqueNameOf(attachment);
    const mayBeUsed = node === undefined || uniqueName === undefined || inUse.has(uniqueName);
    const waitMs = forceAfterMs === undefined || isHealthy ? undefined : forceAfterMs - unwantedMs(name);
    const isForced = isOutOfService || (waitMs !== undefined && waitMs <= 0);
    if (!wanted.has(name) && (!mayBeUsed || isForced)) {
      plan.detach.push({ attachment, uniqueName, isForced });
      continue;
    }
    if (!wanted.has(name) && waitMs !== undefined) plan.lookAgainMs = Math.min(plan.lookAgainMs ?? waitMs, waitMs);
    if (attachment.status?.attached === true && uniqueName !== undefined) plan.reported.push(uniqueName);
  }
  plan.reported.sort();
  return plan;
}

/** Nodes that have the volume, or may have it until its attachment is gone. */
function otherNodes({ volumeName, driver, handle }: WantedVolume, nodeName: string, all: readonly VolumeAttachment[]) {
  return all
    .filter(
      ({ metadata, spec }) =>
        spec.nodeName !== nodeName &&
        (spec.source.persistentVolumeName === volumeName ||
          metadata.name === csiAttachmentName(handle, driver, spec.nodeName)),
    )
    .map(({ spec }) => spec.nodeName);
}

/** From what a node says that it uses or has, when the volume of an attachment is not there any more. */
export function findUniqueName({ metadata, spec }: VolumeAttachment, node: Node | undefined): string | undefined {
  const names = [
    ...(node?.status?.volumesInUse ?? []),
    ...(node?.status?.volumesAttached ?? []).map(({ name }) => name),
  ];
  return names.find((name) => {
    const parsed = parseCsiUniqueName(name);
    return parsed !== undefined && csiAttachmentName(parsed.handle, parsed.driver, spec.nodeName) === metadata.name;
  });
}

/** What a pod is told whose volume other nodes have. Of pods in other namespaces it learns no names. */
export function multiAttachMessage(
  { volumeName }: WantedVolume,
  namespace: string | undefined,
  users: ReadonlyArray<{ namespace: string | undefined; name: string }>,
): string {
  const prefix = `Multi-Attach error for volume "${volumeName}" `;
  const near = users.filter((user) => user.namespace === namespace).map(({ name }) => name);
  const far = users.length - near.length;
  if (users.length === 0) {
    return `${prefix}Volume is already exclusively attached to one node and can't be attached to another`;
  }
  if (near.length === 0) return `${prefix}Volume is already used by ${far} pod(s) in different namespaces`;
  const others = far === 0 ? '' : ` and ${far} pod(s) in different namespaces`;
  return `${prefix}Volume is already used by pod(s) ${near.join(', ')}${others}`;
}
