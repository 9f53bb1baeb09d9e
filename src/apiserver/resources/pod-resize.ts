/** What the subresource `resize` may change of a pod, and what a node can ever give, in upstream's words. Pure. */
import type { Container, Node, Pod, PodSpec, ResourceRequirements } from '../../objects/generated/core-v1.ts';
import { computePodQos, podRequests } from '../../objects/qos.ts';
import {
  type Quantity,
  compareQuantity,
  formatQuantity,
  parseQuantity,
  toMilli,
  toValue,
} from '../../objects/quantity.ts';
import { parseResources } from '../../objects/resource-list.ts';
import { isSameMeaning } from './api-object.ts';
import { type FieldError, forbiddenField, invalidValue, notSupported } from './field-errors.ts';

const mirrorAnnotation = 'kubernetes.io/config.mirror';
const lists = ['initContainers', 'containers'] as const;

/** Gives `pod` the resources and policies of `desired`. What else `desired` changes is an error. */
export function resizePod(pod: Pod, desired: Pod): FieldError[] {
  const { phase } = pod.status ?? {};
  if (pod.metadata.annotations?.[mirrorAnnotation] !== undefined) {
    return [forbiddenField('metadata.annotations', 'static pods cannot be resized')];
  }
  if (phase === 'Succeeded' || phase === 'Failed') {
    return [forbiddenField('status.phase', `pods in phase "${phase}" cannot be resized`)];
  }
  if (pod.spec.os?.name === 'windows') return [forbiddenField('spec.os.name', 'windows pods cannot be resized')];
  const before = structuredClone(pod.spec);
  const qosClass = pod.status?.qosClass ?? computePodQos(pod);
  const errors = [
    ...lists.flatMap((list) => resizeContainers(list, pod.spec, desired.spec)),
    ...resizeOwn(pod.spec, desired.spec),
  ];
  if (errors.length > 0) return errors;
  const now = { ...pod, status: {} };
  if (computePodQos(now) !== qosClass) {
    errors.push(invalidValue('spec', qosClass, 'Pod QOS Class may not change as a result of resizing'));
  }
  if (!isSameMeaning(withoutCompute(desired.spec), withoutCompute(before))) {
    errors.push(forbiddenField('spec', 'only cpu and memory resources are mutable'));
  }
  return [...errors, ...validateResizePolicies(pod.spec)];
}

function resizeContainers(list: (typeof lists)[number], spec: PodSpec, desired: PodSpec): FieldError[] {
  const old = spec[list] ?? [];
  const wanted = desired[list] ?? [];
  if (old.length !== wanted.length)
    return [forbiddenField(`spec.${list}`, `${list} may not be added or removed on resize`)];
  return old.flatMap((container, i) => {
    const at = `spec.${list}[${i}]`;
    const now = wanted[i];
    if (now?.name !== container.name) {
      return [forbiddenField(`${at}.name`, `${list} may not be renamed or reordered on resize`)];
    }
    const errors = removedResources(container.resources, now.resources, `${at}.resources`);
    container.resources = now.resources ?? {};
    if (now.resizePolicy === undefined) delete container.resizePolicy;
    else container.resizePolicy = now.resizePolicy;
    return errors;
  });
}

function resizeOwn(spec: PodSpec, desired: PodSpec): FieldError[] {
  const errors = removedResources(spec.resources, desired.resources, 'spec.resources');
  if (desired.resources !== undefined) spec.resources = desired.resources;
  return errors;
}

function removedResources(
  before: ResourceRequirements | undefined,
  now: ResourceRequirements | undefined,
  at: string,
): FieldError[] {
  return (['requests', 'limits'] as const).flatMap((list) => {
    const isRemoved = ['cpu', 'memory'].some(
      (name) => before?.[list]?.[name] !== undefined && now?.[list]?.[name] === undefined,
    );
    return isRemoved ? [forbiddenField(`${at}.${list}`, `resource ${list} cannot be removed`)] : [];
  });
}

/** The spec with everything in it that a resize may change taken out. */
function withoutCompute(spec: PodSpec): PodSpec {
  const strip = (container: Container): Container => {
    const { resizePolicy: _policy, ...rest } = container;
    return { ...rest, resources: withoutCpuAndMemory(container.resources) };
  };
  const { resources, initContainers, containers, ...rest } = spec;
  return {
    ...rest,
    ...(initContainers === undefined ? {} : { initContainers: initContainers.map(strip) }),
    containers: containers.map(strip),
    resources: withoutCpuAndMemory(resources),
  };
}

function withoutCpuAndMemory(resources: ResourceRequirements | undefined): ResourceRequirements {
  const rest = (list: Record<string, string> | undefined): Record<string, string> =>
    Object.fromEntries(Object.entries(list ?? {}).filter(([name]) => name !== 'cpu' && name !== 'memory'));
  return { ...resources, limits: rest(resources?.limits), requests: rest(resources?.requests) };
}

export function validateResizePolicies(spec: PodSpec, field = 'spec'): FieldError[] {
  return lists.flatMap((list) =>
    (spec[list] ?? []).flatMap((container, i) =>
      (container.resizePolicy ?? []).flatMap(({ resourceName, restartPolicy }, j) => {
        const at = `${field}.${list}[${i}].resizePolicy[${j}]`;
        const errors: FieldError[] = [];
        if (resourceName !== 'cpu' && resourceName !== 'memory') {
          errors.push(notSupported(`${at}.resourceName`, resourceName, ['cpu', 'memory']));
        }
        if (restartPolicy !== 'NotRequired' && restartPolicy !== 'RestartContainer') {
          errors.push(notSupported(`${at}.restartPolicy`, restartPolicy, ['NotRequired', 'RestartContainer']));
        } else if (spec.restartPolicy === 'Never' && restartPolicy === 'RestartContainer' && list === 'containers') {
          const detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
          errors.push(invalidValue(`${at}.restartPolicy`, restartPolicy, detail));
        }
        return errors;
      }),
    ),
  );
}

/** Amounts of the pod itself: they hold what its containers ask for, and bound each of them. */
export function validatePodResources(spec: PodSpec, field: string): FieldError[] {
  const { resources, ...rest } = spec;
  if (resources === undefined) return [];
  const errors: FieldError[] = [];
  const [limits, requests] = [parseResources(resources.limits), parseResources(resources.requests)];
  for (const [list, amounts] of [
    ['limits', limits],
    ['requests', requests],
  ] as const) {
    for (const name of Object.keys(amounts)) {
      if (name !== 'cpu' && name !== 'memory' && !name.startsWith('hugepages-')) {
        errors.push(notSupported(`${field}.resources.${list}`, name, ['cpu', 'hugepages-', 'memory']));
      }
    }
  }
  const sums = podRequests({ metadata: { name: '' }, spec: rest }, { withOverhead: false });
  for (const [name, request] of Object.entries(requests)) {
    const text = resources.requests?.[name] ?? '';
    const at = `${field}.resources.requests[${name}]`;
    const [sum, limit] = [sums[name], limits[name]];
    if (sum !== undefined && exceeds(sum, request)) {
      const detail = `must be greater than or equal to aggregate container requests of ${formatQuantity(sum)}`;
      errors.push(invalidValue(at, text, detail));
    }
    if (limit !== undefined && exceeds(request, limit)) {
      const detail = `must be less than or equal to ${name} limit of ${resources.limits?.[name] ?? ''}`;
      errors.push(invalidValue(`${field}.resources.requests`, text, detail));
    }
  }
  for (const list of lists) {
    for (const [i, container] of (spec[list] ?? []).entries()) {
      for (const [name, limit] of Object.entries(parseResources(container.resources?.limits))) {
        const own = limits[name];
        if (own === undefined || !exceeds(limit, own)) continue;
        errors.push(
          invalidValue(
            `${field}.${list}[${i}].resources.limits[${name}]`,
            container.resources?.limits?.[name] ?? '',
            `must be less than or equal to pod limits of ${resources.limits?.[name] ?? ''}`,
          ),
        );
      }
    }
  }
  return errors;
}

const exceeds = (a: Quantity, b: Quantity): boolean => compareQuantity(a, b) > 0;

/** What the node of a pod can never give it; undefined when it can, or when the pod has no node yet. */
export function nodeResizeProblem(
  pod: Pod,
  node: Node | undefined,
): { message: string; cause?: 'NodeCapacity' | 'UnsupportedPlatform' } | undefined {
  const { nodeName } = pod.spec;
  if (!nodeName) return undefined;
  if (node === undefined) return { message: `node "${nodeName}" not found` };
  const requests = podRequests(pod);
  const allocatable = node.status?.allocatable ?? {};
  const lacking = ([['cpu', toMilli] as const, ['memory', toValue] as const] as const).flatMap(([name, amount]) => {
    const [asked, there] = [requests[name], allocatable[name]];
    const [requested, most] = [
      asked === undefined ? 0 : amount(asked),
      there === undefined ? 0 : amount(parseQuantity(there)),
    ];
    return requested > most ? [`${name}, requested: ${requested}, allocatable: ${most}`] : [];
  });
  if (lacking.length > 0) {
    const message = `Node didn't have enough allocatable resources: ${lacking.join('; ')}`;
    return { message, cause: 'NodeCapacity' };
  }
  const os = node.metadata.labels?.['kubernetes.io/os'] ?? '';
  if (os === 'linux') return undefined;
  const message = `pod resize is only supported on linux nodes, node "${nodeName}" is "${os}"`;
  return { message, cause: 'UnsupportedPlatform' };
}
