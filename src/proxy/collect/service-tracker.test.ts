import { describe, expect, it } from 'vitest';
import type { Service, ServiceSpec } from '../../objects/generated/core-v1.ts';
import type { Endpoint, EndpointSlice } from '../../objects/generated/discovery-v1.ts';
import { type ServicePort, endpointAddress } from '../proxy-model.ts';
import { knownService, knownSlice } from './known-objects.ts';
import { type EndpointLists, isSameEndpoints } from './merge-endpoint-slices.ts';
import { isSamePorts, servicePorts } from './service-ports.ts';
import { ServiceTracker } from './service-tracker.ts';

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
      // an unread range would let everybody in
      name: 'addresses as older objects may have them: zeros in front mean nothing',
      spec: { externalIPs: ['203.000.113.01'], loadBalancerSourceRanges: ['010.1.0.0/16', '10.0.0.7/8'] },
      want: [{ externalIps: ['203.0.113.1'], sourceRanges: ['10.1.0.0/16', '10.0.0.7/8'] }],
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

  it('has one spelling for each IPv6 address, the one that the kernel shows', () => {
    const spec = {
      clusterIPs: ['10.96.0.1', 'FD00:0::1'],
      externalIPs: ['2001:DB8:0::9'],
      loadBalancerSourceRanges: ['2001:DB8::/32'],
    };
    const status = { loadBalancer: { ingress: [{ ip: '2001:0db8::1' }, { hostname: 'a.example' }] } };
    expect(servicePorts(service(spec, status), 'IPv6')).toMatchObject([
      {
        clusterIp: 'fd00::1',
        externalIps: ['2001:db8::9'],
        loadBalancerIps: ['2001:db8::1'],
        sourceRanges: ['2001:db8::/32'],
      },
    ]);
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

const portsOf = (one: Service): readonly ServicePort[] => knownService(one).ports.IPv4;
const listsOf = (one: EndpointSlice): EndpointLists => knownSlice(one, 'here').endpoints;

describe('knownSlice', () => {
  it('passes over other families, and ports without a name or number', () => {
    const ports = [{ port: 1 }, { name: 'http' }, { name: 'x', port: 1, protocol: 'GRE' }];
    expect(listsOf({ ...slice('a', [{ addresses: ['10.0.0.1'] }]), ports }).size).toBe(0);
    expect(listsOf(slice('a', [{ addresses: ['fd00::1'] }])).get('http/tcp')).toEqual([]);
    const ofNames = { ...slice('a', [{ addresses: ['x.example'] }]), addressType: 'FQDN' };
    expect(knownSlice(ofNames, 'here')).toMatchObject({ family: undefined, endpoints: new Map() });
    const ipv6 = { ...slice('a', [{ addresses: ['fd00::1'] }]), addressType: 'IPv6' };
    expect(knownSlice(ipv6, 'here')).toMatchObject({ family: 'IPv6', serviceKey: 'ns/web' });
  });

  it.each([
    { name: 'ready', change: { conditions: { ready: false } } },
    { name: 'serving', change: { conditions: { serving: false } } },
    { name: 'terminating', change: { conditions: { terminating: true } } },
    { name: 'local', change: { nodeName: 'here' } },
    { name: 'hinted for a zone', change: { hints: { forZones: [{ name: 'z' }] } } },
    { name: 'hinted for a node', change: { hints: { forNodes: [{ name: 'n' }] } } },
    { name: 'its address', change: { addresses: ['10.0.0.2'] } },
    { name: 'a second address, which nobody uses', change: { addresses: ['10.0.0.1', '10.0.0.2'] }, isSame: true },
    { name: 'its pod, which nobody uses', change: { targetRef: { name: 'pod' } }, isSame: true },
  ])('is another one when an endpoint differs: $name', ({ change, isSame = false }) => {
    const before = listsOf(slice('a', [{ addresses: ['10.0.0.1'] }]));
    expect(isSameEndpoints(before, listsOf(slice('a', [{ addresses: ['10.0.0.1'], ...change }])))).toBe(isSame);
  });

  it.each([
    { ports: [{ name: 'other', port: 80 }] },
    { ports: [{ name: 'http', port: 81 }] },
    { ports: [{ name: 'http', port: 80, nodePort: 30_000 }] },
    { ports: [{ name: 'http', port: 80, protocol: 'UDP' }] },
    { clusterIPs: ['10.96.0.2'] },
    { externalIPs: ['1.2.3.4'] },
    { sessionAffinity: 'ClientIP' },
    { internalTrafficPolicy: 'Local' },
    { type: 'NodePort', externalTrafficPolicy: 'Local' },
    { loadBalancerSourceRanges: ['10.0.0.0/8'] },
    { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 31_000 },
  ] satisfies Array<Partial<ServiceSpec>>)('and a Service when %o', (change) => {
    expect(isSamePorts(portsOf(service()), portsOf(service()))).toBe(true);
    expect(isSamePorts(portsOf(service()), portsOf(service(change)))).toBe(false);
  });
});

describe('ServiceTracker', () => {
  const build = () => {
    const tracker = new ServiceTracker();
    tracker.setService('ns/web', portsOf(service()));
    return tracker;
  };
  const addresses = (tracker: ServiceTracker): string[] =>
    (tracker.states.get('ns/web')?.endpoints.get('http/tcp') ?? []).map(endpointAddress);

  it('merges slices in byte order, an address once', async () => {
    const tracker = build();
    tracker.setSlice('ns/web', 'a', listsOf(slice('a', [{ addresses: ['10.0.0.9'] }, { addresses: ['10.0.0.10'] }])));
    tracker.setSlice('ns/web', 'b', listsOf(slice('b', [{ addresses: ['10.0.0.9', '10.0.0.99'] }])));
    await tracker.take();
    expect(addresses(tracker)).toEqual(['10.0.0.10:8080', '10.0.0.9:8080']);
  });

  it('prefers the new pod when an address is used again', async () => {
    const tracker = build();
    const going = { addresses: ['10.0.0.1'], conditions: { ready: false, serving: true, terminating: true } };
    tracker.setSlice('ns/web', 'a', listsOf(slice('a', [{ addresses: ['10.0.0.1'], nodeName: 'here' }])));
    tracker.setSlice('ns/web', 'b', listsOf(slice('b', [going])));
    await tracker.take();
    expect(tracker.states.get('ns/web')?.endpoints.get('http/tcp')).toMatchObject([{ isReady: true, isLocal: true }]);
  });

  it('names only Services that differ, however many events there were', async () => {
    const tracker = build();
    expect([...(await tracker.take())]).toEqual(['ns/web']);
    expect(tracker.setService('ns/web', portsOf(service()))).toBe(false);
    tracker.setSlice('ns/web', 'a', listsOf(slice('a', [{ addresses: ['10.0.0.1'] }])));
    tracker.setSlice('ns/web', 'a', undefined);
    expect([...(await tracker.take())]).toEqual([]);
    tracker.setService('ns/web', []);
    expect([...(await tracker.take())]).toEqual(['ns/web']);
    expect(tracker.states.size).toBe(0);
  });

  it('keeps endpoints that come before their Service, and passes over those without one', async () => {
    const tracker = new ServiceTracker();
    tracker.setSlice('ns/web', 'a', listsOf(slice('a', [{ addresses: ['10.0.0.1'] }])));
    expect([...(await tracker.take())]).toEqual([]);
    tracker.setService('ns/web', portsOf(service()));
    await tracker.take();
    expect(addresses(tracker)).toEqual(['10.0.0.1:8080']);
  });

  it('counts Services that differ, and changes of endpoints', async () => {
    const tracker = build();
    expect(tracker.pending).toEqual({ serviceChanges: 1, endpointChanges: 0 });
    await tracker.take();
    const other = service({ ports: [{ name: 'http', port: 81 }] });
    tracker.setService('ns/web', portsOf(other));
    tracker.setService('ns/web', portsOf(service({ ports: [{ name: 'http', port: 82 }] })));
    expect(tracker.pending.serviceChanges).toBe(1);
    tracker.setService('ns/web', portsOf(service())); // as it was
    expect(tracker.pending.serviceChanges).toBe(0);
    tracker.setSlice('ns/web', 'a', listsOf(slice('a', [{ addresses: ['10.0.0.1'] }])));
    tracker.setSlice('ns/web', 'a', listsOf(slice('a', [{ addresses: ['10.0.0.2'] }])));
    expect(tracker.pending.endpointChanges).toBe(2);
    await tracker.take();
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
  ])('takes conditions with $name', async ({ conditions, want }) => {
    const tracker = build();
    tracker.setSlice('ns/web', 'a', listsOf(slice('a', [{ addresses: ['10.0.0.1'], conditions }])));
    await tracker.take();
    expect(tracker.states.get('ns/web')?.endpoints.get('http/tcp')).toMatchObject([want]);
  });

  it.each([
    { name: 'a going one first', isGoingFirst: true },
    { name: 'a going one last', isGoingFirst: false },
  ])('of two with one address takes the one that stays: $name', async ({ isGoingFirst }) => {
    const going = { addresses: ['10.0.0.1'], conditions: { ready: false, terminating: true }, nodeName: 'away' };
    const staying = { addresses: ['10.0.0.1'], nodeName: 'here' };
    const tracker = build();
    tracker.setSlice('ns/web', 'a', listsOf(slice('a', [isGoingFirst ? going : staying])));
    tracker.setSlice('ns/web', 'b', listsOf(slice('b', [isGoingFirst ? staying : going])));
    await tracker.take();
    expect(tracker.states.get('ns/web')?.endpoints.get('http/tcp')).toMatchObject([
      { isLocal: true, isReady: true, isTerminating: false },
    ]);
  });

  it('takes hints, and is local only where the node is named', async () => {
    const tracker = build();
    const hints = { forZones: [{ name: 'z1' }, { name: 'z2' }], forNodes: [{ name: 'here' }] };
    tracker.setSlice('ns/web', 'a', listsOf(slice('a', [{ addresses: ['10.0.0.1'], hints }])));
    await tracker.take();
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

  it('tells protocols of one port name apart, and takes an empty name', async () => {
    const tracker = new ServiceTracker();
    const ports = [
      { name: '', port: 53, protocol: 'TCP' },
      { name: '', port: 53, protocol: 'UDP' },
    ];
    tracker.setService('ns/web', portsOf(service({ ports })));
    const dns = { ...slice('a', [{ addresses: ['10.0.0.1'] }]), ports: [{ name: '', port: 5353, protocol: 'UDP' }] };
    tracker.setSlice('ns/web', 'a', listsOf(dns));
    await tracker.take();
    expect([...(tracker.states.get('ns/web')?.endpoints.keys() ?? [])]).toEqual(['/udp']);
  });

  it('tells which Services have a health check port', async () => {
    const tracker = build();
    const keys = async (spec: Partial<ServiceSpec> | undefined): Promise<string[]> => {
      tracker.setService('ns/balanced', spec === undefined ? [] : portsOf(service(spec)));
      await tracker.take();
      return [...tracker.balanced.keys()];
    };
    const balanced = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 31_000 };
    expect(await keys(balanced)).toEqual(['ns/balanced']);
    expect(await keys({})).toEqual([]);
    expect(await keys(balanced)).toEqual(['ns/balanced']);
    expect(await keys(undefined)).toEqual([]);
  });

  it('tells the endpoints of a protocol in all slices', () => {
    const tracker = build();
    const dns = { ...slice('a', [{ addresses: ['10.0.0.1'] }]), ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] };
    tracker.setSlice('ns/nobody', 'a', listsOf(dns));
    tracker.setSlice('ns/web', 'b', listsOf(slice('b', [{ addresses: ['10.0.0.2'] }])));
    expect([...tracker.endpointsOf('udp')].map(endpointAddress)).toEqual(['10.0.0.1:53']);
  });
});
