import { describe, expect, it } from 'vitest';
import type { Container, Node, Pod, PodSpec, ResourceRequirements } from '../../objects/generated/core-v1.ts';
import { defaultPodOnly } from './pod-defaults.ts';
import { nodeResizeProblem, resizePod, validatePodResources, validateResizePolicies } from './pod-resize.ts';

const container = (name: string, resources: ResourceRequirements = {}, more: Partial<Container> = {}): Container => ({
  name,
  image: 'i',
  resources,
  ...more,
});
const podOf = (containers: Container[], spec: Partial<PodSpec> = {}, more: Partial<Pod> = {}): Pod => ({
  metadata: { name: 'p', namespace: 'default' },
  spec: { containers, nodeName: 'n1', ...spec },
  status: { phase: 'Running' },
  ...more,
});
const burstable: ResourceRequirements = { requests: { cpu: '100m', memory: '64Mi' }, limits: { cpu: '200m' } };
const problemsOf = (pod: Pod, desired: Pod): string[] =>
  resizePod(structuredClone(pod), structuredClone(desired)).map(({ field, phrase }) => `${field}: ${phrase}`);

interface Row {
  name: string;
  pod?: Pod;
  desired: Pod;
  want: string[];
}
const plain = podOf([container('a', burstable), container('b')]);
const a = (resources: ResourceRequirements, more: Partial<Container> = {}): Pod =>
  podOf([container('a', resources, more), container('b')]);

const rows: Row[] = [
  { name: 'nothing', desired: plain, want: [] },
  { name: 'more of both', desired: a({ requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '2' } }), want: [] },
  { name: 'a new limit', desired: a({ ...burstable, limits: { cpu: '1', memory: '1Gi' } }), want: [] },
  {
    name: 'a policy',
    desired: a(burstable, { resizePolicy: [{ resourceName: 'cpu', restartPolicy: 'RestartContainer' }] }),
    want: [],
  },
  {
    name: 'a limit less',
    desired: a({ requests: burstable.requests }),
    want: ['spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed'],
  },
  {
    name: 'a request less',
    desired: a({ requests: { cpu: '100m' }, limits: { cpu: '200m' } }),
    want: ['spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed'],
  },
  {
    name: 'another resource',
    desired: a({ ...burstable, requests: { ...burstable.requests, 'ephemeral-storage': '1Gi' } }),
    want: ['spec: Forbidden: only cpu and memory resources are mutable'],
  },
  {
    name: 'something else of a container',
    desired: a(burstable, { image: 'other' }),
    want: ['spec: Forbidden: only cpu and memory resources are mutable'],
  },
  {
    name: 'another class',
    pod: podOf([container('a')], {}, { status: { qosClass: 'BestEffort' } }),
    desired: podOf([container('a', { requests: { cpu: '1' } })]),
    want: ['spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing'],
  },
  {
    name: 'other names',
    desired: podOf([container('b'), container('a', burstable)]),
    want: [0, 1].map(
      (i) => `spec.containers[${i}].name: Forbidden: containers may not be renamed or reordered on resize`,
    ),
  },
  {
    name: 'a container more',
    desired: podOf([...plain.spec.containers, container('c')]),
    want: ['spec.containers: Forbidden: containers may not be added or removed on resize'],
  },
  {
    name: 'init containers and the pod itself',
    pod: podOf([container('a', burstable)], {
      initContainers: [container('i', burstable)],
      resources: { requests: { cpu: '1' } },
    }),
    desired: podOf([container('a', burstable)], {
      initContainers: [container('i', { ...burstable, limits: { cpu: '3' } })],
      resources: { requests: { cpu: '2' } },
    }),
    want: [],
  },
  {
    name: 'a mirror of a static pod',
    pod: podOf([container('a')], {}, { metadata: { name: 'p', annotations: { 'kubernetes.io/config.mirror': 'x' } } }),
    desired: podOf([container('a')]),
    want: ['metadata.annotations: Forbidden: static pods cannot be resized'],
  },
  {
    name: 'a pod that is over',
    pod: podOf([container('a')], {}, { status: { phase: 'Failed' } }),
    desired: podOf([container('a')]),
    want: ['status.phase: Forbidden: pods in phase "Failed" cannot be resized'],
  },
  {
    name: 'a Windows pod',
    pod: podOf([container('a')], { os: { name: 'windows' } }),
    desired: podOf([container('a')]),
    want: ['spec.os.name: Forbidden: windows pods cannot be resized'],
  },
];

describe('resizePod', () => {
  it.each(rows)('$name', ({ pod = plain, desired, want }) => expect(problemsOf(pod, desired)).toEqual(want));

  it('takes the amounts over, and nothing else', () => {
    const pod = structuredClone(plain);
    resizePod(pod, a({ requests: { cpu: '1', memory: '64Mi' }, limits: { cpu: '2' } }));
    expect(pod).toEqual(a({ requests: { cpu: '1', memory: '64Mi' }, limits: { cpu: '2' } }));
  });
});

describe('validateResizePolicies', () => {
  it.each([
    ['cpu', 'NotRequired', 'Always', []],
    ['memory', 'RestartContainer', 'OnFailure', []],
    ['memory', 'RestartContainer', 'Never', [/must be 'NotRequired' when `restartPolicy` is 'Never'/]],
    ['disk', 'NotRequired', 'Always', [/Unsupported value: "disk": supported values: "cpu", "memory"/]],
    ['cpu', 'Sometimes', 'Always', [/Unsupported value: "Sometimes"/]],
  ])('%s %s with restartPolicy %s', (resourceName, restart, restartPolicy, want) => {
    const spec: PodSpec = {
      restartPolicy,
      containers: [container('a', {}, { resizePolicy: [{ resourceName, restartPolicy: restart }] })],
    };
    expect(validateResizePolicies(spec).map(({ phrase }) => phrase)).toEqual(
      want.map((text) => expect.stringMatching(text)),
    );
  });
});

describe('resources of a pod', () => {
  const specOf = (resources: ResourceRequirements, ofContainer: ResourceRequirements = {}): PodSpec => ({
    resources,
    containers: [container('a', ofContainer), container('b', ofContainer)],
  });

  it.each([
    { name: 'room for all', spec: specOf({ requests: { cpu: '2' } }, { requests: { cpu: '1' } }), want: [] },
    {
      name: 'less than its containers ask for',
      spec: specOf({ requests: { cpu: '1' } }, { requests: { cpu: '1' } }),
      want: [/^spec.resources.requests\[cpu\].*greater than or equal to aggregate container requests of 2$/],
    },
    {
      name: 'a container above the pod',
      spec: specOf({ limits: { cpu: '1' } }, { limits: { cpu: '2' } }),
      want: [/^spec.containers\[0\].*pod limits of 1$/, /^spec.containers\[1\]/],
    },
    {
      name: 'a request above its limit',
      spec: specOf({ requests: { cpu: '2' }, limits: { cpu: '1' } }),
      want: [/must be less than or equal to cpu limit of 1$/],
    },
    {
      name: 'what pods cannot have',
      spec: specOf({ limits: { 'ephemeral-storage': '1' } }),
      want: [/Unsupported value: "ephemeral-storage"/],
    },
  ])('$name', ({ spec, want }) =>
    expect(validatePodResources(spec, 'spec').map(({ field, phrase }) => `${field}: ${phrase}`)).toEqual(
      want.map((text) => expect.stringMatching(text)),
    ),
  );

  it.each([
    { name: 'what its containers ask for', own: { limits: { cpu: '4' } }, of: { requests: { cpu: '1' } }, want: '2' },
    { name: 'its limit where they ask for nothing', own: { limits: { cpu: '4' } }, of: {}, want: '4' },
    { name: 'what it says', own: { limits: { cpu: '4' }, requests: { cpu: '3' } }, of: {}, want: '3' },
  ])('asks for $name', ({ own, of, want }) => {
    const spec = specOf(own, of);
    defaultPodOnly(spec);
    expect(spec.resources?.requests?.['cpu']).toBe(want);
  });
});

describe('nodeResizeProblem', () => {
  const node: Node = {
    metadata: { name: 'n1', labels: { 'kubernetes.io/os': 'linux' } },
    spec: {},
    status: { allocatable: { cpu: '2', memory: '1Gi' } },
  };
  const asking = (cpu: string, memory: string): Pod => podOf([container('a', { requests: { cpu, memory } })]);
  const windows = { ...node, metadata: { name: 'n1', labels: { 'kubernetes.io/os': 'windows' } } };

  it.each([
    { name: 'all of it', pod: asking('2', '1Gi'), on: node, want: undefined },
    {
      name: 'more than there is',
      pod: asking('2001m', '1025Mi'),
      on: node,
      want: {
        message:
          "Node didn't have enough allocatable resources: cpu, requested: 2001, allocatable: 2000; memory, requested: 1074790400, allocatable: 1073741824",
        cause: 'NodeCapacity',
      },
    },
    { name: 'no such node', pod: asking('1', '1'), on: undefined, want: { message: 'node "n1" not found' } },
    {
      name: 'another system',
      pod: asking('1', '1'),
      on: windows,
      want: {
        message: 'pod resize is only supported on linux nodes, node "n1" is "windows"',
        cause: 'UnsupportedPlatform',
      },
    },
    { name: 'no node yet', pod: podOf([], { nodeName: '' }), on: undefined, want: undefined },
  ])('$name', ({ pod, on, want }) => expect(nodeResizeProblem(pod, on)).toEqual(want));
});
