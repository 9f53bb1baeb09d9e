/** The status of the Node object, the question whether it is worth a write, and the patch that writes it. Pure. */
import type { CriImage, CriRuntimeStatus } from '../../adapters/cri/cri-types.ts';
import type { HostFacts } from '../../adapters/host/host.ts';
import { gantryVersion } from '../../base/version.ts';
import type {
  ContainerImage,
  Node,
  NodeAddress,
  NodeCondition,
  NodeRuntimeHandler,
  NodeStatus,
  NodeSystemInfo,
} from '../../objects/generated/core-v1.ts';
import { type NodeEvent, type NodeHealth, computeNodeConditions, nodeEventMessage } from './node-conditions.ts';
import { isExtendedResource } from './node-registration.ts';

/** Everything that goes into the status, read at one moment. What could not be read is undefined: the old stays. */
export interface NodeObservation {
  facts: HostFacts | undefined;
  resources: { capacity: Record<string, string>; allocatable: Record<string, string> } | undefined;
  addresses: NodeAddress[] | undefined;
  /** `1.6.20`; undefined while the runtime doesn't say. */
  runtime: { name: string; version: string } | undefined;
  runtimeStatus: CriRuntimeStatus | undefined;
  images: readonly CriImage[] | undefined;
  imagesMax: number;
  kubeletPort: number;
  health: Omit<NodeHealth, 'missingCapacity'>;
  /** Undefined until the volumes have been looked at once. */
  volumesInUse: readonly string[] | undefined;
  declaredFeatures: readonly string[];
  hasLocalStorageIsolation: boolean;
}

/** What a node remembers of itself between two computations. */
export interface NodeMemory {
  bootIdSeen: boolean;
  wasUnschedulable: boolean;
}

/** The status that `base` should have, and the events of what changed. `now` is RFC 3339. */
export function computeNodeStatus(
  base: Node,
  seen: NodeObservation,
  memory: NodeMemory,
  now: string,
): { node: Node; events: NodeEvent[]; memory: NodeMemory } {
  const name = base.metadata.name ?? '';
  const old = base.status ?? {};
  const events: NodeEvent[] = [];
  const { capacity, allocatable } = mergeResources(old, seen.resources);
  const isRebooted =
    !memory.bootIdSeen &&
    seen.facts !== undefined &&
    (old.nodeInfo?.bootID ?? '') !== '' &&
    old.nodeInfo?.bootID !== seen.facts.bootId;
  if (isRebooted) {
    const message = `Node ${name} has been rebooted, boot id: ${seen.facts?.bootId}`;
    events.push({ type: 'Warning', reason: 'Rebooted', message });
  }
  const required = ['cpu', 'memory', 'pods', ...(seen.hasLocalStorageIsolation ? ['ephemeral-storage'] : [])];
  const missingCapacity = required.filter((resource) => capacity[resource] === undefined);
  const { conditions, events: flips } = computeNodeConditions(
    old.conditions ?? [],
    { ...seen.health, missingCapacity },
    name,
    now,
  );
  events.push(...flips);
  const isUnschedulable = base.spec.unschedulable === true;
  if (isUnschedulable !== memory.wasUnschedulable) {
    const reason = isUnschedulable ? 'NodeNotSchedulable' : 'NodeSchedulable';
    events.push({ type: 'Normal', reason, message: nodeEventMessage(name, reason) });
  }
  const status: NodeStatus = {
    ...old,
    ...(seen.addresses === undefined ? {} : { addresses: seen.addresses }),
    capacity,
    allocatable,
    daemonEndpoints: { kubeletEndpoint: { Port: seen.kubeletPort } },
    nodeInfo: nodeInfo(old.nodeInfo, seen),
    ...listField('images', old.images, seen.images && nodeImages(seen.images, seen.imagesMax)),
    ...runtimeAbilities(old, seen.runtimeStatus),
    conditions,
    ...listField('volumesInUse', old.volumesInUse, seen.volumesInUse?.toSorted()),
    ...(seen.declaredFeatures.length === 0 ? {} : { declaredFeatures: [...new Set(seen.declaredFeatures)].toSorted() }),
  };
  return {
    node: { ...base, status },
    events,
    memory: { bootIdSeen: memory.bootIdSeen || seen.facts !== undefined, wasUnschedulable: isUnschedulable },
  };
}

/** A list that is empty and always was is left out, as servers do. */
function listField<K extends string, T>(
  key: K,
  old: readonly T[] | undefined,
  next: T[] | undefined,
): Partial<Record<K, T[]>> {
  if (next === undefined || (next.length === 0 && (old ?? []).length === 0)) return {};
  const fields: Partial<Record<K, T[]>> = {};
  fields[key] = next;
  return fields;
}

/** Our own resources, and those of others that the Node has: they survive, where they still have a capacity. */
function mergeResources(
  old: NodeStatus,
  own: NodeObservation['resources'],
): { capacity: Record<string, string>; allocatable: Record<string, string> } {
  if (own === undefined) return { capacity: { ...old.capacity }, allocatable: { ...old.allocatable } };
  const foreign = Object.entries(old.capacity ?? {}).filter(([name]) => isExtendedResource(name));
  const capacity = { ...Object.fromEntries(foreign), ...own.capacity };
  const stillThere = foreign.map(([name, amount]) => [name, old.allocatable?.[name] ?? amount] as const);
  return { capacity, allocatable: { ...Object.fromEntries(stillThere), ...own.allocatable } };
}

function nodeInfo(old: NodeSystemInfo | undefined, { facts, runtime }: NodeObservation): NodeSystemInfo {
  return {
    architecture: facts?.architecture ?? old?.architecture ?? '',
    bootID: facts?.bootId ?? old?.bootID ?? '',
    containerRuntimeVersion: runtime === undefined ? 'Unknown' : `${runtime.name}://${plainVersion(runtime.version)}`,
    kernelVersion: facts?.kernelVersion ?? old?.kernelVersion ?? '',
    kubeProxyVersion: '',
    kubeletVersion: gantryVersion,
    machineID: facts?.machineId ?? old?.machineID ?? '',
    operatingSystem: 'linux',
    osImage: facts?.osImage ?? old?.osImage ?? '',
    systemUUID: facts?.systemUuid ?? old?.systemUUID ?? '',
    ...(facts !== undefined && facts.swapBytes > 0 ? { swap: { capacity: facts.swapBytes } } : {}),
  };
}

/** A semantic version as it is; of any other (`1.6.20~ds1`) the numbers at its start. */
export function plainVersion(version: string): string {
  const semantic = /^v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)$/.exec(version);
  if (semantic !== null) return semantic[1] ?? version;
  return /^v?(\d+(?:\.\d+)+)/.exec(version)?.[1] ?? version;
}

const namesPerImage = 5;

/** The largest images first, names by digest before names by tag. */
export function nodeImages(images: readonly CriImage[], max: number): ContainerImage[] {
  const bySize = images.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
  return (max === -1 ? bySize : bySize.slice(0, max)).map(({ repoDigests, repoTags, sizeBytes }) => ({
    names: [...repoDigests, ...repoTags].slice(0, namesPerImage),
    sizeBytes,
  }));
}

function runtimeAbilities(
  old: NodeStatus,
  status: CriRuntimeStatus | undefined,
): Pick<NodeStatus, 'runtimeHandlers' | 'features'> {
  if (status === undefined) return {};
  const handlers = status.handlers
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, recursiveReadOnlyMounts, userNamespaces }): NodeRuntimeHandler => ({
      name,
      features: { recursiveReadOnlyMounts, userNamespaces },
    }));
  return {
    ...(handlers.length === 0 && old.runtimeHandlers === undefined ? {} : { runtimeHandlers: handlers }),
    ...(status.supplementalGroupsPolicy || old.features !== undefined
      ? { features: { supplementalGroupsPolicy: status.supplementalGroupsPolicy } }
      : {}),
  };
}

/** Whether anything but heartbeat times differs. */
export function isNodeChanged(base: Node, next: Node): boolean {
  return nodePatch(withoutHeartbeats(base), withoutHeartbeats(next)) !== undefined;
}

function withoutHeartbeats(node: Node): Node {
  const conditions = (node.status?.conditions ?? []).map((condition) => ({
    ...condition,
    lastHeartbeatTime: undefined,
  }));
  return { ...node, status: { ...node.status, conditions } };
}

type Json = Record<string, unknown>;

/**
 * What turns `base` into `next`, as a strategic merge patch of the status subresource; undefined when nothing does.
 * Labels and annotations are part of it, the spec never is. Conditions are merged by type. Addresses are replaced as a
 * list: merged by their type, a node could never have two of one type.
 */
export function nodePatch(base: Node, next: Node): Json | undefined {
  const metadata = {
    ...field('labels', textDifference(base.metadata.labels ?? {}, next.metadata.labels ?? {})),
    ...field('annotations', textDifference(base.metadata.annotations ?? {}, next.metadata.annotations ?? {})),
  };
  const { conditions: oldConditions = [], addresses: oldAddresses = [], ...oldRest } = base.status ?? {};
  const { conditions = [], addresses = [], ...rest } = next.status ?? {};
  const status = {
    ...difference(oldRest, rest),
    ...field('conditions', conditionsPatch(oldConditions, conditions)),
    ...field('addresses', addressesPatch(oldAddresses, addresses)),
  };
  const patch = { ...field('metadata', nonEmpty(metadata)), ...field('status', nonEmpty(status)) };
  return nonEmpty(patch);
}

function conditionsPatch(base: readonly NodeCondition[], next: readonly NodeCondition[]): unknown[] | undefined {
  const changed = next.filter((condition) => {
    const old = base.find(({ type }) => type === condition.type);
    return old === undefined || !isEqual(old, condition);
  });
  const gone = base.filter(({ type }) => !next.some((condition) => condition.type === type));
  const patch = [...changed, ...gone.map(({ type }) => ({ $patch: 'delete', type }))];
  return patch.length === 0 ? undefined : patch;
}

function addressesPatch(base: readonly NodeAddress[], next: readonly NodeAddress[]): unknown[] | undefined {
  if (isEqual(base, next)) return undefined;
  return base.length === 0 ? [...next] : [...next, { $patch: 'replace' }];
}

/** Maps of texts, where an empty text is a value like any other. */
function textDifference(
  base: Readonly<Record<string, string>>,
  next: Readonly<Record<string, string>>,
): Json | undefined {
  const patch: Json = {};
  for (const [key, value] of Object.entries(next)) if (base[key] !== value) patch[key] = value;
  for (const key of Object.keys(base)) if (next[key] === undefined) patch[key] = null;
  return nonEmpty(patch);
}

/** Objects are compared field by field, lists as a whole; what is gone is null. */
function difference(base: object, next: object): Json | undefined {
  const patch: Json = {};
  const [old, now] = [base as Json, next as Json]; // plain JSON objects both
  for (const key of new Set([...Object.keys(old), ...Object.keys(now)])) {
    const [before, after] = [old[key], now[key]];
    if (isObject(before) && isObject(after)) Object.assign(patch, field(key, difference(before, after)));
    else if (!isEqual(before, after)) patch[key] = after ?? null;
  }
  return nonEmpty(patch);
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Of JSON values. Servers leave out what is empty: a field that isn't there equals an empty one. */
function isEqual(a: unknown, b: unknown): boolean {
  if (isEmpty(a) || isEmpty(b)) return isEmpty(a) && isEmpty(b);
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => isEqual(item, b[i]));
  if (isObject(a) && isObject(b)) return difference(a, b) === undefined;
  return a === b;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true;
  return Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0;
}

const nonEmpty = (object: Json): Json | undefined => (Object.keys(object).length === 0 ? undefined : object);

const field = (key: string, value: unknown): Json => (value === undefined ? {} : { [key]: value });
