/**
 * A cluster for tests: every Service type and field that a proxy looks at, as the API has it, in both families. What is
 * tried on it: golden files of the rules, and real rules in a network namespace.
 */
import type { Service, ServicePort } from '../../objects/generated/core-v1.ts';
import type { Endpoint, EndpointSlice } from '../../objects/generated/discovery-v1.ts';

export const modelNode = { name: 'here', zone: 'zone-a', ips: ['192.168.0.2', 'fd00:192::2'] };
export const modelClusterCidrs = ['10.244.0.0/16', 'fd00:244::/56'];

type Spec = NonNullable<Service['spec']>;
type ModelEndpoint = Partial<Omit<Endpoint, 'addresses'>>;

const here: ModelEndpoint = { nodeName: 'here' };
const unready: ModelEndpoint = { conditions: { ready: false, serving: false } };
const going: ModelEndpoint = { conditions: { ready: false, serving: true, terminating: true } };
const zone = (name: string): ModelEndpoint => ({ hints: { forZones: [{ name }] } });
const node = (name: string): ModelEndpoint => ({ hints: { forNodes: [{ name }], forZones: [{ name: 'zone-a' }] } });
const tcp80: ServicePort[] = [{ port: 80, protocol: 'TCP' }];
const vip = (ip: string, ipMode?: string) => (ipMode === undefined ? { ip } : { ip, ipMode });
const both = (last: string, mode?: string) => [vip(`203.0.113.${last}`, mode), vip(`2001:db8::${last}`, mode)];

interface ModelService {
  name: string;
  namespace?: string;
  spec?: Partial<Spec>;
  ingress?: Array<{ ip?: string; ipMode?: string; hostname?: string }>;
  endpoints?: ModelEndpoint[];
}

const services: ModelService[] = [
  {
    name: 'kubernetes',
    namespace: 'default',
    spec: { ports: [{ name: 'https', port: 443, protocol: 'TCP' }] },
    endpoints: [{}],
  },
  {
    name: 'kube-dns',
    namespace: 'kube-system',
    spec: {
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
    },
    endpoints: [{}, here],
  },
  { name: 'three', endpoints: [{}, {}, {}, unready] },
  { name: 'none' },
  { name: 'headless', spec: { clusterIP: 'None', clusterIPs: ['None'] }, endpoints: [{}] },
  { name: 'alias', spec: { type: 'ExternalName', externalName: 'example.org' } },
  { name: 'sticky', spec: { sessionAffinity: 'ClientIP' }, endpoints: [{}, {}] },
  { name: 'streams', spec: { ports: [{ name: 'sctp', port: 5000, protocol: 'SCTP' }] }, endpoints: [{}] },
  { name: 'here-only', spec: { internalTrafficPolicy: 'Local' }, endpoints: [here, {}] },
  { name: 'elsewhere', spec: { internalTrafficPolicy: 'Local' }, endpoints: [{}] },
  { name: 'near', endpoints: [zone('zone-a'), zone('zone-b')] },
  { name: 'nearest', endpoints: [node('here'), node('there')] },
  { name: 'leaving', endpoints: [going, { ...going, ...here }] },
  {
    name: 'node-port',
    spec: { type: 'NodePort', ports: [{ port: 80, protocol: 'TCP', nodePort: 30_080 }] },
    endpoints: [{}, here],
  },
  { name: 'node-port-none', spec: { type: 'NodePort', ports: [{ port: 53, protocol: 'UDP', nodePort: 30_053 }] } },
  { name: 'outside', spec: { externalIPs: ['198.51.100.1', '2001:db8:1::1'] }, endpoints: [{}] },
  {
    name: 'outside-local',
    spec: { externalIPs: ['198.51.100.2', '2001:db8:1::2'], externalTrafficPolicy: 'Local' },
    endpoints: [here, {}],
  },
  {
    name: 'balanced',
    spec: {
      type: 'LoadBalancer',
      ports: [{ port: 80, protocol: 'TCP', nodePort: 30_081 }],
      loadBalancerSourceRanges: ['198.51.100.0/24', ' 192.168.0.0/16', 'fd00:192::/64'],
    },
    ingress: both('1', 'VIP'),
    endpoints: [{}],
  },
  {
    name: 'balanced-open',
    spec: {
      type: 'LoadBalancer',
      allocateLoadBalancerNodePorts: false,
      loadBalancerSourceRanges: ['198.51.100.0/24', '0.0.0.0/0', '::/0'],
    },
    ingress: both('2'),
    endpoints: [{}],
  },
  {
    name: 'balanced-by-proxy',
    spec: { type: 'LoadBalancer', ports: [{ port: 80, protocol: 'TCP', nodePort: 30_082 }] },
    ingress: [...both('3', 'Proxy'), { hostname: 'balancer.example.org' }],
    endpoints: [{}],
  },
  {
    name: 'balanced-local',
    spec: {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 32_000,
      ports: [{ port: 80, protocol: 'TCP', nodePort: 30_083 }],
    },
    ingress: both('4'),
    endpoints: [here, {}],
  },
  {
    name: 'balanced-elsewhere',
    spec: {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 32_001,
      ports: [{ port: 80, protocol: 'TCP', nodePort: 30_084 }],
    },
    ingress: both('5'),
    endpoints: [{}],
  },
  {
    name: 'balanced-none',
    spec: {
      type: 'LoadBalancer',
      externalIPs: ['198.51.100.6', '2001:db8:1::6'],
      loadBalancerSourceRanges: ['198.51.100.0/24', '2001:db8:1::/64'],
      ports: [{ port: 80, protocol: 'TCP', nodePort: 30_085 }],
    },
    ingress: both('6'),
  },
];

export const modelServices: readonly Service[] = services.map(({ name, namespace = 'shop', spec, ingress }, i) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace, name },
  spec: {
    type: 'ClusterIP',
    clusterIP: `10.96.0.${i + 1}`,
    clusterIPs: [`10.96.0.${i + 1}`, `fd00:96::${i + 1}`],
    ipFamilies: ['IPv4', 'IPv6'],
    ports: tcp80,
    ...spec,
  },
  ...(ingress === undefined ? {} : { status: { loadBalancer: { ingress } } }),
}));

export const modelSlices: readonly EndpointSlice[] = services.flatMap(
  ({ name, namespace = 'shop', spec, endpoints = [] }, i) =>
    (['IPv4', 'IPv6'] as const).map((addressType) => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace, name: `${name}-${addressType}`, labels: { 'kubernetes.io/service-name': name } },
      addressType,
      endpoints: endpoints.map((endpoint, n) => ({
        addresses: [addressType === 'IPv4' ? `10.244.${i}.${n + 9}` : `fd00:244::${i}:${n + 9}`],
        nodeName: 'there',
        ...endpoint,
      })),
      ports: (spec?.ports ?? tcp80).map(({ name: portName = '', port, protocol = 'TCP' }) => ({
        name: portName,
        port: port + 8000,
        protocol,
      })),
    })),
);
