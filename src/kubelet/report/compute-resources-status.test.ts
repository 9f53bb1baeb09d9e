import { describe, expect, it } from 'vitest';
import { testContainer, testInstance, testPod } from '../../../test/fixtures/kubelet-pods.ts';
import type { ResourceRequirements } from '../../objects/generated/core-v1.ts';
import type { ObservedContainer } from '../pod-model.ts';
import { containerResourcesStatus, podResourcesStatus } from './compute-resources-status.ts';

type Measured = NonNullable<ObservedContainer['resources']>;
const measured = (shares: number, quota: number, memory: number): Measured => ({
  cpu_shares: String(shares),
  cpu_quota: String(quota),
  cpu_period: '100000',
  memory_limit_in_bytes: String(memory),
  oom_score_adj: '0',
  cpuset_cpus: '',
  cpuset_mems: '',
  hugepage_limits: [],
  unified: {},
  memory_swap_limit_in_bytes: '0',
});
const spec: ResourceRequirements = {
  requests: { cpu: '100m', memory: '64Mi' },
  limits: { cpu: '500m', memory: '128Mi' },
};
const old: ResourceRequirements = { requests: { cpu: '50m', memory: '32Mi' }, limits: { cpu: '200m', memory: '64Mi' } };
const mi = 1024 ** 2;

interface Row {
  name: string;
  resources?: ResourceRequirements;
  state?: ObservedContainer['state'];
  runtime?: Measured;
  actuated?: ResourceRequirements;
  want: ResourceRequirements;
}
const rows: Row[] = [
  { name: 'not running: what it will get', resources: spec, state: 'exited', actuated: old, want: spec },
  { name: 'running, the runtime is silent: what it was told last', resources: spec, actuated: old, want: old },
  { name: 'running, nobody knows: what it was given', resources: spec, want: spec },
  {
    name: 'running: what the kernel has, and the memory request as it was told',
    resources: spec,
    runtime: measured(205, 30_000, 96 * mi),
    actuated: old,
    want: { requests: { cpu: '201m', memory: '32Mi' }, limits: { cpu: '300m', memory: '96Mi' } },
  },
  {
    name: 'the same amount keeps its spelling',
    resources: { requests: { cpu: '0.1' }, limits: { memory: '131072Ki' } },
    runtime: measured(102, 0, 128 * mi),
    want: { requests: { cpu: '0.1' }, limits: { memory: '131072Ki' } },
  },
  {
    name: 'amounts below the kernel’s smallest are as they were asked for',
    resources: { requests: { cpu: '1m' }, limits: { cpu: '5m' } },
    runtime: measured(2, 1000, 0),
    want: { requests: { cpu: '1m' }, limits: { cpu: '5m' } },
  },
  {
    name: 'only what the spec names',
    resources: { requests: { cpu: '100m' } },
    runtime: measured(102, 50_000, mi),
    want: { requests: { cpu: '100m' } },
  },
  { name: 'nothing asked', resources: {}, runtime: measured(2, 0, 0), want: {} },
];

describe('containerResourcesStatus', () => {
  it.each(rows)('$name', ({ resources = {}, state = 'running', runtime, actuated, want }) => {
    const container = { kind: 'regular' as const, spec: testContainer('a', { resources }) };
    const got = containerResourcesStatus(container, testInstance('a', { state, resources: runtime }), actuated);
    expect(got.resources).toEqual(want);
    expect(got.allocatedResources).toEqual(resources.requests);
  });

  it('says nothing of ephemeral containers', () => {
    expect(containerResourcesStatus({ kind: 'ephemeral', spec: testContainer('a') }, undefined, spec)).toEqual({});
  });
});

describe('podResourcesStatus', () => {
  const podWith = (resources: ResourceRequirements, own?: ResourceRequirements): ReturnType<typeof testPod> =>
    testPod({ containers: [testContainer('a', { resources })], ...(own === undefined ? {} : { resources: own }) });

  it.each([
    { name: 'nothing asked', pod: podWith({}), actual: podWith({}), want: {} },
    {
      name: 'nothing of what nobody can read',
      pod: podWith({ requests: { cpu: 'much' } }),
      actual: podWith({ requests: { cpu: 'much' } }),
      want: {},
    },
    {
      name: 'what its containers ask for, and what they have',
      pod: podWith(spec),
      actual: podWith(old),
      want: { allocatedResources: spec.requests, resources: old },
    },
    {
      name: 'its own amounts before those of its containers',
      pod: podWith({ requests: { cpu: '10m' } }, spec),
      actual: podWith({ requests: { cpu: '10m' } }, spec),
      want: { allocatedResources: spec.requests, resources: spec },
    },
  ])('$name', ({ pod, actual, want }) => expect(podResourcesStatus(pod, actual)).toEqual(want));
});
