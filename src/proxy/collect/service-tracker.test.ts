import { describe, expect, it } from 'vitest';
import type { Service, ServiceSpec } from '../../objects/generated/core-v1.ts';
import type { Endpoint, EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { endpointAddress } from '../proxy-model.ts';
import { ServiceTracker } from './service-tracker.ts';
import { servicePorts } from './service-ports.ts';

const service = (spec: Partial<ServiceSpec> = {}, status: Service['status'] = {}): Service => ({
  metadata: { namespace: 'ns', name: 'web' },
  spec: {
    type: 'ClusterIP',
    clusterIP: '10.96.0.1',
    clusterIPs: ['10.96.0.1', 'fd00::1'],
    ipFamilies: ['IPv4', 'IPv6'],
    ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    ...spec,
  },
  status,
});

describe('servicePorts', () => {
  it.each([
    { name: 'a plain Service', spec: {}, want: [{ clusterIp: '10.96.0.1', port: 80, protocol: 'tcp', nodePort: 0 }] },
    { name: 'a headless one', spec: { clusterIP: 'None' }, want: [] },
    { name: 'one without an address yet', spec: { clusterIP: '' }, want: [] },
    { name: 'an ExternalName', spec: { type: 'ExternalName' }, want: [] },
    {
      name: 'one of the other family only',
      spec: { clusterIPs: ['fd00::1'], clusterIP: 'fd00::1', ipFamilies: ['IPv6'] },
      want: [],
    },
    {
      name: 'one from before there were families',
      spec: { ipFamilies: undefined, clusterIPs: undefined },
      want: [{ clusterIp: '10.96.0.1' }],
    },
    {
      name: 'an external Local policy of a ClusterIP Service without external addresses',
      spec: { externalTrafficPolicy: 'Local' },
      want: [{ isExternalPolicyLocal: false }],
    },
    {
      name: 'an external Local policy of a NodePort Service',
      spec: { type: 'NodePort', externalTrafficPolicy: 'Local', ports: [{ port: 80, nodePort: 30_080 }] },
      want: [{ isExternalPolicyLocal: true, nodePort: 30_080, portName: '' }],
    },
    {
      name: 'affinity with the default time',
      spec: { sessionAffinity: 'ClientIP' },
      want: [{ affinitySeconds: 10_800 }],
    },
    {
      name: 'external addresses of this family only; nonsense is left out',
      spec: { externalIPs: ['203.0.113.1', 'fd00::9', '203.0.113.2\n-A INPUT -j ACCEPT', ''] },
      want: [{ externalIps: ['203.0.113.1'] }],
    },
    {
      name: 'source ranges, with spaces',
      spec: { type: 'LoadBalancer', loadBalancerSourceRanges: [' 10.0.0.0/8 ', 'fd00::/8'] },
      want: [{ sourceRanges: ['10.0.0.0/8'] }],
    },
    {
      name: 'source ranges with one for everybody',
      spec: { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8', '0.0.0.0/0'] },
      want: [{ sourceRanges: [] }],
    },
    {
      name: 'a health check port only of a load balancer with a Local policy',
      spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 },
      want: [{ healthCheckNodePort: 32_000 }],
    },
    {
      name: 'a health check port otherwise',
      spec: { type: 'LoadBalancer', healthCheckNodePort: 32_000 },
      want: [{ healthCheckNodePort: 0 }],
    },
  ])('$name', ({ spec, want }) => {
    expect(servicePorts(service(spec), 'IPv4')).toMatchObject(want);
    expect(servicePorts(service(spec), 'IPv4')).toHaveLength(want.length);
  });

  it('takes balancer addresses that pass packets on, and no others', () => {
    const ingress = [
      { ip: '203.0.113.5' },
      { ip: '203.0.113.6', ipMode: 'Proxy' },
      { hostname: 'x' },
      { ip: '203.0.113.7', ipMode: 'VIP' },
    ];
    const [port] = servicePorts(service({ type: 'LoadBalancer' }, { loadBalancer: { ingress } }), 'IPv4');
    expect(port?.loadBalancerIps).toEqual(['203.0.113.5', '203.0.113.7']);
  });
});

const slice = (name: string, endpoints: Endpoint[], port = 8080): EndpointSlice => ({
  metadata: { namespace: 'ns', name, labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  endpoints,
  ports: [{ name: 'http', port, protocol: 'TCP' }],
});

describe('ServiceTracker', () => {
  const build = () => {
    const tracker = new ServiceTracker('IPv4', 'here');
    tracker.setService('ns/web', service());
    return tracker;
  };
  const addresses = (tracker: ServiceTracker): string[] =>
    (tracker.states.get('ns/web')?.endpoints.get('http/tcp') ?? []).map(endpointAddress);

  it('merges slices in byte order, an address once', () => {
    const tracker = build();
    tracker.setSlice('ns/web', 'a', slice('a', [{ addresses: ['10.0.0.9'] }, { addresses: ['10.0.0.10'] }]));
    tracker.setSlice('ns/web', 'b', slice('b', [{ addresses: ['10.0.0.9', '10.0.0.99'] }]));
    tracker.take();
    expect(addresses(tracker)).toEqual(['10.0.0.10:8080', '10.0.0.9:8080']);
  });

  it('prefers the new pod when an address is used again', () => {
    const tracker = build();
    const going = { addresses: ['10.0.0.1'], conditions: { ready: false, serving: true, terminating: true } };
    tracker.setSlice('ns/web', 'a', slice('a', [{ addresses: ['10.0.0.1'], nodeName: 'here' }]));
    tracker.setSlice('ns/web', 'b', slice('b', [going]));
    tracker.take();
    expect(tracker.states.get('ns/web')?.endpoints.get('http/tcp')).toMatchObject([{ isReady: true, isLocal: true }]);
  });

  it('names only Services that differ, however many events there were', () => {
    const tracker = build();
    expect([...tracker.take().changed]).toEqual(['ns/web']);
    expect(tracker.setService('ns/web', service())).toBe(false);
    tracker.setSlice('ns/web', 'a', slice('a', [{ addresses: ['10.0.0.1'] }]));
    tracker.setSlice('ns/web', 'a', undefined);
    expect([...tracker.take().changed]).toEqual([]);
    tracker.setService('ns/web', undefined);
    expect([...tracker.take().changed]).toEqual(['ns/web']);
    expect(tracker.states.size).toBe(0);
  });

  it('keeps endpoints that come before their Service, and passes over those without one', () => {
    const tracker = new ServiceTracker('IPv4', 'here');
    tracker.setSlice('ns/web', 'a', slice('a', [{ addresses: ['10.0.0.1'] }]));
    expect([...tracker.take().changed]).toEqual([]);
    tracker.setService('ns/web', service());
    tracker.take();
    expect(addresses(tracker)).toEqual(['10.0.0.1:8080']);
  });

  it('passes over slices of another family and ports without a name or number', () => {
    const tracker = build();
    tracker.setSlice('ns/web', 'a', { ...slice('a', [{ addresses: ['fd00::1'] }]), addressType: 'IPv6' });
    tracker.setSlice('ns/web', 'b', {
      ...slice('b', [{ addresses: ['10.0.0.1'] }]),
      ports: [{ port: 1 }, { name: 'http' }],
    });
    tracker.take();
    expect(addresses(tracker)).toEqual([]);
  });

  it('counts Services that differ, and changes of endpoints', () => {
    const tracker = build();
    expect(tracker.pending).toEqual({ serviceChanges: 1, endpointChanges: 0 });
    tracker.take();
    const other = service({ ports: [{ name: 'http', port: 81 }] });
    tracker.setService('ns/web', other);
    tracker.setService('ns/web', service({ ports: [{ name: 'http', port: 82 }] }));
    expect(tracker.pending.serviceChanges).toBe(1);
    tracker.setService('ns/web', service()); // as it was
    expect(tracker.pending.serviceChanges).toBe(0);
    tracker.setSlice('ns/web', 'a', slice('a', [{ addresses: ['10.0.0.1'] }]));
    tracker.setSlice('ns/web', 'a', slice('a', [{ addresses: ['10.0.0.2'] }]));
    expect(tracker.pending.endpointChanges).toBe(2);
    tracker.take();
    expect(tracker.pending).toEqual({ serviceChanges: 0, endpointChanges: 0 });
  });

  it.each([
    { name: 'nothing said', conditions: undefined, want: { isReady: true, isServing: true, isTerminating: false } },
    { name: 'nothing said inside', conditions: {}, want: { isReady: true, isServing: true, isTerminating: false } },
    {
      name: 'not ready alone',
      conditions: { ready: false },
      want: { isReady: false, isServing: true, isTerminating: false },
    },
    {
      name: 'going, and told to be ready in any case',
      conditions: { ready: true, serving: true, terminating: true },
      want: { isReady: true, isServing: true, isTerminating: true },
    },
    {
      name: 'gone bad while going',
      conditions: { ready: false, serving: false, terminating: true },
      want: { isReady: false, isServing: false, isTerminating: true },
    },
  ])('takes conditions with $name', ({ conditions, want }) => {
    const tracker = build();
    tracker.setSlice('ns/web', 'a', slice('a', [{ addresses: ['10.0.0.1'], conditions }]));
    tracker.take();
    expect(tracker.states.get('ns/web')?.endpoints.get('http/tcp')).toMatchObject([want]);
  });

  it.each([
    { name: 'a going one first', isGoingFirst: true },
    { name: 'a going one last', isGoingFirst: false },
  ])('of two with one address takes the one that stays: $name', ({ isGoingFirst }) => {
    const going = { addresses: ['10.0.0.1'], conditions: { ready: false, terminating: true }, nodeName: 'away' };
    const staying = { addresses: ['10.0.0.1'], nodeName: 'here' };
    const tracker = build();
    tracker.setSlice('ns/web', 'a', slice('a', [isGoingFirst ? going : staying]));
    tracker.setSlice('ns/web', 'b', slice('b', [isGoingFirst ? staying : going]));
    tracker.take();
    expect(tracker.states.get('ns/web')?.endpoints.get('http/tcp')).toMatchObject([
      { isLocal: true, isReady: true, isTerminating: false },
    ]);
  });

  it('takes hints, and is local only where the node is named', () => {
    const tracker = build();
    const hints = { forZones: [{ name: 'z1' }, { name: 'z2' }], forNodes: [{ name: 'here' }] };
    tracker.setSlice('ns/web', 'a', slice('a', [{ addresses: ['10.0.0.1'], hints }]));
    tracker.take();
    expect(tracker.states.get('ns/web')?.endpoints.get('http/tcp')).toEqual([
      {
        ip: '10.0.0.1',
        port: 8080,
        isLocal: false,
        isReady: true,
        isServing: true,
        isTerminating: false,
        zoneHints: ['z1', 'z2'],
        nodeHints: ['here'],
      },
    ]);
  });

  it('tells protocols of one port name apart, and takes an empty name', () => {
    const tracker = new ServiceTracker('IPv4', 'here');
    const ports = [
      { name: '', port: 53, protocol: 'TCP' },
      { name: '', port: 53, protocol: 'UDP' },
    ];
    tracker.setService('ns/web', service({ ports }));
    const dns = { ...slice('a', [{ addresses: ['10.0.0.1'] }]), ports: [{ name: '', port: 5353, protocol: 'UDP' }] };
    tracker.setSlice('ns/web', 'a', dns);
    tracker.take();
    expect([...(tracker.states.get('ns/web')?.endpoints.keys() ?? [])]).toEqual(['/udp']);
  });

  it('says when a change touches UDP', () => {
    const tracker = build();
    expect(tracker.take().touchesUdp).toBe(false);
    tracker.setService('ns/web', service({ ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] }));
    expect(tracker.take().touchesUdp).toBe(true);
    tracker.setService('ns/web', undefined);
    expect(tracker.take().touchesUdp).toBe(true);
  });
});
