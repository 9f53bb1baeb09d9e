import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../../proxy-model.ts';
import { testEndpoint, testPort, testState } from '../test-objects.ts';
import { type ElementContext, serviceElements } from './service-elements.ts';

const context: ElementContext = {
  family: 'IPv4',
  masqueradeMark: '0x00004000',
  masqueradeAll: false,
  localTraffic: { kind: 'source', cidr: '10.180.0.0/16' },
  nodePortIps: undefined,
  serviceCidrs: [],
  node: { name: 'node-1', zone: undefined, ip: '192.168.0.2' },
};

function elementsOf(port: Partial<ServicePort>, endpoints: readonly Endpoint[]): string[] {
  const { elements } = serviceElements(testState(testPort(port), endpoints), context, () => true);
  return [...elements].map(([key, value]) => (value === '' ? key : `${key} : ${value}`)).toSorted();
}

const here = testEndpoint('10.180.0.1', { isLocal: true });
const there = testEndpoint('10.180.1.1');

describe('serviceElements', () => {
  it.each<{ name: string; port: Partial<ServicePort>; endpoints: Endpoint[]; want: string[] }>([
    {
      name: 'a cluster IP leads to the chain for two endpoints, of which each has a number',
      port: {},
      endpoints: [here, there],
      want: [
        'cluster-ips 172.30.0.41',
        'hairpin-connections 10.180.0.1 . 10.180.0.1 . tcp . 80',
        'service-ips 172.30.0.41 . tcp . 80 : goto cluster-tcp-2',
        'tcp-endpoints 172.30.0.41 . 80 . 0 : 10.180.0.1 . 80',
        'tcp-endpoints 172.30.0.41 . 80 . 1 : 10.180.1.1 . 80',
      ],
    },
    {
      name: 'without endpoints it is refused',
      port: {},
      endpoints: [],
      want: ['cluster-ips 172.30.0.41', 'no-endpoint-services 172.30.0.41 . tcp . 80 : goto reject-chain'],
    },
    {
      name: 'an internal policy Local keeps to this node',
      port: { isInternalPolicyLocal: true },
      endpoints: [here, there],
      want: [
        'cluster-ips 172.30.0.41',
        'hairpin-connections 10.180.0.1 . 10.180.0.1 . tcp . 80',
        'service-ips 172.30.0.41 . tcp . 80 : goto cluster-tcp-1',
        'tcp-endpoints 172.30.0.41 . 80 . 0 : 10.180.0.1 . 80',
      ],
    },
    {
      name: 'an internal policy Local without an endpoint here drops',
      port: { isInternalPolicyLocal: true },
      endpoints: [there],
      want: ['cluster-ips 172.30.0.41', 'no-endpoint-services 172.30.0.41 . tcp . 80 : drop'],
    },
    {
      name: 'a node port has a map of its own',
      port: { protocol: 'udp', nodePort: 30_080 },
      endpoints: [there],
      want: [
        'cluster-ips 172.30.0.41',
        'service-ips 172.30.0.41 . udp . 80 : goto cluster-udp-1',
        'service-nodeports udp . 30080 : goto nodeport-external-udp-1',
        'udp-endpoints 172.30.0.41 . 80 . 0 : 10.180.1.1 . 80',
        'udp-nodeport-endpoints 30080 . 0 : 10.180.1.1 . 80',
      ],
    },
    {
      name: 'an external policy Local: outsiders here, pods and the node anywhere',
      port: { nodePort: 30_080, externalIps: ['192.0.2.1'], isExternalPolicyLocal: true },
      endpoints: [here, there],
      want: [
        'cluster-ips 172.30.0.41',
        'hairpin-connections 10.180.0.1 . 10.180.0.1 . tcp . 80',
        'local-traffic-ips 192.0.2.1 . tcp . 80 : goto local-traffic-tcp-2',
        'local-traffic-nodeports tcp . 30080 : goto nodeport-local-traffic-tcp-2',
        'service-ips 172.30.0.41 . tcp . 80 : goto cluster-tcp-2',
        'service-ips 192.0.2.1 . tcp . 80 : goto external-local-tcp-1',
        'service-nodeports tcp . 30080 : goto nodeport-external-local-tcp-1',
        'tcp-endpoints 172.30.0.41 . 80 . 0 : 10.180.0.1 . 80',
        'tcp-endpoints 172.30.0.41 . 80 . 1 : 10.180.1.1 . 80',
        'tcp-endpoints 192.0.2.1 . 80 . 0 : 10.180.0.1 . 80',
        'tcp-endpoints 192.0.2.1 . 80 . 1000000 : 10.180.0.1 . 80',
        'tcp-endpoints 192.0.2.1 . 80 . 1000001 : 10.180.1.1 . 80',
        'tcp-nodeport-endpoints 30080 . 0 : 10.180.0.1 . 80',
        'tcp-nodeport-endpoints 30080 . 1000000 : 10.180.0.1 . 80',
        'tcp-nodeport-endpoints 30080 . 1000001 : 10.180.1.1 . 80',
      ],
    },
    {
      name: 'an external policy Local without an endpoint here: outsiders are dropped, pods and the node served',
      port: { nodePort: 30_080, isExternalPolicyLocal: true },
      endpoints: [there],
      want: [
        'cluster-ips 172.30.0.41',
        'local-traffic-nodeports tcp . 30080 : goto nodeport-local-traffic-tcp-1',
        'no-endpoint-nodeports tcp . 30080 : drop',
        'service-ips 172.30.0.41 . tcp . 80 : goto cluster-tcp-1',
        'service-nodeports tcp . 30080 : goto nodeport-external-local-tcp-0',
        'tcp-endpoints 172.30.0.41 . 80 . 0 : 10.180.1.1 . 80',
        'tcp-nodeport-endpoints 30080 . 1000000 : 10.180.1.1 . 80',
      ],
    },
    {
      name: "a balancer's address is guarded even without endpoints; a range inside another is left out",
      port: { loadBalancerIps: ['5.6.7.8'], sourceRanges: ['10.0.0.7/8', '10.1.0.0/16', '203.0.113.9/32'] },
      endpoints: [],
      want: [
        'cluster-ips 172.30.0.41',
        'firewall-ips 5.6.7.8 . tcp . 80',
        'no-endpoint-services 172.30.0.41 . tcp . 80 : goto reject-chain',
        'no-endpoint-services 5.6.7.8 . tcp . 80 : goto reject-chain',
        'source-ranges 5.6.7.8 . tcp . 80 . 10.0.0.0/8',
        'source-ranges 5.6.7.8 . tcp . 80 . 203.0.113.9',
      ],
    },
    {
      name: 'ranges that hold the node let the balancer’s own address in, too',
      port: { loadBalancerIps: ['5.6.7.8'], sourceRanges: ['192.168.0.0/24'] },
      endpoints: [there],
      want: [
        'cluster-ips 172.30.0.41',
        'firewall-ips 5.6.7.8 . tcp . 80',
        'service-ips 172.30.0.41 . tcp . 80 : goto cluster-tcp-1',
        'service-ips 5.6.7.8 . tcp . 80 : goto external-tcp-1',
        'source-ranges 5.6.7.8 . tcp . 80 . 192.168.0.0/24',
        'source-ranges 5.6.7.8 . tcp . 80 . 5.6.7.8',
        'tcp-endpoints 172.30.0.41 . 80 . 0 : 10.180.1.1 . 80',
        'tcp-endpoints 5.6.7.8 . 80 . 0 : 10.180.1.1 . 80',
      ],
    },
    {
      name: 'affinity leads every address to the chains of the Service itself',
      port: { affinitySeconds: 10_800, nodePort: 30_080 },
      endpoints: [there],
      want: [
        'cluster-ips 172.30.0.41',
        'service-ips 172.30.0.41 . tcp . 80 : goto sticky-cluster-ns1/svc1/tcp/p80',
        'service-nodeports tcp . 30080 : goto sticky-external-ns1/svc1/tcp/p80',
      ],
    },
  ])('$name', ({ port, endpoints, want }) => {
    expect(elementsOf(port, endpoints)).toEqual(want.toSorted());
  });

  it('leaves an address to whom it is given', () => {
    const service = testState(testPort({ externalIps: ['192.0.2.1'] }), [there]);
    const { elements } = serviceElements(service, context, (frontend) => !frontend.startsWith('192.0.2.1'));
    expect([...elements.keys()].filter((key) => key.includes('192.0.2.1'))).toEqual([]);
  });
});
