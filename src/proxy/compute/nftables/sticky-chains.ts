/**
 * Session affinity: the chains of a service port whose clients stay with their endpoints. Pure.
 *
 * One set remembers pairs of client and endpoint, for all Services; an endpoint is a number in it that its service port
 * and address make, so that every address of the port shares its clients. The chain tries the pairs one by one, then
 * draws. A pair of an endpoint that is gone is simply tried no more.
 */
import { createHash } from 'node:crypto';
import { type Endpoint, type ServicePort, endpointAddress } from '../../proxy-model.ts';
import { localTrafficRules, masquerade } from './shared-chains.ts';
import { type LayoutContext, familyWords } from './table-layout.ts';

export interface StickyChains {
  /** Chain names with their rules. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Numbers of endpoints that clients may be remembered with. */
  readonly numbers: readonly number[];
}

export function stickyChainName(kind: 'cluster' | 'local' | 'external', port: ServicePort): string {
  return `sticky-${kind}-${identity(port)}`;
}

export function stickyChains(
  port: ServicePort,
  { cluster, local, isExternal }: { cluster: readonly Endpoint[]; local: readonly Endpoint[]; isExternal: boolean },
  timeoutSeconds: number,
  context: LayoutContext,
): StickyChains {
  const chains = new Map<string, string[]>();
  if (cluster.length > 0) {
    chains.set(stickyChainName('cluster', port), chooseRules(port, cluster, timeoutSeconds, context));
  }
  if (local.length > 0) {
    chains.set(stickyChainName('local', port), chooseRules(port, local, timeoutSeconds, context));
  }
  if (isExternal && chains.size > 0) {
    chains.set(stickyChainName('external', port), externalRules(port, cluster.length > 0, local.length > 0, context));
  }
  const endpoints = new Set([...cluster, ...local]);
  return { chains, numbers: [...endpoints].map((endpoint) => endpointNumber(port, endpoint)) };
}

/** The endpoint's number in the set `affinity`. */
export function endpointNumber(port: ServicePort, { ip, port: targetPort }: Endpoint): number {
  const name = `${identity(port)}__${ip}/${targetPort}`;
  return createHash('sha256').update(name).digest().readUInt32BE(0) >>> 1;
}

function chooseRules(
  port: ServicePort,
  endpoints: readonly Endpoint[],
  timeoutSeconds: number,
  { family }: LayoutContext,
): string[] {
  const { ip } = familyWords(family);
  const { protocol } = port;
  const sticky: string[] = [];
  const random: string[] = [];
  for (const [i, endpoint] of endpoints.entries()) {
    const pair = `${ip} saddr . numgen random mod 1 offset ${endpointNumber(port, endpoint)}`;
    const go = `update @affinity { ${pair} timeout ${timeoutSeconds}s } meta l4proto ${protocol} dnat to ${endpointAddress(endpoint)}`;
    const left = endpoints.length - i;
    sticky.push(`${pair} @affinity ${go}`);
    // of those left over by the rules before, every one has the same chance
    random.push(left > 1 ? `numgen random mod ${left} 0 ${go}` : go);
  }
  const all = endpoints.map(({ ip: to, port: toPort }, i) => `${i} : ${to} . ${toPort}`).join(' , ');
  return [
    ...sticky,
    ...random,
    // only reached when the set is full: better an endpoint that is not remembered than none
    `meta l4proto ${protocol} dnat ${ip} to numgen random mod ${endpoints.length} map { ${all} }`,
  ];
}

function externalRules(port: ServicePort, hasCluster: boolean, hasLocal: boolean, context: LayoutContext): string[] {
  const goCluster = `goto ${stickyChainName('cluster', port)}`;
  if (!port.isExternalPolicyLocal) return hasCluster ? [masquerade(context), goCluster] : [];
  return [
    ...(hasCluster ? localTrafficRules(context, goCluster) : []),
    ...(hasLocal ? [`goto ${stickyChainName('local', port)}`] : []),
  ];
}

/** Unique, and legal in a chain's name. */
function identity({ namespace, name, protocol, portName }: ServicePort): string {
  return `${namespace}/${name}/${protocol}/${portName}`;
}
