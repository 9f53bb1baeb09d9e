/**
 * What a running pod was given, as far as its status tells: for pods that were started before there was a record, or
 * whose record was damaged. Pure.
 */
import type { Container, ContainerStatus, Pod, ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import { type PodResources, resourcesOf } from './pod-resources.ts';

export function recoverResources(pod: Pod): PodResources {
  const { containers, pod: own } = resourcesOf(pod);
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const specs = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const told = specs.flatMap((spec) => {
    const resources = toldResources(
      spec,
      statuses.find(({ name }) => name === spec.name),
    );
    return resources === undefined ? [] : [[spec.name, resources] as const];
  });
  return { containers: { ...containers, ...Object.fromEntries(told) }, ...(own === undefined ? {} : { pod: own }) };
}

/** Only of a container that runs: before, its status repeats what it was to get. */
function toldResources(
  { resources }: Container,
  status: ContainerStatus | undefined,
): ResourceRequirements | undefined {
  const told = status?.resources;
  if (status?.state?.running === undefined || told === undefined) return undefined;
  return {
    ...resources,
    ...(told.limits === undefined ? {} : { limits: { ...resources?.limits, ...told.limits } }),
    ...(told.requests === undefined ? {} : { requests: { ...resources?.requests, ...told.requests } }),
  };
}
