import { describe, expect, it } from 'vitest';
import { UnimplementedError } from '../../../base/errors.ts';
import type { Container, Pod, ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import { computeContainerResources } from './compute-container-resources.ts';
import type { ResizedContainer } from './compute-resize-steps.ts';
import { resizePod } from './resize-pod.ts';

const mi = 1024 ** 2;
const amounts = (cpu: string, memory: string): ResourceRequirements => ({
  requests: { cpu, memory },
  limits: { cpu, memory },
});
const [small, big] = [amounts('500m', '64Mi'), amounts('1', '128Mi')];
const node = { cgroupVersion: 1, memoryBytes: 1024 * mi, swapBytes: 0, hasSwapController: false, hugepageSizes: [] };
const options = {
  cpuCfsQuota: true,
  cpuCfsQuotaPeriodMicros: 100_000,
  podPidsLimit: -1,
  hugepageSizes: [],
  singleProcessOomKill: undefined,
  swapBehavior: '',
} as const;
const never = new AbortController().signal;
const podOf = (containers: Container[], resources?: ResourceRequirements): Pod => ({
  metadata: { name: 'p', uid: 'u' },
  spec: { containers, ...(resources === undefined ? {} : { resources }) },
  status: { qosClass: 'Burstable' },
});
const container = (resources: ResourceRequirements): Container => ({ name: 'a', image: 'i', resources });

interface Machine {
  podLimitBytes?: number;
  quota?: number;
  usageBytes?: number;
  sandboxAnswer?: Error;
}

async function resize(
  before: Pod,
  pod: Pod,
  containers: ResizedContainer[],
  { podLimitBytes, quota, usageBytes = mi, sandboxAnswer }: Machine = {},
): Promise<string[]> {
  const calls: string[] = [];
  await resizePod(
    {
      cri: {
        updateContainerResources: (id, { cpu_quota: cpuQuota, memory_limit_in_bytes: memory }) =>
          Promise.resolve(void calls.push(`${id} quota ${String(cpuQuota)} memory ${Number(memory) / mi}Mi`)),
        updatePodSandboxResources: (id) => {
          calls.push(`sandbox ${id}`);
          return sandboxAnswer === undefined ? Promise.resolve() : Promise.reject(sandboxAnswer);
        },
      },
      cgroups: {
        update: (path, values) => Promise.resolve(void calls.push(`${path} ${JSON.stringify(values)}`)),
        children: () => Promise.resolve(['cri-containerd-b-id.scope', 'cri-containerd-a-id.scope']),
        memory: (path) => {
          expect(['/pod', '/pod/cri-containerd-a-id.scope']).toContain(path);
          return Promise.resolve({ usageBytes, limitBytes: podLimitBytes, workingSetBytes: 0, rssBytes: 0 });
        },
        cpuQuotaMicros: () => Promise.resolve(quota),
      },
      cgroupOf: () => '/pod',
      options,
      containerResources: (owner, spec) =>
        computeContainerResources(owner, spec, { ...node, cgroupVersion: 1 }, options),
      onContainer: (name, { limits }) =>
        calls.push(`${name} has ${limits?.['cpu'] ?? '-'} ${limits?.['memory'] ?? '-'}`),
    },
    { pod, before, sandboxId: 's', containers },
    never,
  );
  return calls;
}

const grown: ResizedContainer = { id: 'a-id', name: 'a', before: small, now: big, changed: ['memory', 'cpu'] };

describe('resizePod', () => {
  it('tells the sandbox, then raises pod and container, one resource after the other', async () => {
    const limits = { podLimitBytes: 64 * mi, quota: 50_000 };
    expect(await resize(podOf([container(small)]), podOf([container(big)]), [grown], limits)).toEqual([
      'sandbox s',
      `/pod {"memoryLimitBytes":${128 * mi}}`,
      'a-id quota 50000 memory 128Mi',
      'a has 500m 128Mi',
      '/pod {"cpuQuotaMicros":100000,"cpuPeriodMicros":100000}',
      '/pod {"cpuShares":1024}',
      'a-id quota 100000 memory 128Mi',
      'a has 1 128Mi',
    ]);
  });

  it('gives a container what it has of its pod in the same order', async () => {
    const held: ResizedContainer = { ...grown, before: {}, now: {} };
    const limits = { podLimitBytes: 64 * mi, quota: 50_000 };
    const calls = await resize(podOf([container({})], small), podOf([container({})], big), [held], limits);
    expect(calls.filter((call) => call.startsWith('a-id'))).toEqual([
      'a-id quota 50000 memory 128Mi',
      'a-id quota 100000 memory 128Mi',
    ]);
  });

  it.each([
    { name: 'does not know the call', sandboxAnswer: new UnimplementedError('unknown method') },
    { name: 'says so in its own way', sandboxAnswer: new Error('rpc error: code = Unknown desc = not implemented') },
  ])('goes on where the runtime $name', async ({ sandboxAnswer }) => {
    const limits = { podLimitBytes: 64 * mi, quota: 50_000, sandboxAnswer };
    const calls = await resize(podOf([container(small)]), podOf([container(big)]), [grown], limits);
    expect(calls.at(-1)).toBe('a has 1 128Mi');
  });

  it('sets nothing where the sandbox refuses, or memory in use would not fit', async () => {
    const limits = { podLimitBytes: 64 * mi, quota: 50_000, sandboxAnswer: new Error('no') };
    await expect(resize(podOf([container(small)]), podOf([container(big)]), [grown], limits)).rejects.toThrow('no');
    const shrunk: ResizedContainer = { ...grown, before: big, now: small };
    const inUse = { podLimitBytes: 128 * mi, quota: 100_000, usageBytes: 100 * mi };
    await expect(resize(podOf([container(big)]), podOf([container(small)]), [shrunk], inUse)).rejects.toThrow(
      `cannot decrease memory limits: [attempting to set pod memory limit (${64 * mi}) below current usage (${100 * mi}), attempting to set container "a" memory limit (${64 * mi}) below current usage (${100 * mi})]`,
    );
  });

  it('does nothing twice', async () => {
    const limits = { podLimitBytes: 128 * mi, quota: 100_000 };
    expect(await resize(podOf([container(big)]), podOf([container(big)]), [], limits)).toEqual([]);
  });
});
