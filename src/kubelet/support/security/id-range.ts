/** Which ids of the host the node's pods may use for their user namespaces. Pure. */

/** Ids of users and of groups alike. */
export interface IdRange {
  firstId: number;
  length: number;
}

const idsMax = 2 ** 32;

/** Without a user `kubelet`, or without the tool that knows its ids: everything above the host's own first ids. */
export const defaultIdRange = (idsPerPod: number): IdRange => ({ firstId: idsPerPod, length: idsMax - idsPerPod });

/** @param uids,gids what `getsubids kubelet` and `getsubids -g kubelet` print @throws {Error} in upstream's words */
export function parseSubordinateIds(uids: string, gids: string): IdRange {
  if (uids !== gids) throw new Error('mismatched subuids and subgids for user "kubelet"');
  const lines = uids.trim().split('\n');
  const line = lines[0] ?? '';
  if (lines.length !== 1) {
    throw new Error(`error parsing line ${JSON.stringify(line)}: only one range of ids is allowed per user`);
  }
  const [, , firstText = '', lengthText = '', ...rest] = line.split(/\s+/);
  const isRange = /^\d+$/.test(firstText) && /^\d+$/.test(lengthText) && rest.length === 0;
  if (!isRange) throw new Error(`invalid line ${JSON.stringify(line)}`);
  return { firstId: Number(firstText), length: Number(lengthText) };
}

/** @throws {Error} in upstream's words for a range that cannot serve every pod of the node */
export function checkIdRange({ firstId, length }: IdRange, { idsPerPod, maxPods }: SlotOptions): void {
  if (firstId % idsPerPod !== 0) {
    throw new Error(`kubelet user assigned ID ${firstId} is not a multiple of ${idsPerPod}`);
  }
  // the host's own ids, root among them, are nobody's to give
  if (firstId < idsPerPod)
    throw new Error(`kubelet user assigned ID ${firstId} must be greater or equal to ${idsPerPod}`);
  if (length % idsPerPod !== 0) {
    throw new Error(`kubelet user assigned IDs length ${length} is not a multiple of ${idsPerPod}`);
  }
  if (firstId + length > idsMax) throw new Error(`kubelet user assigned IDs end beyond ${idsMax}`);
  if (length / idsPerPod < maxPods)
    throw new Error(`kubelet user assigned IDs are not enough to support ${maxPods} pods`);
}

export interface SlotOptions {
  /** How many ids each pod gets: a slot. */
  idsPerPod: number;
  maxPods: number;
}

interface Mapping {
  hostId: number;
  containerId: number;
  length: number;
}

/** The content of a pod's file. */
export function formatMappings(firstId: number, idsPerPod: number): string {
  const mapping: Mapping = { hostId: firstId, containerId: 0, length: idsPerPod };
  return JSON.stringify({ uidMappings: [mapping], gidMappings: [mapping] });
}

/** The first host id of the mapping in a pod's file. @throws {Error} for one that this node would not have written */
export function parseMappings(text: string, { firstId, length }: IdRange, idsPerPod: number): number {
  const value: unknown = JSON.parse(text);
  const [uid, ...moreUids] = mappingsIn(value, 'uidMappings');
  const [gid, ...moreGids] = mappingsIn(value, 'gidMappings');
  if (uid === undefined || gid === undefined || moreUids.length + moreGids.length > 0) {
    throw new Error('invalid user namespace configuration: no more than one mapping allowed.');
  }
  if (uid.hostId !== gid.hostId || uid.containerId !== gid.containerId || uid.length !== gid.length) {
    throw new Error('invalid user namespace configuration: GID and UID mapping should be identical');
  }
  if (uid.containerId !== 0) throw new Error(`invalid user namespace configuration: container id ${uid.containerId}`);
  if (uid.length !== idsPerPod) throw new Error(`wrong user namespace length ${uid.length}`);
  if (uid.hostId % idsPerPod !== 0) throw new Error(`wrong user namespace offset specified ${uid.hostId}`);
  if (uid.hostId < firstId || uid.hostId >= firstId + length) throw new Error(`id ${uid.hostId} is out of range`);
  return uid.hostId;
}

function mappingsIn(value: unknown, name: string): Mapping[] {
  const list = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined; // what JSON.parse made
  if (!Array.isArray(list)) return [];
  return list.map((item: Partial<Record<keyof Mapping, unknown>> | null) => ({
    hostId: Number(item?.hostId),
    containerId: Number(item?.containerId),
    length: Number(item?.length),
  }));
}
