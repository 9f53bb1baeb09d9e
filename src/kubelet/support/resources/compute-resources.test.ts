import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec, ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import { hostProblems } from './check-host.ts';
import {
  computeContainerResources,
  computeOomScoreAdj,
  computeOverheadResources,
  computeSandboxResources,
  kernelPageSize,
} from './compute-container-resources.ts';
import { cpuQuotaMicros, cpuShares } from './compute-cpu.ts';
import { computePodCgroup, computePodsCgroup, computeQosCgroup, podGroup, podUidOf } from './compute-pod-cgroup.ts';
import type { NodeResources } from './compute-node-resources.ts';

const gi = 1024 ** 3;
const v1 = {
  cgroupVersion: 1,
  memoryBytes: 8 * gi,
  swapBytes: 2 * gi,
  hasSwapController: false,
  hugepageSizes: [],
} as const;
const v2 = { ...v1, cgroupVersion: 2, hasSwapController: true } as const;
const options = {
  cpuCfsQuota: true,
  cpuCfsQuotaPeriodMicros: 100_000,
  singleProcessOomKill: undefined,
  swapBehavior: '',
} as const;

const container = (resources: ResourceRequirements = {}, extra: Partial<Container> = {}): Container => ({
  name: 'c',
  image: 'i',
  resources,
  ...extra,
});
const pod = (first: Container, spec: Partial<PodSpec> = {}): Pod => ({
  metadata: { name: 'p', uid: 'u-1' },
  spec: { containers: [first], ...spec },
});
const small: ResourceRequirements = {
  requests: { cpu: '100m', memory: '1Gi' },
  limits: { cpu: '500m', memory: '2Gi' },
};
const equal: ResourceRequirements = { limits: { cpu: '1', memory: '1Gi' } };

describe('CPU formulas', () => {
  it.each([
    [0, 2],
    [1, 2],
    [100, 102],
    [1000, 1024],
    [1_000_000, 262_144],
  ])('%d milli CPU weigh %d shares', (milli, shares) => expect(cpuShares(milli)).toBe(shares));

  it.each([
    [0, 0],
    [1, 1000],
    [500, 50_000],
    [1500, 150_000],
  ])('%d milli CPU are a quota of %d', (milli, quota) => expect(cpuQuotaMicros(milli, 100_000)).toBe(quota));
});

describe('computeContainerResources', () => {
  it.each([
    {
      name: 'nothing asked',
      resources: {},
      want: { cpu_shares: 2, cpu_quota: 0, cpu_period: 100_000, memory_limit_in_bytes: 0, oom_score_adj: 1000 },
    },
    {
      name: 'requests and limits',
      resources: small,
      want: { cpu_shares: 102, cpu_quota: 50_000, memory_limit_in_bytes: 2 * gi, oom_score_adj: 875 },
    },
    {
      name: 'limits alone',
      resources: equal,
      want: { cpu_shares: 1024, cpu_quota: 100_000, memory_limit_in_bytes: gi, oom_score_adj: -997 },
    },
    {
      name: 'a zero request beside a limit',
      resources: { requests: { cpu: '0' }, limits: { cpu: '1' } },
      want: { cpu_shares: 1024, cpu_quota: 100_000 },
    },
  ])('$name', ({ resources, want }) => {
    const subject = container(resources);
    expect(computeContainerResources(pod(subject), subject, v1, options)).toMatchObject(want);
  });

  it('sends no quota when quotas are off', () => {
    const subject = container(small);
    const got = computeContainerResources(pod(subject), subject, v1, { ...options, cpuCfsQuota: false });
    expect(got).not.toHaveProperty('cpu_quota');
    expect(got).not.toHaveProperty('unified');
  });

  it('is held by the pod where it has no limit of its own', () => {
    const subject = container({ limits: { cpu: '100m' } });
    const own = pod(subject, { resources: { limits: { cpu: '2', memory: '1Gi' } } });
    expect(computeContainerResources(own, subject, v1, options)).toMatchObject({
      cpu_quota: 10_000,
      memory_limit_in_bytes: gi,
    });
  });

  it('limits every huge page size of the node', () => {
    const subject = container({ limits: { 'hugepages-2Mi': '4Mi', memory: '1Gi' } });
    const node = { ...v1, hugepageSizes: [2 ** 21, 2 ** 30] };
    expect(computeContainerResources(pod(subject), subject, node, options).hugepage_limits).toEqual([
      { page_size: '2MB', limit: 4 * 1024 ** 2 },
      { page_size: '1GB', limit: 0 },
    ]);
    expect(kernelPageSize(65_536)).toBe('64KB');
  });

  it.each([
    { name: 'kills the container as a whole', change: {}, want: { 'memory.oom.group': '1', 'memory.swap.max': '0' } },
    { name: 'kills one process on request', change: { singleProcessOomKill: true }, want: { 'memory.swap.max': '0' } },
    {
      name: 'gives a Burstable container its part of the swap',
      change: { swapBehavior: 'LimitedSwap' as const },
      want: { 'memory.oom.group': '1', 'memory.swap.max': String((2 * gi) / 8) },
    },
  ])('on cgroup v2 $name', ({ change, want }) => {
    const subject = container(small);
    expect(computeContainerResources(pod(subject), subject, v2, { ...options, ...change }).unified).toEqual(want);
  });

  it('gives no swap where request and limit are equal', () => {
    const subject = container({ requests: { memory: '1Gi' }, limits: { memory: '1Gi' } });
    const limited = { ...options, swapBehavior: 'LimitedSwap' as const };
    expect(computeContainerResources(pod(subject), subject, v2, limited).unified).toMatchObject({
      'memory.swap.max': '0',
    });
  });
});

describe('computeOomScoreAdj', () => {
  const ask = (memory: string, extra: Partial<Container> = {}): Container => container({ requests: { memory } }, extra);
  it.each([
    { name: 'nearly the whole node', subject: ask('7999Mi'), want: 24 },
    { name: 'more than the node', subject: ask('9Gi'), want: 3 },
    { name: 'almost nothing', subject: ask('1Ki'), want: 999 },
    { name: 'only cpu', subject: container({ requests: { cpu: '1' } }), want: 999 },
    { name: 'an eighth', subject: ask('1Gi'), want: 875 },
  ])('$name: $want', ({ subject, want }) => expect(computeOomScoreAdj(pod(subject), subject, 8 * gi)).toBe(want));

  it.each([
    { name: 'a Guaranteed pod', resources: equal, floor: 0, want: 0 },
    { name: 'a Guaranteed pod where all can be given', resources: equal, floor: undefined, want: -997 },
    { name: 'a Burstable pod', resources: small, floor: 0, want: 875 },
    { name: 'a Burstable pod below a high floor', resources: small, floor: 900, want: 900 },
  ])('gives $name no score that the machine refuses', ({ resources, floor, want }) => {
    const subject = container(resources);
    const node = { ...v1, oomScoreFloor: floor };
    expect(computeContainerResources(pod(subject), subject, node, options).oom_score_adj).toBe(want);
  });

  it('saves what the node cannot live without', () => {
    const subject = container();
    const critical = pod(subject, { priority: 2_000_001_000, priorityClassName: 'system-node-critical' });
    expect(computeOomScoreAdj(critical, subject, gi)).toBe(-997);
  });

  it('never kills a sidecar before what it serves', () => {
    const sidecar = ask('1Mi', { name: 'side', restartPolicy: 'Always' });
    const main = ask('4Gi');
    expect(computeOomScoreAdj(pod(main, { initContainers: [sidecar] }), sidecar, 8 * gi)).toBe(500);
  });

  it('divides what the pod asks for beyond its containers', () => {
    const subject = ask('1Gi');
    const own = pod(subject, {
      containers: [subject, container({}, { name: 'd' })],
      resources: { requests: { memory: '3Gi' } },
    });
    expect(computeOomScoreAdj(own, subject, 8 * gi)).toBe(750);
  });
});

describe('the sandbox', () => {
  it('gets the sum of the containers, and overhead apart', () => {
    const own = pod(container(small), {
      containers: [container(small), container(small)],
      overhead: { cpu: '250m', memory: '64Mi' },
    });
    expect(computeSandboxResources(own, options)).toEqual({
      cpu_shares: 204,
      cpu_quota: 100_000,
      cpu_period: 100_000,
      memory_limit_in_bytes: 4 * gi,
    });
    expect(computeOverheadResources(own, options)).toEqual({
      cpu_shares: 256,
      cpu_quota: 25_000,
      cpu_period: 100_000,
      memory_limit_in_bytes: 64 * 1024 ** 2,
    });
    expect(computeOverheadResources(pod(container()), options)).toEqual({});
  });
});

describe('pod cgroups', () => {
  const cgroupOptions = {
    cpuCfsQuota: true,
    cpuCfsQuotaPeriodMicros: 100_000,
    podPidsLimit: -1,
    hugepageSizes: [2 ** 21],
  };

  it.each([
    { resources: {}, want: ['kubepods', 'besteffort', 'podu-1'] },
    { resources: small, want: ['kubepods', 'burstable', 'podu-1'] },
    { resources: equal, want: ['kubepods', 'podu-1'] },
  ])('are named by class: $want', ({ resources, want }) => expect(podGroup(pod(container(resources)))).toEqual(want));

  it.each([
    ['podu-1', 'u-1'],
    ['pod', undefined],
    ['burstable', undefined],
  ])('%s is of pod %s', (name, uid) => expect(podUidOf(name)).toBe(uid));

  it.each([
    { name: 'BestEffort', own: pod(container()), want: { cpuShares: 2, hugepageLimits: { '2MB': 0 } } },
    {
      name: 'Guaranteed',
      own: pod(container(equal)),
      want: {
        cpuShares: 1024,
        cpuQuotaMicros: 100_000,
        cpuPeriodMicros: 100_000,
        memoryLimitBytes: gi,
        hugepageLimits: { '2MB': 0 },
      },
    },
    {
      name: 'Burstable with limits everywhere',
      own: pod(container(small)),
      want: {
        cpuShares: 102,
        cpuQuotaMicros: 50_000,
        cpuPeriodMicros: 100_000,
        memoryLimitBytes: 2 * gi,
        hugepageLimits: { '2MB': 0 },
      },
    },
    {
      name: 'Burstable with an init container without limits',
      own: pod(container(small), { initContainers: [container()] }),
      want: { cpuShares: 102, hugepageLimits: { '2MB': 0 } },
    },
    {
      name: 'with overhead and huge pages',
      own: pod(container({ requests: { cpu: '100m' }, limits: { 'hugepages-2Mi': '4Mi' } }), {
        overhead: { cpu: '100m' },
      }),
      want: { cpuShares: 204, hugepageLimits: { '2MB': 4 * 1024 ** 2 } },
    },
  ])('of $name', ({ own, want }) => expect(computePodCgroup(own, cgroupOptions)).toEqual(want));

  it('have as many processes as the node allows a pod', () => {
    expect(computePodCgroup(pod(container()), { ...cgroupOptions, podPidsLimit: 100 })).toMatchObject({ pidsMax: 100 });
  });

  it('lose their quota where quotas are off', () => {
    expect(computePodCgroup(pod(container(equal)), { ...cgroupOptions, cpuCfsQuota: false })).toMatchObject({
      cpuQuotaMicros: -1,
    });
  });

  const node: NodeResources = {
    capacity: {},
    allocatable: {},
    forPods: { milliCpu: 1500, memoryBytes: 7 * gi, pidsMax: 1000, hugepages: [{ sizeBytes: 2 ** 21, bytes: 0 }] },
  };
  const whole = { milliCpu: 2000, memoryBytes: 8 * gi };
  it('of all pods: allocatable, or the machine when nothing is enforced', () => {
    expect(computePodsCgroup(node, whole, true)).toEqual({
      cpuShares: 1536,
      memoryLimitBytes: 7 * gi,
      pidsMax: 1000,
      hugepageLimits: { '2MB': 0 },
    });
    expect(computePodsCgroup(node, whole, false)).toEqual({
      cpuShares: 2048,
      memoryLimitBytes: 8 * gi,
      hugepageLimits: { '2MB': 0 },
    });
  });

  it('of a class: what its own pods ask for', () => {
    const pods = [pod(container(small)), pod(container(small)), pod(container(equal))];
    expect(computeQosCgroup('Burstable', pods, []).cpuShares).toBe(204);
    expect(computeQosCgroup('BestEffort', pods, [2 ** 30])).toEqual({
      cpuShares: 2,
      hugepageLimits: { '1GB': 2 ** 62 },
    });
  });
});

describe('hostProblems', () => {
  it.each([
    { host: { cgroupVersion: 2, swapBytes: 0 }, config: { failCgroupV1: true, failSwapOn: true }, want: 0 },
    { host: { cgroupVersion: 1, swapBytes: 1 }, config: { failCgroupV1: true, failSwapOn: true }, want: 2 },
    { host: { cgroupVersion: 1, swapBytes: 1 }, config: { failCgroupV1: false, failSwapOn: false }, want: 0 },
  ] as const)('$host with $config: $want', ({ host, config, want }) => {
    expect(hostProblems(host, config)).toHaveLength(want);
  });
});
