/** Chains that Services share: one for each way of serving and number of endpoints, made when first used. Pure. */
import type { Protocol } from '../../proxy-model.ts';
import { type LayoutContext, endpointsMap, familyWords, fromHere, nodePortEndpointsMap } from './table-layout.ts';

/**
 * - `cluster`: to one of the endpoints
 * - `external`: the same, masqueraded
 * - `external-local`: to one of the endpoints on this node; pods and the node itself go by `local-traffic`
 * - `local-traffic`: to any endpoint, as through the cluster IP
 */
export type ChainRole = 'cluster' | 'external' | 'external-local' | 'local-traffic';
export type Frontends = 'ips' | 'nodeports';

/** Endpoints for local traffic lie in the same map as the others, from this number on. */
export const localTrafficOffset = 1_000_000;

export function sharedChainName(role: ChainRole, frontends: Frontends, protocol: Protocol, count: number): string {
  return `${frontends === 'ips' ? '' : 'nodeport-'}${role}-${protocol}-${count}`;
}

const pattern = /^(nodeport-)?(cluster|external|external-local|local-traffic)-(tcp|udp|sctp)-(\d+)$/;

/** The chain's rules, told from its name; undefined when it is no such chain. */
export function sharedChainRules(name: string, context: LayoutContext): string[] | undefined {
  const match = pattern.exec(name);
  if (match === null) return undefined;
  const [, nodePort, role, protocol, countText] = match;
  const frontends: Frontends = nodePort === undefined ? 'ips' : 'nodeports';
  const count = Number(countText);
  const toEndpoint = dnat(context, frontends, protocol as Protocol, count, role === 'local-traffic'); // of the pattern
  switch (role as ChainRole) {
    case 'cluster':
    case 'local-traffic':
      return [toEndpoint];
    case 'external':
      return [masquerade(context), toEndpoint];
    case 'external-local': {
      const { family } = context;
      const shortCircuit =
        frontends === 'ips'
          ? `${familyWords(family).ip} daddr . meta l4proto . th dport vmap @local-traffic-ips`
          : 'meta l4proto . th dport vmap @local-traffic-nodeports';
      return [...localTrafficRules(context, shortCircuit), ...(count === 0 ? [] : [toEndpoint])];
    }
  }
}

export const masquerade = ({ masqueradeMark }: LayoutContext): string =>
  `mark set mark or ${masqueradeMark} comment "masquerade"`;

/** Pods and the node itself go where a Local policy sends nobody else. `go` is a verdict statement. */
export function localTrafficRules({ family, localTraffic, masqueradeMark }: LayoutContext, go: string): string[] {
  return [
    ...(localTraffic === undefined
      ? []
      : [`${fromHere(family, localTraffic)} ${go} comment "short-circuit pod traffic"`]),
    `fib saddr type local mark set mark or ${masqueradeMark} comment "masquerade local traffic"`,
    `fib saddr type local ${go} comment "short-circuit local traffic"`,
  ];
}

function dnat(
  { family }: LayoutContext,
  frontends: Frontends,
  protocol: Protocol,
  count: number,
  isLocalTraffic: boolean,
): string {
  const { ip } = familyWords(family);
  const draw = `numgen random mod ${count}${isLocalTraffic ? ` offset ${localTrafficOffset}` : ''}`;
  return frontends === 'ips'
    ? `dnat ${ip} to ${ip} daddr . ${protocol} dport . ${draw} map @${endpointsMap(protocol)}`
    : `dnat ${ip} to ${protocol} dport . ${draw} map @${nodePortEndpointsMap(protocol)}`;
}
