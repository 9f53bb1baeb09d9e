import { describe, expect, it } from 'vitest';
import type { Node, Pod, Service } from '../../objects/generated/core-v1.ts';
import type { Endpoint, EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { computeEndpointSubsets, truncateSubsets } from '../endpoints/compute-endpoints.ts';
import { computeSliceGroups } from './compute-slice-groups.ts';
import { packEndpointSlices } from './pack-endpoint-slices.ts';

const ports = [{ name: '', port: 80, protocol: 'TCP' }];
const endpoint = (i: number, ready = true): Endpoint => ({ addresses: [`10.0.0.${i}`], conditions: { ready } });
const many = (from: number, to: number): Endpoint[] => Array.from({ length: to - from }, (_, i) => endpoint(from + i));
const slice = (name: string, endpoints: Endpoint[], slicePorts = ports): EndpointSlice => ({
  metadata: { name },
  addressType: 'IPv4',
  ports: slicePorts,
  endpoints,
});
const group = (endpoints: Endpoint[], groupPorts = ports) => ({
  addressType: 'IPv4' as const,
  ports: groupPorts,
  endpoints,
});
const shape = ({ create, update, delete: gone }: ReturnType<typeof packEndpointSlices>) => ({
  create: create.map(({ endpoints }) => endpoints.length),
  update: Object.fromEntries(update.map(({ metadata, endpoints }) => [metadata.name, endpoints?.length])),
  delete: gone.map(({ metadata }) => metadata.name),
});

describe('packEndpointSlices', () => {
  it.each([
    {
      name: 'first slices, full ones first',
      groups: [group(many(0, 5))],
      existing: [],
      want: { create: [3, 2], update: {}, delete: [] },
    },
    {
      name: 'nothing to do',
      groups: [group(many(0, 2))],
      existing: [slice('a', many(0, 2))],
      want: { create: [], update: {}, delete: [] },
    },
    {
      name: 'a changed endpoint stays in its slice',
      groups: [group([endpoint(0, false), endpoint(1)])],
      existing: [slice('a', many(0, 2))],
      want: { create: [], update: { a: 2 }, delete: [] },
    },
    {
      name: 'new ones fill a slice that changes anyway',
      groups: [group([endpoint(1), endpoint(5)])],
      existing: [slice('a', many(0, 2)), slice('b', [])],
      want: { create: [], update: { a: 2 }, delete: ['b'] },
    },
    {
      name: 'leftovers go where all of them fit',
      groups: [group(many(0, 3))],
      existing: [slice('a', many(0, 2))],
      want: { create: [], update: { a: 3 }, delete: [] },
    },
    {
      name: 'or into a new slice',
      groups: [group(many(0, 5))],
      existing: [slice('a', many(0, 2))],
      want: { create: [3], update: {}, delete: [] },
    },
    {
      name: 'a placeholder for no endpoints',
      groups: [group([], [])],
      existing: [],
      want: { create: [0], update: {}, delete: [] },
    },
    {
      name: 'other ports: the old slice becomes the new one',
      groups: [group(many(0, 1), [{ name: '', port: 81, protocol: 'TCP' }])],
      existing: [slice('a', many(0, 1))],
      want: { create: [], update: { a: 1 }, delete: [] },
    },
    {
      name: 'the last endpoint goes: the slice becomes the placeholder',
      groups: [group([], [])],
      existing: [slice('a', many(0, 1))],
      want: { create: [], update: { a: 0 }, delete: [] },
    },
  ])('$name', ({ groups, existing, want }) => {
    expect(shape(packEndpointSlices(groups, existing, 3))).toEqual(want);
  });
});

const service = (spec: Partial<NonNullable<Service['spec']>> = {}): Service => ({
  metadata: { name: 's', namespace: 'ns' },
  spec: {
    clusterIP: '10.96.0.1',
    ipFamilies: ['IPv4'],
    selector: {},
    ports: [{ port: 80, targetPort: 'web' }],
    ...spec,
  },
});
const pod = (ip: string, { ready = 'True', deleting = false, port = 8080, phase = 'Running' } = {}): Pod => ({
  metadata: { name: ip, namespace: 'ns', uid: ip, ...(deleting ? { deletionTimestamp: 'x' } : {}) },
  spec: { nodeName: 'n', containers: [{ name: 'c', image: 'i', ports: [{ name: 'web', containerPort: port }] }] },
  status: { phase, podIP: ip, podIPs: [{ ip }], conditions: [{ type: 'Ready', status: ready }] },
});
const nodeOf = (name: string): Node | undefined =>
  name === 'n' ? { metadata: { name, labels: { 'topology.kubernetes.io/zone': 'z' } }, spec: {} } : undefined;

describe('computeSliceGroups', () => {
  it('tells readiness, node, zone and the pod', () => {
    expect(computeSliceGroups(service(), [pod('10.0.0.1')], nodeOf)).toEqual([
      {
        addressType: 'IPv4',
        ports: [{ name: '', port: 8080, protocol: 'TCP' }],
        endpoints: [
          {
            addresses: ['10.0.0.1'],
            conditions: { ready: true, serving: true, terminating: false },
            nodeName: 'n',
            zone: 'z',
            targetRef: { kind: 'Pod', namespace: 'ns', name: '10.0.0.1', uid: '10.0.0.1' },
          },
        ],
      },
    ]);
  });

  it.each([
    { name: 'not ready', pods: [pod('1.1.1.1', { ready: 'False' })], spec: {}, want: [[false, false, false]] },
    { name: 'on its way out', pods: [pod('1.1.1.1', { deleting: true })], spec: {}, want: [[false, true, true]] },
    {
      name: 'published though not ready',
      pods: [pod('1.1.1.1', { ready: 'False' })],
      spec: { publishNotReadyAddresses: true },
      want: [[true, false, false]],
    },
    { name: 'finished', pods: [pod('1.1.1.1', { phase: 'Succeeded' })], spec: {}, want: [] },
    { name: 'without an address of the family', pods: [pod('fd00::1')], spec: {}, want: [] },
  ])('$name', ({ pods, spec, want }) => {
    const groups = computeSliceGroups(service(spec), pods, nodeOf);
    const conditions = groups.flatMap(({ endpoints }) => endpoints.map((e) => e.conditions));
    expect(conditions.map((c) => [c?.ready, c?.serving, c?.terminating])).toEqual(want);
  });

  it.each([
    { trafficDistribution: undefined, ready: 'True', want: undefined },
    { trafficDistribution: 'PreferClose', ready: 'True', want: { forZones: [{ name: 'z' }] } },
    { trafficDistribution: 'PreferSameZone', ready: 'True', want: { forZones: [{ name: 'z' }] } },
    { trafficDistribution: 'PreferSameZone', ready: 'False', want: undefined },
    {
      trafficDistribution: 'PreferSameNode',
      ready: 'True',
      want: { forZones: [{ name: 'z' }], forNodes: [{ name: 'n' }] },
    },
  ])('hints for $trafficDistribution of an endpoint that is ready: $ready', ({ trafficDistribution, ready, want }) => {
    const [group] = computeSliceGroups(service({ trafficDistribution }), [pod('1.1.1.1', { ready })], nodeOf);
    expect(group?.endpoints[0]?.hints).toEqual(want);
  });

  it('pods whose named port differs come in groups of their own', () => {
    const groups = computeSliceGroups(service(), [pod('1.1.1.1'), pod('1.1.1.2', { port: 9090 })], nodeOf);
    expect(groups.map((g) => g.ports.map(({ port }) => port))).toEqual([[8080], [9090]]);
  });
});

describe('computeEndpointSubsets', () => {
  it('parts ready from not ready, and leaves deleting pods out', () => {
    const pods = [
      pod('1.1.1.2'),
      pod('1.1.1.1'),
      pod('1.1.1.3', { ready: 'False' }),
      pod('1.1.1.4', { deleting: true }),
    ];
    const [subset] = computeEndpointSubsets(service(), pods);
    expect(subset?.addresses?.map(({ ip }) => ip)).toEqual(['1.1.1.1', '1.1.1.2']);
    expect(subset?.notReadyAddresses?.map(({ ip }) => ip)).toEqual(['1.1.1.3']);
    expect(subset?.ports).toEqual([{ port: 8080, protocol: 'TCP' }]);
  });

  it('keeps a thousand addresses at most', () => {
    const addresses = Array.from({ length: 1500 }, (_, i) => ({ ip: `a${i}` }));
    const { subsets, isTruncated } = truncateSubsets([{ addresses }]);
    expect([subsets[0]?.addresses?.length, isTruncated]).toEqual([1000, true]);
    expect(truncateSubsets([{ addresses: addresses.slice(0, 3) }]).isTruncated).toBe(false);
  });
});
