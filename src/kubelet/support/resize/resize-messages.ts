/** Texts of the events about a resize: what the pod gets, as JSON in a fixed order. Pure. */
import type { Container, Pod, ResourceRequirements } from '../../../objects/generated/core-v1.ts';

type Verb = 'started' | 'completed' | 'error' | 'Deferred' | 'Infeasible';

export function resizeMessage(verb: Verb, pod: Pod, generation: number | undefined, error?: string): string {
  const summary = {
    ...((pod.spec.initContainers ?? []).length === 0
      ? {}
      : { initContainers: (pod.spec.initContainers ?? []).map(summaryOf) }),
    containers: pod.spec.containers.map(summaryOf),
    ...(generation === undefined ? {} : { generation }),
    ...(error === undefined ? {} : { error }),
  };
  return `Pod resize ${verb}: ${JSON.stringify(summary)}`;
}

function summaryOf({ name, resources }: Container): { name: string; resources: ResourceRequirements } {
  return {
    name,
    resources: {
      ...(resources?.limits === undefined ? {} : { limits: sorted(resources.limits) }),
      ...(resources?.requests === undefined ? {} : { requests: sorted(resources.requests) }),
    },
  };
}

const sorted = (list: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(list).toSorted(([a], [b]) => (a < b ? -1 : 1)));
