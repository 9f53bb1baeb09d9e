/** What pods and containers were given and what they run with, as their statuses say it. Pure. */
import type { ContainerStatus, Pod, PodStatus, ResourceRequirements } from '../../objects/generated/core-v1.ts';
import { podLimits, podRequests } from '../../objects/qos.ts';
import {
  compareQuantity,
  formatQuantity,
  parseQuantity,
  quantityOf,
  quantityOfMilli,
  toMilli,
} from '../../objects/quantity.ts';
import { formatResources } from '../../objects/resource-list.ts';
import type { ObservedContainer, PodContainer } from '../pod-model.ts';

/** The kernel takes no smaller shares and quotas, so what it says of them is not what was asked for. */
const requestMinMilliCpu = 2;
const limitMinMilliCpu = 10;

/** Of an ephemeral container: nothing. Of one that does not run: what it will get. */
export function containerResourcesStatus(
  { kind, spec }: PodContainer,
  latest: ObservedContainer | undefined,
  actuated: ResourceRequirements | undefined,
): Pick<ContainerStatus, 'allocatedResources' | 'resources'> {
  if (kind === 'ephemeral') return {};
  const { requests } = spec.resources ?? {};
  return {
    ...(requests === undefined || Object.keys(requests).length === 0 ? {} : { allocatedResources: requests }),
    resources:
      latest?.state === 'running'
        ? runningResources(spec.resources, latest.resources, actuated)
        : withoutClaims(spec.resources),
  };
}

type Measured = NonNullable<ObservedContainer['resources']>;

/** Of a running container: what the runtime says, else what it was told last; only amounts that the spec names. */
function runningResources(
  spec: ResourceRequirements | undefined,
  measured: Measured | undefined,
  actuated: ResourceRequirements | undefined,
): ResourceRequirements {
  const told = (list: 'limits' | 'requests'): Record<string, string> | undefined => {
    const wanted = spec?.[list];
    if (wanted === undefined) return undefined;
    return Object.fromEntries(
      Object.entries(wanted).map(([name, amount]) => {
        const last = actuated?.[list]?.[name] ?? amount;
        return [name, measured === undefined ? last : measuredAmount(list, name, measured, amount, last)];
      }),
    );
  };
  const [limits, requests] = [told('limits'), told('requests')];
  return { ...(limits === undefined ? {} : { limits }), ...(requests === undefined ? {} : { requests }) };
}

/** @param wanted as the spec has it; its spelling is kept where it is the same amount */
function measuredAmount(
  list: 'limits' | 'requests',
  name: string,
  { cpu_shares, cpu_quota, cpu_period, memory_limit_in_bytes }: Measured,
  wanted: string,
  last: string,
): string {
  const [shares, quota, period] = [Number(cpu_shares), Number(cpu_quota), Number(cpu_period)];
  const kept = (amount: ReturnType<typeof parseQuantity>): string => {
    const known = [wanted, last].find((text) => compareQuantity(parseQuantity(text), amount) === 0);
    return known ?? formatQuantity(amount);
  };
  if (list === 'requests' && name === 'cpu' && shares > 0) {
    const milli = Math.ceil((shares * 1000) / 1024);
    if (milli <= requestMinMilliCpu && toMilli(parseQuantity(wanted)) <= requestMinMilliCpu) return wanted;
    return kept(quantityOfMilli(milli));
  }
  if (list === 'limits' && name === 'cpu' && quota > 0 && period > 0) {
    const milli = Math.floor((quota * 1000) / period);
    if (milli <= limitMinMilliCpu && toMilli(parseQuantity(wanted)) <= limitMinMilliCpu) return wanted;
    return kept(quantityOfMilli(milli));
  }
  if (list === 'limits' && name === 'memory' && Number(memory_limit_in_bytes) > 0) {
    return kept(quantityOf(Number(memory_limit_in_bytes), 'BinarySI'));
  }
  return last; // nothing in the kernel stands for it
}

function withoutClaims(resources: ResourceRequirements | undefined): ResourceRequirements {
  const { limits, requests } = resources ?? {};
  return { ...(limits === undefined ? {} : { limits }), ...(requests === undefined ? {} : { requests }) };
}

/**
 * Of the pod as a whole; left out of a pod that asks for nothing.
 * @param actual the pod with what its containers run with
 */
export function podResourcesStatus(pod: Pod, actual: Pod): Pick<PodStatus, 'allocatedResources' | 'resources'> {
  try {
    return sumsOf(pod, actual);
  } catch {
    return {}; // amounts that cannot be read: such a pod was refused, and has none
  }
}

function sumsOf(pod: Pod, actual: Pod): Pick<PodStatus, 'allocatedResources' | 'resources'> {
  const allocated = formatResources(podRequests(pod, { withOverhead: false }));
  const requests = formatResources(podRequests(actual, { withOverhead: false }));
  const limits = formatResources(podLimits(actual, { withOverhead: false }));
  const isEmpty = (list: Record<string, string>): boolean => Object.keys(list).length === 0;
  if (isEmpty(allocated) && isEmpty(requests) && isEmpty(limits)) return {};
  return {
    ...(isEmpty(allocated) ? {} : { allocatedResources: allocated }),
    resources: { ...(isEmpty(limits) ? {} : { limits }), ...(isEmpty(requests) ? {} : { requests }) },
  };
}
