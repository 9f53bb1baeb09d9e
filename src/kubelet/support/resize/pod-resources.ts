/** What of a pod can be resized while it runs, and how two such amounts compare. Pure. */
import { computePodQos, podRequests } from '../../../objects/qos.ts';
import type { Container, Pod, ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import { type Quantity, compareQuantity, zeroQuantity } from '../../../objects/quantity.ts';
import { type Resources, memoryBytesOf, milliCpuOf, parseResources } from '../../../objects/resource-list.ts';

/** Requests and limits of a pod's containers by name, and of the pod itself where it has its own. */
export interface PodResources {
  containers: Readonly<Record<string, ResourceRequirements>>;
  pod?: ResourceRequirements | undefined;
}

export type ResizableResource = 'memory' | 'cpu';
/** In the order in which they are changed. */
export const resizable: readonly ResizableResource[] = ['memory', 'cpu'];

const ownContainers = ({ spec }: Pod): Container[] => [...(spec.initContainers ?? []), ...spec.containers];

export function resourcesOf(pod: Pod): PodResources {
  return {
    containers: Object.fromEntries(ownContainers(pod).map(({ name, resources }) => [name, resources ?? {}])),
    ...(pod.spec.resources === undefined ? {} : { pod: pod.spec.resources }),
  };
}

/** The pod as if its spec asked for `given`; containers that `given` does not name stay as they are. */
export function withResources(pod: Pod, given: PodResources | undefined): Pod {
  if (given === undefined || !isResized(resourcesOf(pod), given)) return pod;
  const replaced = (container: Container): Container => {
    const resources = given.containers[container.name];
    return resources === undefined
      ? container
      : { ...container, resources: withCompute(container.resources, resources) };
  };
  const { initContainers, containers, resources, ...spec } = pod.spec;
  return {
    ...pod,
    spec: {
      ...spec,
      ...(initContainers === undefined ? {} : { initContainers: initContainers.map(replaced) }),
      containers: containers.map(replaced),
      ...(given.pod === undefined && resources === undefined
        ? {}
        : { resources: given.pod === undefined ? resources : withCompute(resources, given.pod) }),
    },
  };
}

/** cpu and memory of `given`; everything else cannot change, and is the spec's. */
function withCompute(spec: ResourceRequirements | undefined, given: ResourceRequirements): ResourceRequirements {
  const merged = (
    own: Record<string, string> | undefined,
    other: Record<string, string> | undefined,
  ): Record<string, string> =>
    Object.fromEntries([
      ...Object.entries(own ?? {}).filter(([name]) => !isResizable(name)),
      ...Object.entries(other ?? {}).filter(([name]) => isResizable(name)),
    ]);
  const limits = merged(spec?.limits, given.limits);
  const requests = merged(spec?.requests, given.requests);
  return {
    ...spec,
    ...(spec?.limits === undefined && given.limits === undefined ? {} : { limits }),
    ...(spec?.requests === undefined && given.requests === undefined ? {} : { requests }),
  };
}

const isResizable = (name: string): name is ResizableResource => name === 'cpu' || name === 'memory';

/** Which of cpu and memory differ in a request or a limit. Amounts that cannot be read are not those of before. */
export function changedResources(
  before: ResourceRequirements | undefined,
  now: ResourceRequirements | undefined,
): ResizableResource[] {
  try {
    return differingResources(before, now);
  } catch {
    return [...resizable]; // the only throw is the RangeError of a bad text
  }
}

function differingResources(
  before: ResourceRequirements | undefined,
  now: ResourceRequirements | undefined,
): ResizableResource[] {
  const differs = (a: Resources, b: Resources, name: string): boolean =>
    compareQuantity(a[name] ?? zeroQuantity, b[name] ?? zeroQuantity) !== 0;
  const [limitsBefore, limitsNow] = [parseResources(before?.limits), parseResources(now?.limits)];
  const [requestsBefore, requestsNow] = [parseResources(before?.requests), parseResources(now?.requests)];
  return resizable.filter(
    (name) => differs(limitsBefore, limitsNow, name) || differs(requestsBefore, requestsNow, name),
  );
}

export interface ResourceChange {
  resource: ResizableResource;
  requirement: 'requests' | 'limits';
  operation: 'add' | 'remove' | 'increase' | 'decrease';
}

/** What the containers that both pods have ask for in another amount than before. */
export function resourceChanges(before: Pod, now: Pod): ResourceChange[] {
  const old = resourcesOf(before).containers;
  return Object.entries(resourcesOf(now).containers).flatMap(([name, resources]) => {
    const had = old[name];
    return had === undefined || had === resources ? [] : changesOf(had, resources);
  });
}

function changesOf(before: ResourceRequirements, now: ResourceRequirements): ResourceChange[] {
  const changes: ResourceChange[] = [];
  for (const requirement of ['requests', 'limits'] as const) {
    try {
      const [a, b] = [parseResources(before[requirement]), parseResources(now[requirement])];
      for (const resource of resizable) {
        const [had, has] = [a[resource] ?? zeroQuantity, b[resource] ?? zeroQuantity];
        const difference = compareQuantity(has, had);
        if (difference === 0) continue;
        const isNone = (amount: Quantity): boolean => compareQuantity(amount, zeroQuantity) === 0;
        const operation = isNone(had) ? 'add' : isNone(has) ? 'remove' : difference > 0 ? 'increase' : 'decrease';
        changes.push({ resource, requirement, operation });
      }
    } catch {
      continue; // amounts that cannot be read are refused elsewhere
    }
  }
  return changes;
}

/** Whether any container that both name, or the pod itself, has other amounts. */
export function isResized(a: PodResources, b: PodResources): boolean {
  return (
    changedResources(a.pod, b.pod).length > 0 ||
    Object.entries(a.containers).some(([name, resources]) => {
      const other = b.containers[name];
      return other !== undefined && changedResources(resources, other).length > 0;
    })
  );
}

/** Whether the pod would hold more of the node than it does now. */
export function isIncrease(allocated: Pod, desired: Pod): boolean {
  try {
    const [before, now] = [podRequests(allocated), podRequests(desired)];
    return milliCpuOf(now) > milliCpuOf(before) || memoryBytesOf(now) > memoryBytesOf(before);
  } catch {
    return true; // amounts that cannot be read: others first
  }
}

export interface ResizeTurn {
  allocated: Pod;
  desired: Pod;
  sinceMs: number;
}

/** Who is asked first: what takes nothing from others, then priority, then Guaranteed pods, then who waits longest. */
export function byTurn(a: ResizeTurn, b: ResizeTurn): number {
  const first = (isFirst: (turn: ResizeTurn) => boolean): number => Number(isFirst(b)) - Number(isFirst(a));
  return (
    first(({ allocated, desired }) => !isIncrease(allocated, desired)) ||
    (b.desired.spec.priority ?? 0) - (a.desired.spec.priority ?? 0) ||
    first(({ desired }) => (desired.status?.qosClass ?? computePodQos(desired)) === 'Guaranteed') ||
    a.sinceMs - b.sinceMs
  );
}

/** Whether a running container must start anew to get these amounts. */
export function needsRestart(container: Container, changed: readonly ResizableResource[]): boolean {
  return changed.some((name) =>
    (container.resizePolicy ?? []).some(
      ({ resourceName, restartPolicy }) => resourceName === name && restartPolicy === 'RestartContainer',
    ),
  );
}

const swapText = 'In-place resize of containers with swap is not supported.';

/** Why this pod can never be given what it asks for; undefined when nothing stands against it. */
export function infeasibleReason(
  { allocated, desired }: Pick<ResizeTurn, 'allocated' | 'desired'>,
  mayUseSwap: (container: Container) => boolean,
): string | undefined {
  const given = resourcesOf(allocated).containers;
  for (const container of ownContainers(desired)) {
    const before = given[container.name];
    const isMemoryRequestSame =
      memoryBytesOf(parseResources(before?.requests)) === memoryBytesOf(parseResources(container.resources?.requests));
    if (!isMemoryRequestSame && mayUseSwap(container) && !needsRestart(container, ['memory'])) return swapText;
  }
  return undefined;
}
