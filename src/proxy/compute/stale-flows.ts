/** Which UDP flows still go to endpoints that no longer serve. Pure. */
import { type IpFamily, type ServiceState, endpointAddress, endpointsKey } from '../proxy-model.ts';

/** A flow of the connection table: where the client sent to, and who answers. */
export interface UdpFlow {
  readonly toIp: string;
  readonly toPort: number;
  readonly replyFromIp: string;
  readonly replyFromPort: number;
}

/**
 * The kernel keeps a UDP flow on its endpoint as long as the client sends. A flow to an address of a Service whose
 * answers come from something else than a serving endpoint is stale: also one from before the Service had endpoints,
 * and one to a Service that has none left. TCP ends by itself.
 */
export function staleUdpFlows(flows: readonly UdpFlow[], services: Iterable<ServiceState>): UdpFlow[] {
  const byAddress = new Map<string, Set<string>>();
  const byNodePort = new Map<number, Set<string>>();
  for (const { ports, endpoints } of services) {
    for (const port of ports) {
      if (port.protocol !== 'udp') continue;
      const serving = new Set(
        (endpoints.get(endpointsKey(port.portName, 'udp')) ?? [])
          .filter(({ isReady, isServing, isTerminating }) => isReady || (isServing && isTerminating))
          .map(endpointAddress),
      );
      for (const ip of [port.clusterIp, ...port.loadBalancerIps, ...port.externalIps]) {
        byAddress.set(endpointAddress({ ip, port: port.port }), serving);
      }
      if (port.nodePort !== 0) byNodePort.set(port.nodePort, serving);
    }
  }
  return flows.filter(({ toIp, toPort, replyFromIp, replyFromPort }) => {
    const serving = byAddress.get(endpointAddress({ ip: toIp, port: toPort })) ?? byNodePort.get(toPort);
    return serving !== undefined && !serving.has(endpointAddress({ ip: replyFromIp, port: replyFromPort }));
  });
}

/** Whether a change of this Service can leave stale flows behind. */
export function hasUdp(service: ServiceState | undefined): boolean {
  return service?.ports.some(({ protocol }) => protocol === 'udp') === true;
}

/** The family's name in the conntrack tool's words. */
export const conntrackFamily = (family: IpFamily): 'ipv4' | 'ipv6' => (family === 'IPv4' ? 'ipv4' : 'ipv6');
