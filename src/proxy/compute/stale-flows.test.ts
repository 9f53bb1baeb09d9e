import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort, ServiceState } from '../proxy-model.ts';
import { type Flow, type FlowProtocol, type FlowSurroundings, StaleFlows } from './stale-flows.ts';
import { testEndpoint, testPort, testState } from './test-objects.ts';

const dns = (changes: Partial<ServicePort> = {}): ServicePort =>
  testPort({
    name: 'dns',
    portName: 'dns',
    protocol: 'udp',
    clusterIp: '10.96.0.10',
    port: 53,
    nodePort: 30_053,
    externalIps: ['203.0.113.7'],
    loadBalancerIps: ['203.0.113.8'],
    ...changes,
  });
const at = (ip: string, changes: Partial<Endpoint> = {}): Endpoint => testEndpoint(ip, { port: 5353, ...changes });
const flow = (toIp: string, toPort: number, replyFromIp: string, replyFromPort = 5353): Flow => ({
  toIp,
  toPort,
  replyFromIp,
  replyFromPort,
});
const going = { isReady: false, isServing: true, isTerminating: true };
const surroundings: FlowSurroundings = {
  nodePortIps: new Set(['192.168.0.9', '127.0.0.1']),
  isClusterIp: (ip) => ip.startsWith('10.96.'),
  isEndpoint: (protocol, address) => protocol === 'udp' && address === '10.1.0.99:5353',
};

const isStale = (one: Flow, states: readonly ServiceState[], protocol: FlowProtocol = 'udp'): boolean => {
  const flows = new StaleFlows();
  for (const state of states) flows.update(state.key, state);
  return flows.isStale(protocol, one, surroundings);
};

describe('a flow to an address that is served', () => {
  const clusterIp = flow('10.96.0.10', 53, '10.1.0.2');
  it.each([
    { name: 'goes on to a serving endpoint', endpoints: [at('10.1.0.2')], flow: clusterIp, stale: false },
    { name: 'is stale when its endpoint is gone', endpoints: [at('10.1.0.3')], flow: clusterIp, stale: true },
    {
      name: 'goes on to one that is going, but serves',
      endpoints: [at('10.1.0.2', going)],
      flow: clusterIp,
      stale: false,
    },
    {
      name: 'is stale when its endpoint is not ready',
      endpoints: [at('10.1.0.2', { isReady: false }), at('10.1.0.3')],
      flow: clusterIp,
      stale: true,
    },
    {
      name: 'is stale when its endpoint has another port now',
      endpoints: [at('10.1.0.2', { port: 53 })],
      flow: clusterIp,
      stale: true,
    },
    {
      name: 'is stale when it is from before there were endpoints',
      endpoints: [at('10.1.0.2')],
      flow: flow('10.96.0.10', 53, '10.96.0.10', 53),
      stale: true,
    },
    { name: 'is stale when there are none left', endpoints: [], flow: clusterIp, stale: true },
    {
      name: 'is stale through the node port',
      endpoints: [at('10.1.0.3')],
      flow: flow('192.168.0.9', 30_053, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'goes on through the node port',
      endpoints: [at('10.1.0.2')],
      flow: flow('127.0.0.1', 30_053, '10.1.0.2'),
      stale: false,
    },
    {
      name: 'is none of ours at another machine with the number of a node port',
      endpoints: [at('10.1.0.3')],
      flow: flow('198.51.100.1', 30_053, '198.51.100.1', 30_053),
      stale: false,
    },
    {
      name: 'is stale through an external address',
      endpoints: [at('10.1.0.3')],
      flow: flow('203.0.113.7', 53, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'is stale through a balancer',
      endpoints: [at('10.1.0.3')],
      flow: flow('203.0.113.8', 53, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'is none of ours at another port of the address',
      endpoints: [at('10.1.0.3')],
      flow: flow('203.0.113.8', 54, '203.0.113.8', 54),
      stale: false,
    },
    {
      name: 'is none of ours elsewhere',
      endpoints: [at('10.1.0.3')],
      flow: flow('203.0.113.1', 53, '203.0.113.1', 53),
      stale: false,
    },
  ])('$name', ({ endpoints, flow: one, stale }) => {
    expect(isStale(one, [testState(dns(), endpoints)])).toBe(stale);
    const sctp = testState(dns({ protocol: 'sctp' }), endpoints);
    expect(isStale(one, [sctp], 'sctp')).toBe(stale);
    // the ports of one protocol are not those of another
    if (one.toIp !== '10.96.0.10') expect(isStale(one, [sctp], 'udp')).toBe(false);
  });

  it('goes on when one of two Services at the address serves it', () => {
    const other = testState(dns({ name: 'other', clusterIp: '10.96.0.11', nodePort: 0 }), [at('10.1.0.9')]);
    const both = [testState(dns(), [at('10.1.0.2')]), other];
    expect(isStale(flow('203.0.113.7', 53, '10.1.0.9'), both)).toBe(false);
    expect(isStale(flow('203.0.113.7', 53, '10.1.0.3'), both)).toBe(true);
  });

  it('is compared by address, whatever form an IPv6 one has', () => {
    const state = testState(dns({ clusterIp: 'FD00:0::A' }), [at('fd01:0:0::02')]);
    expect(isStale(flow('fd00::a', 53, 'fd01::2'), [state])).toBe(false);
    expect(isStale(flow('fd00::a', 53, 'fd01::3'), [state])).toBe(true);
  });

  it('never is one of TCP', () => {
    const flows = new StaleFlows();
    expect(flows.update('ns/web', testState(dns({ protocol: 'tcp' }), []))).toEqual(new Set());
    expect([...flows.keys()]).toEqual([]);
  });
});

describe('a flow to an address that nobody serves', () => {
  const before = testState(dns(), [at('10.1.0.2'), at('10.1.0.4', { isReady: false, isServing: false })]);
  const after = (changes: Partial<ServicePort>): ServiceState => testState(dns(changes), [at('10.1.0.2')]);
  it.each([
    { name: 'its Service is gone', now: undefined, flow: flow('10.96.0.10', 53, '10.1.0.2'), stale: true },
    {
      name: 'its Service is gone, node port',
      now: undefined,
      flow: flow('192.168.0.9', 30_053, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'its endpoint did not serve any more',
      now: undefined,
      flow: flow('203.0.113.7', 53, '10.1.0.4'),
      stale: true,
    },
    {
      name: 'the external address is gone',
      now: after({ externalIps: [] }),
      flow: flow('203.0.113.7', 53, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'another address stays',
      now: after({ externalIps: [] }),
      flow: flow('203.0.113.8', 53, '10.1.0.2'),
      stale: false,
    },
    { name: 'the port is another', now: after({ port: 54 }), flow: flow('10.96.0.10', 53, '10.1.0.2'), stale: true },
    {
      name: 'the node port is gone',
      now: after({ nodePort: 0 }),
      flow: flow('127.0.0.1', 30_053, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'the balancer is gone',
      now: after({ loadBalancerIps: [] }),
      flow: flow('203.0.113.8', 53, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'it goes where somebody else sends it',
      now: undefined,
      flow: flow('203.0.113.7', 53, '10.9.9.9'),
      stale: false,
    },
    {
      name: 'it was never turned away',
      now: undefined,
      flow: flow('203.0.113.7', 53, '203.0.113.7', 53),
      stale: false,
    },
  ])('$name: stale $stale', ({ now, flow: one, stale }) => {
    const flows = new StaleFlows();
    flows.update('ns1/dns', before);
    expect(flows.update('ns1/dns', now)).toEqual(new Set(['udp']));
    expect(flows.isStale('udp', one, surroundings)).toBe(stale);
  });

  it('is forgotten once it has been dealt with', () => {
    const flows = new StaleFlows();
    flows.update('ns1/dns', before);
    flows.update('ns1/dns', undefined);
    flows.settled();
    expect(flows.isStale('udp', flow('203.0.113.7', 53, '10.1.0.2'), surroundings)).toBe(false);
    expect([...flows.keys()]).toEqual([]);
  });

  it.each([
    { name: 'a cluster IP, to what is no endpoint', flow: flow('10.96.7.7', 53, '10.1.0.2'), stale: true },
    { name: 'a cluster IP, to the endpoint of some Service', flow: flow('10.96.7.7', 53, '10.1.0.99'), stale: false },
    { name: 'a cluster IP, not turned away', flow: flow('10.96.7.7', 53, '10.96.7.7', 53), stale: false },
    { name: 'no cluster IP', flow: flow('192.0.2.1', 53, '10.1.0.2'), stale: false },
  ])('after a restart, $name: stale $stale', ({ flow: one, stale }) => {
    expect(isStale(one, [])).toBe(stale);
  });
});
