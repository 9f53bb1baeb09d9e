/** Gives a running pod other amounts: follows the steps of compute-resize-steps.ts, in the cgroup and in the runtime. */
import type { Cri } from '../../../adapters/cri/cri.ts';
import type { LinuxContainerResources } from '../../../adapters/cri/generated/runtime/v1/LinuxContainerResources.ts';
import { UnimplementedError } from '../../../base/errors.ts';
import type { Container, Pod, ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import { memoryBytesOf, parseResources } from '../../../objects/resource-list.ts';
import {
  type ResourceOptions,
  computeOverheadResources,
  computeSandboxResources,
} from './compute-container-resources.ts';
import { type PodCgroupOptions, computePodCgroup } from './compute-pod-cgroup.ts';
import {
  type ResizedContainer,
  computeResizeSteps,
  memoryDecreaseProblem,
  withMemoryOf,
} from './compute-resize-steps.ts';
import type { PodGroupTree } from './slice-groups.ts';

interface ResizePodNeed {
  cri: Pick<Cri, 'updateContainerResources' | 'updatePodSandboxResources'>;
  cgroups: Pick<PodGroupTree, 'update' | 'memory' | 'cpuQuotaMicros' | 'children'>;
  cgroupOf(pod: Pod): string;
  options: PodCgroupOptions & ResourceOptions;
  containerResources(pod: Pod, container: Container): LinuxContainerResources;
  /** The container has these amounts now. */
  onContainer(name: string, resources: ResourceRequirements): void;
}

export interface ResizeOrder {
  pod: Pod;
  /** The pod as it was before, as far as anybody knows. */
  before: Pod;
  sandboxId: string | undefined;
  containers: readonly ResizedContainer[];
}

/** @throws when a step fails; those before it stand, and doing all of it again is harmless */
export async function resizePod(
  need: ResizePodNeed,
  { pod, before, sandboxId, containers }: ResizeOrder,
  signal: AbortSignal,
): Promise<void> {
  const { cri, cgroups, options } = need;
  const path = need.cgroupOf(pod);
  const wanted = computePodCgroup(pod, options);
  const [podMemory, cpuQuotaMicros] = await Promise.all([cgroups.memory(path), cgroups.cpuQuotaMicros(path)]);
  const problem = memoryDecreaseProblem([
    { ...limitsAndUse(podMemory), wantedLimitBytes: wanted.memoryLimitBytes },
    ...(await Promise.all(
      containers
        .filter(({ changed }) => changed.includes('memory'))
        .map(async ({ id, name, before: old, now }) => ({
          container: name,
          currentLimitBytes: memoryBytesOf(parseResources(old.limits)) || undefined,
          wantedLimitBytes: memoryBytesOf(parseResources(now.limits)),
          usageBytes: (await containerMemory(cgroups, path, id))?.usageBytes,
        })),
    )),
  ]);
  if (problem !== undefined) throw new Error(problem);

  const steps = computeResizeSteps({
    current: {
      cpuQuotaMicros,
      memoryLimitBytes: podMemory?.limitBytes,
      cpuShares: computePodCgroup(before, options).cpuShares,
    },
    wanted,
    containers,
  });
  let isSandboxTold = sandboxId === undefined;
  for (const step of steps) {
    signal.throwIfAborted();
    if (step.kind === 'container') {
      const spec = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find(({ name }) => name === step.name);
      if (spec === undefined) continue;
      // what a container has of its pod changes in the same order as what it has itself
      const owner = step.resource === 'memory' ? withMemoryOfPod(before, pod) : pod;
      const resources = need.containerResources(owner, { ...spec, resources: step.resources });
      await cri.updateContainerResources(step.id, resources, signal);
      need.onContainer(step.name, step.resources);
      continue;
    }
    if (!isSandboxTold && sandboxId !== undefined) {
      isSandboxTold = true;
      await tellSandbox(cri, sandboxId, pod, options, signal);
    }
    await cgroups.update(path, step.values, signal);
  }
}

/** A container's group has its id in its name: `<id>`, `cri-containerd-<id>.scope` and the like. */
async function containerMemory(
  cgroups: Pick<PodGroupTree, 'memory' | 'children'>,
  podPath: string,
  id: string,
): Promise<{ usageBytes: number } | undefined> {
  const group = (await cgroups.children(podPath)).find((name) => name.includes(id));
  return group === undefined ? undefined : cgroups.memory(`${podPath}/${group}`);
}

function withMemoryOfPod(before: Pod, pod: Pod): Pod {
  if (pod.spec.resources === undefined) return pod;
  return { ...pod, spec: { ...pod.spec, resources: withMemoryOf(before.spec.resources ?? {}, pod.spec.resources) } };
}

const limitsAndUse = (
  memory: { limitBytes: number | undefined; usageBytes: number } | undefined,
): { currentLimitBytes: number | undefined; usageBytes: number | undefined } => ({
  currentLimitBytes: memory?.limitBytes,
  usageBytes: memory?.usageBytes,
});

async function tellSandbox(
  cri: ResizePodNeed['cri'],
  sandboxId: string,
  pod: Pod,
  options: ResourceOptions,
  signal: AbortSignal,
): Promise<void> {
  const [overhead, resources] = [computeOverheadResources(pod, options), computeSandboxResources(pod, options)];
  try {
    await cri.updatePodSandboxResources(sandboxId, overhead, resources, signal);
  } catch (err) {
    // only runtimes with sandboxes of their own size (virtual machines) have to know
    if (err instanceof UnimplementedError) return;
    if (err instanceof Error && err.message.includes('not implemented')) return;
    throw err;
  }
}
