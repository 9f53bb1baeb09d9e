/** Name and limits of a pod's cgroup, and of those above it. Pure. */
import type { CgroupValues } from '../../../adapters/cgroups/compute-writes.ts';
import type { Pod } from '../../../objects/generated/core-v1.ts';
import { type PodQos, hasLimitEverywhere, podLimits, podQos, podRequests } from '../../../objects/qos.ts';
import { memoryBytesOf, milliCpuOf } from '../../../objects/resource-list.ts';
import { uidOf } from '../../pod-model.ts';
import { hugepageBytes, kernelPageSize } from './compute-container-resources.ts';
import { cpuQuotaMicros, cpuShares } from './compute-cpu.ts';
import type { NodeResources } from './compute-node-resources.ts';

export const podsGroup = 'kubepods';
const podPrefix = 'pod';
/** Written for "as many huge pages as there are". */
const hugepagesUnlimited = 2 ** 62;

/** Names of the groups from the root of all pods down to the class of this one; Guaranteed pods have no class group. */
export function qosGroup(qos: PodQos): string[] {
  return qos === 'Guaranteed' ? [podsGroup] : [podsGroup, qos.toLowerCase()];
}

export const podGroup = (pod: Pod): string[] => [...qosGroup(podQos(pod)), `${podPrefix}${uidOf(pod)}`];

/** The uid in a group's name; undefined when it is no pod's group. */
export function podUidOf(groupName: string): string | undefined {
  return groupName.startsWith(podPrefix) && groupName.length > podPrefix.length
    ? groupName.slice(podPrefix.length)
    : undefined;
}

export interface PodCgroupOptions {
  cpuCfsQuota: boolean;
  cpuCfsQuotaPeriodMicros: number;
  /** −1: no limit. */
  podPidsLimit: number;
  hugepageSizes: readonly number[];
}

/** A limit binds the pod only where all of its containers have one: the sum would mean nothing otherwise. */
export function computePodCgroup(pod: Pod, options: PodCgroupOptions): CgroupValues {
  const { cpuCfsQuota, cpuCfsQuotaPeriodMicros, podPidsLimit, hugepageSizes } = options;
  const qos = podQos(pod);
  const requests = podRequests(pod);
  const limits = podLimits(pod);
  const requestMilliCpu = milliCpuOf(requests) || milliCpuOf(limits);
  const pids = podPidsLimit > 0 ? { pidsMax: podPidsLimit } : {};
  const hugepages = hugepageBytes(limits);
  const hugepageLimits = Object.fromEntries(
    hugepageSizes.map((size) => [kernelPageSize(size), qos === 'BestEffort' ? 0 : (hugepages.get(size) ?? 0)]),
  );
  if (qos === 'BestEffort') return { cpuShares: cpuShares(0), hugepageLimits, ...pids };

  const quota = cpuQuotaMicros(milliCpuOf(limits), cpuCfsQuotaPeriodMicros);
  const isCpuBound = qos === 'Guaranteed' || hasLimitEverywhere(pod, 'cpu');
  const isMemoryBound = qos === 'Guaranteed' || hasLimitEverywhere(pod, 'memory');
  const memoryBytes = memoryBytesOf(limits);
  return {
    cpuShares: cpuShares(requestMilliCpu),
    ...(isCpuBound && quota > 0
      ? { cpuQuotaMicros: cpuCfsQuota ? quota : -1, cpuPeriodMicros: cpuCfsQuotaPeriodMicros }
      : {}),
    ...(isMemoryBound && memoryBytes > 0 ? { memoryLimitBytes: memoryBytes } : {}),
    hugepageLimits,
    ...pids,
  };
}

/** Of the group of all pods: allocatable when it is enforced, else the whole machine. */
export function computePodsCgroup(
  node: NodeResources,
  whole: { milliCpu: number; memoryBytes: number },
  isEnforced: boolean,
): CgroupValues {
  const hugepageLimits = Object.fromEntries(
    node.forPods.hugepages.map(({ sizeBytes, bytes }) => [kernelPageSize(sizeBytes), bytes]),
  );
  if (!isEnforced) {
    return { cpuShares: cpuShares(whole.milliCpu), memoryLimitBytes: whole.memoryBytes, hugepageLimits };
  }
  const { milliCpu, memoryBytes, pidsMax } = node.forPods;
  return { cpuShares: cpuShares(milliCpu), memoryLimitBytes: memoryBytes, pidsMax, hugepageLimits };
}

/** Of a class below it: Burstable weighs as much as its pods ask for, BestEffort as little as can be. */
export function computeQosCgroup(
  qos: 'Burstable' | 'BestEffort',
  activePods: readonly Pod[],
  hugepageSizes: readonly number[],
): CgroupValues {
  const milliCpu =
    qos === 'BestEffort'
      ? 0
      : activePods
          .filter((pod) => podQos(pod) === 'Burstable')
          .reduce((sum, pod) => sum + milliCpuOf(podRequests(pod)), 0);
  const hugepageLimits = Object.fromEntries(hugepageSizes.map((size) => [kernelPageSize(size), hugepagesUnlimited]));
  return { cpuShares: cpuShares(milliCpu), hugepageLimits };
}
