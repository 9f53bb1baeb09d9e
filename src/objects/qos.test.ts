import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec, ResourceRequirements } from './generated/core-v1.ts';
import { computePodQos, hasLimitEverywhere, podLimits, podQos, podRequests } from './qos.ts';
import { formatResources } from './resource-list.ts';

const container = (resources: ResourceRequirements, extra: Partial<Container> = {}): Container => ({
  name: 'c',
  image: 'i',
  resources,
  ...extra,
});
const pod = (spec: Partial<PodSpec>): Pod => ({ metadata: { name: 'p' }, spec: { containers: [], ...spec } });
const both = (cpu: string, memory: string): ResourceRequirements => ({
  requests: { cpu, memory },
  limits: { cpu, memory },
});

describe('computePodQos', () => {
  it.each([
    { name: 'nothing asked', spec: { containers: [container({})] }, want: 'BestEffort' },
    { name: 'zero is nothing', spec: { containers: [container({ requests: { cpu: '0' } })] }, want: 'BestEffort' },
    {
      name: 'other resources do not count',
      spec: { containers: [container({ limits: { 'example.com/gpu': '1' } })] },
      want: 'BestEffort',
    },
    { name: 'equal', spec: { containers: [container(both('1', '1Gi'))] }, want: 'Guaranteed' },
    {
      name: 'limits alone are requests too',
      spec: { containers: [container({ limits: { cpu: '1', memory: '1Gi' } })] },
      want: 'Guaranteed',
    },
    {
      name: 'equal in other words',
      spec: {
        containers: [container({ requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '1000m', memory: '1024Mi' } })],
      },
      want: 'Guaranteed',
    },
    { name: 'only cpu', spec: { containers: [container({ limits: { cpu: '1' } })] }, want: 'Burstable' },
    {
      name: 'request below limit',
      spec: { containers: [container({ requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '2', memory: '1Gi' } })] },
      want: 'Burstable',
    },
    {
      name: 'one container without limits',
      spec: { containers: [container(both('1', '1Gi')), container({})] },
      want: 'Burstable',
    },
    {
      name: 'init container without limits',
      spec: { containers: [container(both('1', '1Gi'))], initContainers: [container({})] },
      want: 'Burstable',
    },
    {
      name: 'the pod has its own: containers do not count',
      spec: { containers: [container({})], resources: both('1', '1Gi') },
      want: 'Guaranteed',
    },
    {
      name: 'the pod has only requests of its own',
      spec: { containers: [container(both('1', '1Gi'))], resources: { requests: { cpu: '2' } } },
      want: 'Burstable',
    },
  ])('$name: $want', ({ spec, want }) => expect(computePodQos(pod(spec))).toBe(want));

  it('never changes the class in the status', () => {
    expect(podQos({ ...pod({ containers: [container({})] }), status: { qosClass: 'Burstable' } })).toBe('Burstable');
    expect(podQos(pod({ containers: [container({})] }))).toBe('BestEffort');
  });
});

const ask = (cpu: string, extra: Partial<Container> = {}): Container => container({ requests: { cpu } }, extra);
const sidecar = { restartPolicy: 'Always' };

describe('podRequests', () => {
  it.each([
    { name: 'sum of containers', spec: { containers: [ask('100m'), ask('200m')] }, want: { cpu: '300m' } },
    {
      name: 'a large init container',
      spec: { containers: [ask('100m')], initContainers: [ask('1'), ask('500m')] },
      want: { cpu: '1' },
    },
    {
      name: 'sidecars go on beside the containers',
      spec: { containers: [ask('100m')], initContainers: [ask('200m', sidecar)] },
      want: { cpu: '300m' },
    },
    {
      name: 'an init container runs beside the sidecars before it, not those after',
      spec: { containers: [ask('100m')], initContainers: [ask('200m', sidecar), ask('1'), ask('50m', sidecar)] },
      want: { cpu: '1200m' },
    },
    {
      name: 'overhead is added',
      spec: { containers: [ask('100m')], overhead: { cpu: '50m', memory: '64Mi' } },
      want: { cpu: '150m', memory: '64Mi' },
    },
    {
      name: 'limits stand for missing requests',
      spec: { containers: [container({ limits: { memory: '1Gi' } })] },
      want: { memory: '1Gi' },
    },
    {
      name: 'the pod wins by name',
      spec: {
        containers: [container({ requests: { cpu: '100m', memory: '1Gi', 'example.com/gpu': '1' } })],
        resources: { requests: { cpu: '2', 'example.com/gpu': '9' } },
      },
      want: { cpu: '2', 'example.com/gpu': '1', memory: '1Gi' },
    },
  ])('$name', ({ spec, want }) => expect(formatResources(podRequests(pod(spec)))).toEqual(want));

  it('leaves overhead out when asked', () => {
    const spec = { containers: [ask('100m')], overhead: { cpu: '50m' } };
    expect(formatResources(podRequests(pod(spec), { withOverhead: false }))).toEqual({ cpu: '100m' });
  });
});

describe('podLimits', () => {
  it('adds overhead only to limits that exist', () => {
    const spec = { containers: [container({ limits: { cpu: '1' } })], overhead: { cpu: '50m', memory: '64Mi' } };
    expect(formatResources(podLimits(pod(spec)))).toEqual({ cpu: '1050m' });
  });
});

describe('hasLimitEverywhere', () => {
  it.each([
    { name: 'all have it', spec: { containers: [container(both('1', '1Gi'))] }, want: true },
    { name: 'one lacks it', spec: { containers: [container(both('1', '1Gi')), container({})] }, want: false },
    {
      name: 'an init container lacks it',
      spec: { containers: [container(both('1', '1Gi'))], initContainers: [container({})] },
      want: false,
    },
    { name: 'the pod has it', spec: { containers: [container({})], resources: both('1', '1Gi') }, want: true },
  ])('$name', ({ spec, want }) => expect(hasLimitEverywhere(pod(spec), 'memory')).toBe(want));
});
