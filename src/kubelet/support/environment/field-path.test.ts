import { describe, expect, it } from 'vitest';
import type { Container, Pod } from '../../../objects/generated/core-v1.ts';
import { environmentField, formatMap, metadataField, resourceField } from './field-path.ts';

const main: Container = {
  name: 'main',
  image: 'i',
  resources: {
    requests: { cpu: '250m', memory: '64Mi' },
    limits: { cpu: '1500m', memory: '128Mi', 'hugepages-2Mi': '4Mi' },
  },
};
const bare: Container = { name: 'bare', image: 'i' };
const pod: Pod = {
  metadata: {
    name: 'web',
    namespace: 'ns',
    uid: 'u1',
    labels: { b: '2', a: 'x"y' },
    annotations: { 'example.com/Note': 'line 1\nline 2' },
  },
  spec: {
    nodeName: 'node-1',
    serviceAccountName: 'sa',
    containers: [main, bare],
    initContainers: [{ name: 'init', image: 'i' }],
  },
};
const addresses = { podIps: ['10.0.0.5', 'fd00::5'], hostIps: ['192.168.1.1', '192.168.1.2', 'fd00::1'] };

describe('environmentField', () => {
  it.each([
    ['metadata.name', 'web'],
    ['metadata.namespace', 'ns'],
    ['metadata.uid', 'u1'],
    ["metadata.labels['b']", '2'],
    ["metadata.labels['absent']", ''],
    ["metadata.annotations['example.com/Note']", 'line 1\nline 2'],
    ['spec.nodeName', 'node-1'],
    ['spec.host', 'node-1'],
    ['spec.serviceAccountName', 'sa'],
    ['status.hostIP', '192.168.1.1'],
    ['status.hostIPs', '192.168.1.1,fd00::1'],
    ['status.podIP', '10.0.0.5'],
    ['status.podIPs', '10.0.0.5,fd00::5'],
  ])('%s is %j', (path, want) => {
    expect(environmentField(pod, path, addresses)).toBe(want);
  });

  it.each([
    ['metadata.labels', 'field label not supported: metadata.labels'],
    ['spec.restartPolicy', 'field label not supported: spec.restartPolicy'],
    ['metadata.generateName', 'unsupported fieldPath: metadata.generateName'],
    ["metadata.labels['a b']", "invalid key subscript in metadata.labels['a b']"],
    ["metadata.labels['a/b/c']", "invalid key subscript in metadata.labels['a/b/c']"],
    ["metadata.name['x']", `fieldPath "metadata.name['x']" does not support subscript`],
  ])('%s: %s', (path, want) => {
    expect(() => environmentField(pod, path, addresses)).toThrow(want);
  });

  it('knows no host IP while the node has none, and no pod IP while the pod has none', () => {
    const none = { podIps: [], hostIps: [] };
    expect(() => environmentField(pod, 'status.hostIP', none)).toThrow('host IP unknown; known addresses: []');
    expect(environmentField(pod, 'status.podIP', none)).toBe('');
  });
});

describe('metadataField', () => {
  it('writes all labels or annotations, sorted and quoted, without a newline at the end', () => {
    expect(metadataField(pod, 'metadata.labels')).toBe('a="x\\"y"\nb="2"');
    expect(metadataField(pod, 'metadata.annotations')).toBe('example.com/Note="line 1\\nline 2"');
    expect(formatMap({})).toBe('');
  });
  it.each([
    'spec.nodeName',
    'spec.serviceAccountName',
    'status.hostIP',
    'status.hostIPs',
    'status.podIP',
    'status.podIPs',
    'nonsense',
  ])('a volume has no %s', (path) => {
    expect(() => metadataField(pod, path)).toThrow(new Error(`unsupported fieldPath: ${path}`));
  });
});

describe('resourceField', () => {
  const nodeAllocatable = { cpu: '4', memory: '8Gi', 'ephemeral-storage': '10Gi' };
  const value = (resource: string, divisor?: string, container = main, inPod = pod): string =>
    resourceField(inPod, { resource, divisor }, { nodeAllocatable, container, usesPodLimits: true });

  it.each([
    ['requests.cpu', undefined, '1'],
    ['requests.cpu', '1m', '250'],
    ['requests.cpu', '0', '1'],
    ['limits.cpu', '1', '2'],
    ['limits.cpu', '1m', '1500'],
    ['requests.memory', '1Mi', '64'],
    ['requests.memory', undefined, '67108864'],
    ['limits.memory', '1M', '135'],
    ['limits.hugepages-2Mi', '1Mi', '4'],
    ['limits.hugepages-1Gi', undefined, '0'],
    ['requests.ephemeral-storage', undefined, '0'],
    ['limits.ephemeral-storage', '1Gi', '10'],
  ])('%s by %s is %s', (resource, divisor, want) => {
    expect(value(resource, divisor)).toBe(want);
  });

  it.each([
    ['limits.cpu', '1m', '4000'],
    ['limits.memory', '1Gi', '8'],
    ['requests.cpu', '1m', '0'],
  ])('without a limit %s is what the node has', (resource, divisor, want) => {
    expect(value(resource, divisor, bare)).toBe(want);
  });

  it("takes the pod's own limit before the node's amount, in variables only", () => {
    const limited: Pod = { ...pod, spec: { ...pod.spec, resources: { limits: { memory: '1Gi' } } } };
    expect(value('limits.memory', '1Mi', bare, limited)).toBe('1024');
    const inFile = { nodeAllocatable, usesPodLimits: false };
    const selector = { containerName: 'bare', resource: 'limits.memory', divisor: '1Gi' };
    expect(resourceField(limited, selector, inFile)).toBe('8');
  });

  it('a limit of zero counts as unset; an init container that asks for itself has the default', () => {
    const zero = { ...main, resources: { limits: { cpu: '0', memory: '0' } } };
    expect(value('limits.cpu', '1m', zero)).toBe('4000');
    expect(value('limits.memory', '1Gi', zero)).toBe('8');
    expect(value('limits.cpu', undefined, { name: 'init', image: 'i' })).toBe('4');
  });

  it('huge pages have no default', () => {
    expect(value('limits.hugepages-2Mi', undefined, bare)).toBe('0');
  });

  it('a volume must name the container', () => {
    const inFile = { nodeAllocatable, usesPodLimits: false };
    expect(() => resourceField(pod, { resource: 'limits.cpu' }, inFile)).toThrow(new Error('container  not found'));
  });

  it('finds containers by name; init containers have no default', () => {
    const options = { nodeAllocatable, container: bare, usesPodLimits: true };
    const of = (containerName: string): string =>
      resourceField(pod, { containerName, resource: 'limits.cpu', divisor: '1m' }, options);
    expect(of('main')).toBe('1500');
    expect(of('init')).toBe('0');
    expect(() => of('nobody')).toThrow(new Error('container nobody not found'));
  });

  it.each(['limits.gpu', 'cpu', 'usage.cpu', 'limits.'])('refuses %s', (resource) => {
    expect(() => value(resource)).toThrow(new Error(`unsupported container resource : ${resource}`));
  });
});
