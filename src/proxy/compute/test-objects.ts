/** Service ports and endpoints for tests: a plain one, and what differs. */
import type { Endpoint, ServicePort, ServiceState } from '../proxy-model.ts';
import { endpointsKey } from '../proxy-model.ts';

export function testPort(changes: Partial<ServicePort> = {}): ServicePort {
  return {
    namespace: 'ns1',
    name: 'svc1',
    portName: 'p80',
    protocol: 'tcp',
    clusterIp: '172.30.0.41',
    port: 80,
    nodePort: 0,
    externalIps: [],
    loadBalancerIps: [],
    sourceRanges: [],
    affinitySeconds: undefined,
    isExternalPolicyLocal: false,
    isInternalPolicyLocal: false,
    healthCheckNodePort: 0,
    ...changes,
  };
}

export function testEndpoint(ip: string, changes: Partial<Endpoint> = {}): Endpoint {
  return {
    ip,
    port: 80,
    isLocal: false,
    isReady: true,
    isServing: true,
    isTerminating: false,
    zoneHints: undefined,
    nodeHints: undefined,
    ...changes,
  };
}

export function testState(port: ServicePort, endpoints: readonly Endpoint[]): ServiceState {
  return {
    key: `${port.namespace}/${port.name}`,
    ports: [port],
    endpoints: new Map([[endpointsKey(port.portName, port.protocol), endpoints]]),
  };
}
