/**
 * One Service as its clients see it: each address and port that they may use, and what shall become of a packet to it.
 * The same words for what is wanted and for what is installed, whatever the mode. Pure.
 */
import { selectEndpoints } from '../compute/select-endpoints.ts';
import {
  type NodeFacts,
  type Protocol,
  type ServicePort,
  type ServiceState,
  endpointAddress,
  endpointsKey,
} from '../proxy-model.ts';

export type FrontendKind = 'cluster IP' | 'load balancer IP' | 'external IP' | 'node port';

export interface Frontend {
  readonly kind: FrontendKind;
  readonly protocol: Protocol;
  /** Empty for a NodePort: it answers on addresses of the node. */
  readonly ip: string;
  readonly port: number;
  /** Of the Service; may be empty. */
  readonly portName: string;
}

/** What becomes of a packet; `missing`: nothing is installed for it. */
export type Treatment =
  | { readonly kind: 'endpoints'; readonly to: readonly string[] }
  | { readonly kind: 'reject' | 'drop' | 'missing' };

export interface WantedFrontend extends Frontend {
  readonly wanted: Treatment;
}

/** `10.96.0.10:53/udp`, or `node port 30053/udp`. */
export function frontendText({ kind, ip, port, protocol }: Frontend): string {
  return kind === 'node port' ? `node port ${port}/${protocol}` : `${endpointAddress({ ip, port })}/${protocol}`;
}

/** What the node shall do with traffic from elsewhere; pods and the node itself may be treated better. */
export function wantedFrontends(service: ServiceState, node: NodeFacts): WantedFrontend[] {
  return service.ports.flatMap((port) => {
    const endpoints = service.endpoints.get(endpointsKey(port.portName, port.protocol)) ?? [];
    const { cluster, local, hasAny } = selectEndpoints(port, endpoints, node);
    const treat = (isLocalOnly: boolean): Treatment => {
      const to = isLocalOnly ? local : cluster;
      if (to.length > 0) return { kind: 'endpoints', to: to.map(endpointAddress) };
      return { kind: hasAny ? 'drop' : 'reject' };
    };
    return frontendsOf(port).map((frontend) => ({
      ...frontend,
      wanted: treat(frontend.kind === 'cluster IP' ? port.isInternalPolicyLocal : port.isExternalPolicyLocal),
    }));
  });
}

function frontendsOf(port: ServicePort): Frontend[] {
  const { protocol, portName } = port;
  const at = (kind: FrontendKind, ip: string, number = port.port): Frontend => ({
    kind,
    protocol,
    ip,
    port: number,
    portName,
  });
  return [
    at('cluster IP', port.clusterIp),
    ...port.loadBalancerIps.map((ip) => at('load balancer IP', ip)),
    ...port.externalIps.map((ip) => at('external IP', ip)),
    ...(port.nodePort === 0 ? [] : [at('node port', '', port.nodePort)]),
  ];
}

/** Whether the kernel does what it shall; the order of endpoints does not matter. */
export function isAsWanted(wanted: Treatment, installed: Treatment): boolean {
  if (wanted.kind !== 'endpoints' || installed.kind !== 'endpoints') return wanted.kind === installed.kind;
  const has = new Set(installed.to);
  return has.size === new Set(wanted.to).size && wanted.to.every((address) => has.has(address));
}

export function treatmentText(treatment: Treatment): string {
  return treatment.kind === 'endpoints' ? `to ${treatment.to.join(', ')}` : treatment.kind;
}
