/** What a container may use, as CRI's `LinuxContainerResources`. Pure. */
import type { HugepageLimit } from '../../../adapters/cri/generated/runtime/v1/HugepageLimit.ts';
import type { LinuxContainerResources } from '../../../adapters/cri/generated/runtime/v1/LinuxContainerResources.ts';
import type { Container, Pod } from '../../../objects/generated/core-v1.ts';
import { podLimits, podQos, podRequests, wishOf } from '../../../objects/qos.ts';
import { toValue } from '../../../objects/quantity.ts';
import {
  type Resources,
  hugepagesPrefix,
  memoryBytesOf,
  milliCpuOf,
  parseResources,
} from '../../../objects/resource-list.ts';
import { isCriticalPod, isSidecar } from '../../pod-model.ts';
import { cpuQuotaMicros, cpuShares } from './compute-cpu.ts';

/** What the formulas need to know of the machine. */
export interface NodeMachine {
  cgroupVersion: 1 | 2;
  memoryBytes: number;
  swapBytes: number;
  /** cgroup v2 with `memory.swap.max`. */
  hasSwapController: boolean;
  /** Supported huge page sizes in bytes. */
  hugepageSizes: readonly number[];
  /** Scores below this cannot be given on this machine: runtimes fail to start containers with them. */
  oomScoreFloor?: number | undefined;
}

export interface ResourceOptions {
  cpuCfsQuota: boolean;
  cpuCfsQuotaPeriodMicros: number;
  /** Undefined: true on cgroup v1, false on v2. */
  singleProcessOomKill: boolean | undefined;
  swapBehavior: '' | 'NoSwap' | 'LimitedSwap';
}

export function computeContainerResources(
  pod: Pod,
  container: Container,
  node: NodeMachine,
  options: ResourceOptions,
): LinuxContainerResources {
  const { requests } = wishOf(container.resources);
  // a container without a limit of its own is held by the pod's
  const limits: Resources = {
    ...parseResources(pod.spec.resources?.limits),
    ...parseResources(container.resources?.limits),
  };
  const ownLimits = parseResources(container.resources?.limits);
  const unified = computeUnified(pod, container, node, options);
  return {
    ...linuxResources(
      milliCpuOf(requests) || milliCpuOf(ownLimits),
      milliCpuOf(limits),
      memoryBytesOf(limits),
      options,
    ),
    oom_score_adj: Math.max(computeOomScoreAdj(pod, container, node.memoryBytes), node.oomScoreFloor ?? -Infinity),
    hugepage_limits: hugepageLimits(limits, node.hugepageSizes),
    ...(Object.keys(unified).length === 0 ? {} : { unified }),
  };
}

/** Of all containers together, for the sandbox; without the pod's overhead. */
export function computeSandboxResources(pod: Pod, options: ResourceOptions): LinuxContainerResources {
  const requests = podRequests(pod, { withOverhead: false });
  const limits = podLimits(pod, { withOverhead: false });
  return linuxResources(milliCpuOf(requests) || milliCpuOf(limits), milliCpuOf(limits), memoryBytesOf(limits), options);
}

/** The sandbox's own cost, request and limit at once; empty without `spec.overhead`. */
export function computeOverheadResources(pod: Pod, options: ResourceOptions): LinuxContainerResources {
  if (pod.spec.overhead === undefined) return {};
  const overhead = parseResources(pod.spec.overhead);
  return linuxResources(milliCpuOf(overhead), milliCpuOf(overhead), memoryBytesOf(overhead), options);
}

function linuxResources(
  requestMilliCpu: number,
  limitMilliCpu: number,
  memoryLimitBytes: number,
  { cpuCfsQuota, cpuCfsQuotaPeriodMicros }: ResourceOptions,
): LinuxContainerResources {
  return {
    cpu_shares: cpuShares(requestMilliCpu),
    ...(cpuCfsQuota
      ? { cpu_quota: cpuQuotaMicros(limitMilliCpu, cpuCfsQuotaPeriodMicros), cpu_period: cpuCfsQuotaPeriodMicros }
      : {}),
    memory_limit_in_bytes: memoryLimitBytes,
  };
}

/** Settings that only cgroup v2 has. */
function computeUnified(
  pod: Pod,
  container: Container,
  node: NodeMachine,
  { singleProcessOomKill, swapBehavior }: ResourceOptions,
): Record<string, string> {
  if (node.cgroupVersion !== 2) return {};
  const unified: Record<string, string> = {};
  if (singleProcessOomKill !== true) unified['memory.oom.group'] = '1';
  if (node.hasSwapController) {
    const swapBytes = swapBehavior === 'LimitedSwap' ? limitedSwapBytes(pod, container, node) : 0;
    unified['memory.swap.max'] = String(swapBytes);
  }
  return unified;
}

/** The container's share of the node's swap is its share of the node's memory. */
function limitedSwapBytes(pod: Pod, container: Container, { memoryBytes, swapBytes }: NodeMachine): number {
  if (podQos(pod) !== 'Burstable' || isCriticalPod(pod)) return 0;
  const { requests, limits } = wishOf(container.resources);
  const request = memoryBytesOf(requests);
  if (request === 0 || request === memoryBytesOf(limits)) return 0;
  return Math.floor((request / memoryBytes) * swapBytes);
}

const nodeCriticalClass = 'system-node-critical';
const guaranteedOomScoreAdj = -997;
const bestEffortOomScoreAdj = 1000;

/** Whom the kernel kills first when memory is short: −997 last, 1000 first. */
export function computeOomScoreAdj(pod: Pod, container: Container, memoryCapacityBytes: number): number {
  if (isCriticalPod(pod) && pod.spec.priorityClassName === nodeCriticalClass) return guaranteedOomScoreAdj;
  const qos = podQos(pod);
  if (qos === 'Guaranteed') return guaranteedOomScoreAdj;
  if (qos === 'BestEffort') return bestEffortOomScoreAdj;
  const share = podLevelShareBytes(pod);
  const scoreOf = (requestBytes: number): number =>
    bestEffortOomScoreAdj - Math.floor((1000 * requestBytes) / memoryCapacityBytes);
  let score = scoreOf(memoryRequest(container) + share);
  if (isInitSidecar(pod, container)) {
    const smallest = Math.min(...pod.spec.containers.map(memoryRequest));
    score = Math.min(score, scoreOf(smallest + share));
  }
  if (score < bestEffortOomScoreAdj + guaranteedOomScoreAdj) return bestEffortOomScoreAdj + guaranteedOomScoreAdj;
  return score === bestEffortOomScoreAdj ? score - 1 : score;
}

const memoryRequest = (container: Container): number => memoryBytesOf(wishOf(container.resources).requests);

const isInitSidecar = (pod: Pod, container: Container): boolean =>
  isSidecar(container) && (pod.spec.initContainers ?? []).some(({ name }) => name === container.name);

/** What the pod asks for beyond its containers, divided among them. */
function podLevelShareBytes(pod: Pod): number {
  if (pod.spec.resources === undefined) return 0;
  const own = memoryBytesOf(podRequests(pod, { withOverhead: false }));
  const { resources: _, ...withoutOwn } = pod.spec;
  const ofContainers = memoryBytesOf(podRequests({ ...pod, spec: withoutOwn }, { withOverhead: false }));
  const count = pod.spec.containers.length + (pod.spec.initContainers?.length ?? 0);
  return Math.max(0, Math.floor((own - ofContainers) / count));
}

/** One limit per page size of the node: what isn't asked for is 0. */
function hugepageLimits(limits: Resources, sizes: readonly number[]): HugepageLimit[] {
  const bytesBySize = hugepageBytes(limits);
  return sizes.map((size) => ({ page_size: kernelPageSize(size), limit: bytesBySize.get(size) ?? 0 }));
}

/** Bytes by page size in bytes, of the `hugepages-<size>` resources. */
export function hugepageBytes(resources: Resources): Map<number, number> {
  const bytes = new Map<number, number>();
  for (const [name, quantity] of Object.entries(resources)) {
    if (!name.startsWith(hugepagesPrefix)) continue;
    const size = toValue(parseResources({ size: name.slice(hugepagesPrefix.length) })['size'] ?? quantity);
    bytes.set(size, toValue(quantity));
  }
  return bytes;
}

/** As the kernel's hugetlb files spell it: `2MB`, `1GB`. */
export function kernelPageSize(sizeBytes: number): string {
  if (sizeBytes >= 1024 ** 3) return `${sizeBytes / 1024 ** 3}GB`;
  if (sizeBytes >= 1024 ** 2) return `${sizeBytes / 1024 ** 2}MB`;
  return `${sizeBytes / 1024}KB`;
}
