/** The node as drivers describe it: its CSINode, and their marks on its Node. Pure. */
import { goQuote } from '../../../base/go-quote.ts';
import type { CsiNodeInfo } from '../../../adapters/csi/csi.ts';
import type { Node } from '../../../objects/generated/core-v1.ts';
import type { CSINode, CSINodeDriver } from '../../../objects/generated/storage-v1.ts';

export const nodeIdAnnotation = 'csi.volume.kubernetes.io/nodeid';
const migratedAnnotation = 'storage.alpha.kubernetes.io/migrated-plugins';
/** Kinds of volumes that this kubelet leaves to drivers. */
const migratedPlugins = ['aws-ebs', 'azure-disk', 'azure-file', 'cinder', 'gce-pd', 'portworx-volume', 'vsphere-volume']
  .map((name) => `kubernetes.io/${name}`)
  .join(',');

const countMax = 2 ** 31 - 1;

export function bareCsiNode({ metadata: { name, uid = '' } }: Node): CSINode {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSINode',
    metadata: {
      name,
      annotations: { [migratedAnnotation]: migratedPlugins },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }],
    },
    spec: { drivers: [] },
  };
}

/** Whether it was made for a node of this name that is gone. */
export function isOfAnotherNode({ metadata }: CSINode, node: Node): boolean {
  const owner = metadata.ownerReferences?.find(({ kind }) => kind === 'Node');
  return owner !== undefined && owner.uid !== node.metadata.uid;
}

export function driverEntry(name: string, { nodeId, maxVolumes, topology }: CsiNodeInfo): CSINodeDriver {
  return {
    name,
    nodeID: nodeId,
    topologyKeys: Object.keys(topology).toSorted(),
    ...(maxVolumes > 0 ? { allocatable: { count: Math.min(maxVolumes, countMax) } } : {}),
  };
}

/**
 * The next CSINode to write; undefined when it is as it should be. An entry whose identity changes goes first and comes
 * back with the next step: the server lets nobody change it in place.
 */
export function nextCsiNode(
  now: CSINode,
  change: { add: CSINodeDriver } | { remove: string } | undefined,
): CSINode | undefined {
  const annotations = { ...now.metadata.annotations, [migratedAnnotation]: migratedPlugins };
  const known = now.spec.drivers;
  let drivers = known;
  if (change !== undefined && 'remove' in change) drivers = known.filter(({ name }) => name !== change.remove);
  else if (change !== undefined) {
    const old = known.find(({ name }) => name === change.add.name);
    const others = known.filter((one) => one !== old);
    const isSameIdentity = old !== undefined && identityOf(old) === identityOf(change.add);
    if (old === undefined) drivers = [...known, change.add];
    else if (!isSameIdentity) drivers = others;
    else if (old.allocatable?.count !== change.add.allocatable?.count) drivers = [...others, change.add];
  }
  const isSame = drivers.length === known.length && drivers.every((driver) => known.includes(driver));
  if (isSame && now.metadata.annotations?.[migratedAnnotation] === migratedPlugins) return undefined;
  return { ...now, metadata: { ...now.metadata, annotations }, spec: { ...now.spec, drivers } };
}

const identityOf = ({ nodeID, topologyKeys = [] }: CSINodeDriver): string => JSON.stringify([nodeID, topologyKeys]);

export interface NodePatch {
  metadata: { annotations?: Record<string, string | null>; labels?: Record<string, string> };
}

/**
 * What a driver that comes (or goes: no info) changes at the Node; undefined: nothing.
 * @throws {Error} when its topology contradicts a label
 */
export function nodePatchFor(node: Node, driver: string, info: CsiNodeInfo | undefined): NodePatch | undefined {
  const told = node.metadata.annotations?.[nodeIdAnnotation];
  const ids = parseIds(told);
  if (info === undefined) delete ids[driver];
  else ids[driver] = info.nodeId;
  const names = Object.keys(ids).toSorted();
  const text =
    names.length === 0 ? undefined : JSON.stringify(Object.fromEntries(names.map((name) => [name, ids[name]])));
  const labels = newLabels(node, info?.topology ?? {});
  if (text === told && Object.keys(labels).length === 0) return undefined;
  return {
    metadata: {
      ...(text === told ? {} : { annotations: { [nodeIdAnnotation]: text ?? null } }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    },
  };
}

function newLabels({ metadata: { labels = {} } }: Node, topology: Record<string, string>): Record<string, string> {
  for (const [key, value] of Object.entries(topology)) {
    const existing = labels[key];
    if (existing !== undefined && existing !== value) {
      const reported = `driver reported ${goQuote(key)}:${goQuote(value)}`;
      throw new Error(
        `detected topology value collision: ${reported} but existing label is ${goQuote(key)}:${goQuote(existing)}`,
      );
    }
  }
  return Object.fromEntries(Object.entries(topology).filter(([key]) => labels[key] === undefined));
}

/** What cannot be read is written anew. */
function parseIds(text: string | undefined): Record<string, string> {
  try {
    const ids: unknown = JSON.parse(text ?? '{}');
    if (typeof ids !== 'object' || ids === null) return {};
    return Object.fromEntries(Object.entries(ids).filter(([, id]) => typeof id === 'string'));
  } catch {
    return {};
  }
}
