/**
 * In which order a pod's cgroup and its running containers get other amounts, so that no container is ever allowed more
 * than its pod. Memory first, then CPU; for each: what the pod gains, then the containers (those that give before those
 * that take), then what the pod loses. Pure.
 */
import type { CgroupValues } from '../../../adapters/cgroups/compute-writes.ts';
import type { ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import { memoryBytesOf, milliCpuOf, parseResources } from '../../../objects/resource-list.ts';

type Resource = 'memory' | 'cpu';

export interface ResizedContainer {
  id: string;
  name: string;
  before: ResourceRequirements;
  now: ResourceRequirements;
  changed: readonly Resource[];
}

export type ResizeStep =
  | { kind: 'pod'; values: CgroupValues }
  /** The container's complete amounts: `resource` is the new one, later ones are still as before. */
  | { kind: 'container'; id: string; name: string; resource: Resource; resources: ResourceRequirements };

export interface ResizeInput {
  /** Limits as the pod's cgroup has them; undefined: none. */
  current: { cpuQuotaMicros: number | undefined; memoryLimitBytes: number | undefined; cpuShares: number | undefined };
  wanted: CgroupValues;
  containers: readonly ResizedContainer[];
}

export function computeResizeSteps({ current, wanted, containers }: ResizeInput): ResizeStep[] {
  return [
    ...around(current.memoryLimitBytes, wanted.memoryLimitBytes, (memoryLimitBytes) => ({ memoryLimitBytes }), [
      containersOf('memory', containers),
    ]),
    ...around(
      current.cpuQuotaMicros,
      wanted.cpuQuotaMicros === -1 ? undefined : wanted.cpuQuotaMicros,
      (cpuQuotaMicros) => ({ cpuQuotaMicros, cpuPeriodMicros: wanted.cpuPeriodMicros }),
      around(current.cpuShares, wanted.cpuShares, (cpuShares) => ({ cpuShares }), [containersOf('cpu', containers)]),
    ),
  ].flat();
}

/** A gain of the pod comes before `inner`, a loss after it. A limit that is not there binds nothing, and none is taken away. */
function around(
  before: number | undefined,
  now: number | undefined,
  values: (amount: number) => CgroupValues,
  inner: ResizeStep[][],
): ResizeStep[][] {
  if (now === undefined || now === before) return inner;
  const step: ResizeStep[] = [{ kind: 'pod', values: values(now) }];
  return before !== undefined && now > before ? [step, ...inner] : [...inner, step];
}

function containersOf(resource: Resource, containers: readonly ResizedContainer[]): ResizeStep[] {
  return containers
    .filter(({ changed }) => changed.includes(resource))
    .toSorted((a, b) => growth(resource, a) - growth(resource, b))
    .map(({ id, name, before, now, changed }) => ({
      kind: 'container',
      id,
      name,
      resource,
      // memory is done when the turn of CPU comes
      resources: resource === 'cpu' || !changed.includes('cpu') ? now : withMemoryOf(before, now),
    }));
}

/** Of the limit, or of the request where the limit stays. */
function growth(resource: Resource, { before, now }: ResizedContainer): number {
  const amount = (list: Record<string, string> | undefined): number =>
    resource === 'memory' ? memoryBytesOf(parseResources(list)) : milliCpuOf(parseResources(list));
  return amount(now.limits) - amount(before.limits) || amount(now.requests) - amount(before.requests);
}

/** `before`, but for the memory. */
export function withMemoryOf(before: ResourceRequirements, now: ResourceRequirements): ResourceRequirements {
  const mixed = (
    a: Record<string, string> | undefined,
    b: Record<string, string> | undefined,
  ): Record<string, string> | undefined => {
    const memory = b?.['memory'];
    const { memory: _memory, ...rest } = a ?? {};
    const list = { ...rest, ...(memory === undefined ? {} : { memory }) };
    return Object.keys(list).length === 0 ? undefined : list;
  };
  const limits = mixed(before.limits, now.limits);
  const requests = mixed(before.requests, now.requests);
  return { ...(limits === undefined ? {} : { limits }), ...(requests === undefined ? {} : { requests }) };
}

export interface MemoryUse {
  /** Undefined stands for the pod. */
  container?: string;
  currentLimitBytes: number | undefined;
  wantedLimitBytes: number | undefined;
  usageBytes: number | undefined;
}

/** Why memory limits cannot go down now: the kernel would have to kill somebody. */
export function memoryDecreaseProblem(uses: readonly MemoryUse[]): string | undefined {
  const problems = uses.flatMap(({ container, currentLimitBytes, wantedLimitBytes, usageBytes }) => {
    if (wantedLimitBytes === undefined || wantedLimitBytes === 0 || usageBytes === undefined) return [];
    const isDecrease = currentLimitBytes === undefined || wantedLimitBytes < currentLimitBytes;
    if (!isDecrease || wantedLimitBytes > usageBytes) return [];
    const what = container === undefined ? 'pod' : `container ${JSON.stringify(container)}`;
    return [`attempting to set ${what} memory limit (${wantedLimitBytes}) below current usage (${usageBytes})`];
  });
  if (problems.length === 0) return undefined;
  const [first = ''] = problems;
  return `cannot decrease memory limits: ${problems.length === 1 ? first : `[${problems.join(', ')}]`}`;
}
