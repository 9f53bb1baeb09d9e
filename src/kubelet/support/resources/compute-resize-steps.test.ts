import { describe, expect, it } from 'vitest';
import type { CgroupValues } from '../../../adapters/cgroups/compute-writes.ts';
import type { ResourceRequirements } from '../../../objects/generated/core-v1.ts';
import {
  type ResizeInput,
  type ResizeStep,
  computeResizeSteps,
  memoryDecreaseProblem,
} from './compute-resize-steps.ts';

const mi = 1024 ** 2;
const amounts = (cpu: string, memory: string): ResourceRequirements => ({
  requests: { cpu, memory },
  limits: { cpu, memory },
});
const container = (
  name: string,
  before: ResourceRequirements,
  now: ResourceRequirements,
  changed: ReadonlyArray<'memory' | 'cpu'> = ['memory', 'cpu'],
): ResizeInput['containers'][number] => ({ id: `${name}-id`, name, before, now, changed });

/** `pod memory 64Mi`, `a cpu 1 memory 64Mi`. */
function brief(step: ResizeStep): string {
  if (step.kind === 'container') {
    const { limits = {} } = step.resources;
    return `${step.name} ${limits['cpu'] ?? '-'} ${limits['memory'] ?? '-'}`;
  }
  const { memoryLimitBytes, cpuQuotaMicros, cpuShares } = step.values;
  if (memoryLimitBytes !== undefined) return `pod memory ${memoryLimitBytes / mi}Mi`;
  return cpuQuotaMicros === undefined ? `pod shares ${cpuShares}` : `pod quota ${cpuQuotaMicros}`;
}

interface Row {
  name: string;
  current?: Partial<ResizeInput['current']>;
  wanted?: CgroupValues;
  containers?: ResizeInput['containers'];
  want: string[];
}

const small: ResizeInput['current'] = { memoryLimitBytes: 64 * mi, cpuQuotaMicros: 50_000, cpuShares: 512 };
const big = { memoryLimitBytes: 128 * mi, cpuQuotaMicros: 100_000, cpuShares: 1024, cpuPeriodMicros: 100_000 };

const rows: Row[] = [
  {
    name: 'more of everything: the pod first, memory before cpu, limit before request',
    current: small,
    wanted: big,
    containers: [container('a', amounts('500m', '64Mi'), amounts('1', '128Mi'))],
    want: ['pod memory 128Mi', 'a 500m 128Mi', 'pod quota 100000', 'pod shares 1024', 'a 1 128Mi'],
  },
  {
    name: 'less of everything: the pod last, request before limit',
    current: big,
    wanted: { ...small, cpuPeriodMicros: 100_000 },
    containers: [container('a', amounts('1', '128Mi'), amounts('500m', '64Mi'))],
    want: ['a 1 64Mi', 'pod memory 64Mi', 'a 500m 64Mi', 'pod shares 512', 'pod quota 50000'],
  },
  {
    name: 'one gives what another takes: the giver first, the pod not at all',
    current: small,
    wanted: small,
    containers: [
      container('taker', amounts('1', '1Mi'), amounts('2', '1Mi'), ['cpu']),
      container('giver', amounts('2', '1Mi'), amounts('1', '1Mi'), ['cpu']),
    ],
    want: ['giver 1 1Mi', 'taker 2 1Mi'],
  },
  {
    name: 'memory grows while cpu shrinks',
    current: { ...big, memoryLimitBytes: 64 * mi },
    wanted: { ...big, cpuQuotaMicros: 50_000 },
    containers: [container('a', amounts('1', '64Mi'), amounts('500m', '128Mi'))],
    want: ['pod memory 128Mi', 'a 1 128Mi', 'a 500m 128Mi', 'pod quota 50000'],
  },
  {
    name: 'a first limit is a loss: the pod could use all before',
    current: { cpuShares: 102 },
    wanted: { memoryLimitBytes: 64 * mi, cpuShares: 102 },
    containers: [container('a', {}, { limits: { memory: '64Mi' } }, ['memory'])],
    want: ['a - 64Mi', 'pod memory 64Mi'],
  },
  {
    name: 'a pod without limits has none to take away',
    current: { memoryLimitBytes: 64 * mi, cpuQuotaMicros: 50_000, cpuShares: 512 },
    wanted: { cpuShares: 512 },
    want: [],
  },
  {
    name: 'requests alone',
    current: { cpuShares: 512 },
    wanted: { cpuShares: 1024 },
    containers: [container('a', { requests: { cpu: '500m' } }, { requests: { cpu: '1' } }, ['cpu'])],
    want: ['pod shares 1024', 'a - -'],
  },
];

describe('computeResizeSteps', () => {
  it.each(rows)('$name', ({ current = {}, wanted = {}, containers = [], want }) => {
    const none = { cpuQuotaMicros: undefined, memoryLimitBytes: undefined, cpuShares: undefined };
    const steps = computeResizeSteps({ current: { ...none, ...current }, wanted, containers });
    expect(steps.map(brief)).toEqual(want);
  });
});

describe('memoryDecreaseProblem', () => {
  const use = { currentLimitBytes: 100, wantedLimitBytes: 50, usageBytes: 70 };
  it.each([
    { name: 'enough is free', uses: [{ ...use, usageBytes: 49 }], want: undefined },
    {
      name: 'an increase is never refused',
      uses: [{ ...use, wantedLimitBytes: 150, usageBytes: 150 }],
      want: undefined,
    },
    { name: 'nobody knows the use', uses: [{ ...use, usageBytes: undefined }], want: undefined },
    { name: 'no limit is wanted', uses: [{ ...use, wantedLimitBytes: undefined }], want: undefined },
    {
      name: 'exactly in use',
      uses: [{ ...use, usageBytes: 50 }],
      want: 'cannot decrease memory limits: attempting to set pod memory limit (50) below current usage (50)',
    },
    {
      name: 'pod and container',
      uses: [use, { ...use, container: 'a', usageBytes: 60 }],
      want: 'cannot decrease memory limits: [attempting to set pod memory limit (50) below current usage (70), attempting to set container "a" memory limit (50) below current usage (60)]',
    },
    {
      name: 'a first limit',
      uses: [{ ...use, currentLimitBytes: undefined }],
      want: 'cannot decrease memory limits: attempting to set pod memory limit (50) below current usage (70)',
    },
  ])('$name', ({ uses, want }) => expect(memoryDecreaseProblem(uses)).toBe(want));
});
