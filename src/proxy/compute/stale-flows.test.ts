import { describe, expect, it } from 'vitest';
import type { Endpoint } from '../proxy-model.ts';
import { type UdpFlow, staleUdpFlows } from './stale-flows.ts';
import { testEndpoint, testPort, testState } from './test-objects.ts';

const dns = testPort({
  name: 'dns',
  portName: 'dns',
  protocol: 'udp',
  clusterIp: '10.96.0.10',
  port: 53,
  nodePort: 30_053,
});
const at = (ip: string, changes: Partial<Endpoint> = {}): Endpoint => testEndpoint(ip, { port: 5353, ...changes });
const flow = (toIp: string, toPort: number, replyFromIp: string, replyFromPort = 5353): UdpFlow => ({
  toIp,
  toPort,
  replyFromIp,
  replyFromPort,
});
const going = { isReady: false, isServing: true, isTerminating: true };

describe('staleUdpFlows', () => {
  it.each([
    {
      name: 'a flow to a serving endpoint goes on',
      endpoints: [at('10.1.0.2')],
      flow: flow('10.96.0.10', 53, '10.1.0.2'),
      stale: false,
    },
    {
      name: 'a flow to an endpoint that is gone',
      endpoints: [at('10.1.0.3')],
      flow: flow('10.96.0.10', 53, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'a flow to one that is going, but serves',
      endpoints: [at('10.1.0.2', going)],
      flow: flow('10.96.0.10', 53, '10.1.0.2'),
      stale: false,
    },
    {
      name: 'a flow from before there were endpoints',
      endpoints: [at('10.1.0.2')],
      flow: flow('10.96.0.10', 53, '10.96.0.10', 53),
      stale: true,
    },
    {
      name: 'a flow to a Service that has none left',
      endpoints: [],
      flow: flow('10.96.0.10', 53, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'a flow through the node port, whatever the address',
      endpoints: [at('10.1.0.3')],
      flow: flow('192.168.0.9', 30_053, '10.1.0.2'),
      stale: true,
    },
    {
      name: 'a flow that is not to a Service',
      endpoints: [at('10.1.0.3')],
      flow: flow('203.0.113.1', 53, '203.0.113.1', 53),
      stale: false,
    },
  ])('$name', ({ endpoints, flow: one, stale }) => {
    expect(staleUdpFlows([one], [testState(dns, endpoints)])).toEqual(stale ? [one] : []);
  });
});
