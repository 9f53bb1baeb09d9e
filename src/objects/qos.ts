/** What a pod asks for as a whole: its effective requests and limits, and the quality of service they earn. Pure. */
import type { Container, Pod, ResourceRequirements } from './generated/core-v1.ts';
import {
  type Resources,
  addResources,
  isHugepages,
  maxResources,
  parseResources,
  sameResources,
} from './resource-list.ts';

export type PodQos = 'Guaranteed' | 'Burstable' | 'BestEffort';

interface Wish {
  requests: Resources;
  limits: Resources;
}

/** Requests that are not stated are the limits, as the API server's defaults have it. */
export function wishOf(requirements: ResourceRequirements | undefined): Wish {
  const limits = parseResources(requirements?.limits);
  return { limits, requests: { ...limits, ...parseResources(requirements?.requests) } };
}

/** The pod's class: the one in its status when there is one, for a class never changes. */
export function podQos(pod: Pod): PodQos {
  const known = pod.status?.qosClass;
  return known === 'Guaranteed' || known === 'Burstable' || known === 'BestEffort' ? known : computePodQos(pod);
}

/** Looks at cpu and memory of regular and init containers, or of the pod when it has resources of its own. */
export function computePodQos(pod: Pod): PodQos {
  const wishes =
    pod.spec.resources === undefined
      ? [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(({ resources }) => wishOf(resources))
      : [wishOf(pod.spec.resources)];
  let requests: Resources = {};
  let limits: Resources = {};
  let hasAllLimits = true;
  for (const wish of wishes) {
    const limit = compute(wish.limits);
    requests = addResources(requests, compute(wish.requests));
    limits = addResources(limits, limit);
    if (Object.keys(limit).length < 2) hasAllLimits = false;
  }
  if (Object.keys(requests).length === 0 && Object.keys(limits).length === 0) return 'BestEffort';
  return hasAllLimits && sameResources(requests, limits) ? 'Guaranteed' : 'Burstable';
}

/** cpu and memory above zero: all that counts for the class. */
function compute(resources: Resources): Resources {
  return Object.fromEntries(
    Object.entries(resources).filter(([name, { nano }]) => (name === 'cpu' || name === 'memory') && nano > 0n),
  );
}

interface SumOptions {
  /** `spec.overhead` is added unless this is false. */
  withOverhead?: boolean;
}

/** What the node must set aside for the pod. */
export function podRequests(pod: Pod, { withOverhead = true }: SumOptions = {}): Resources {
  const sum = aggregate(pod, ({ resources }) => wishOf(resources).requests);
  const total = overridden(sum, pod.spec.resources === undefined ? {} : wishOf(pod.spec.resources).requests);
  return withOverhead ? addResources(total, parseResources(pod.spec.overhead)) : total;
}

/** What the pod may use at most, where it says so. Overhead is added only to limits that exist. */
export function podLimits(pod: Pod, { withOverhead = true }: SumOptions = {}): Resources {
  const sum = aggregate(pod, ({ resources }) => wishOf(resources).limits);
  const total = overridden(sum, parseResources(pod.spec.resources?.limits));
  if (!withOverhead) return total;
  const overhead = Object.entries(parseResources(pod.spec.overhead)).filter(([name]) => name in total);
  return addResources(total, Object.fromEntries(overhead));
}

/** max(Σ regular + Σ sidecars, for each init container: its own + the sidecars started before it). */
function aggregate(pod: Pod, of: (container: Container) => Resources): Resources {
  let sidecars: Resources = {};
  let peak: Resources = {};
  for (const container of pod.spec.initContainers ?? []) {
    if (container.restartPolicy === 'Always') {
      sidecars = addResources(sidecars, of(container));
      peak = maxResources(peak, sidecars);
    } else {
      peak = maxResources(peak, addResources(sidecars, of(container)));
    }
  }
  const steady = pod.spec.containers.reduce((sum, container) => addResources(sum, of(container)), sidecars);
  return maxResources(steady, peak);
}

/** Resources of the pod itself replace the sums of its containers, name by name, where pods may have them. */
function overridden(sum: Resources, own: Resources): Resources {
  const allowed = Object.entries(own).filter(([name]) => name === 'cpu' || name === 'memory' || isHugepages(name));
  return { ...sum, ...Object.fromEntries(allowed) };
}

/** Whether every container (init containers too), or the pod itself, has a limit of this resource. */
export function hasLimitEverywhere(pod: Pod, resource: 'cpu' | 'memory'): boolean {
  if (isSet(pod.spec.resources, resource)) return true;
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers].every((c) => isSet(c.resources, resource));
}

function isSet(requirements: ResourceRequirements | undefined, resource: string): boolean {
  const limit = parseResources(requirements?.limits)[resource];
  return limit !== undefined && limit.nano > 0n;
}
