/** Which endpoints of a service port get its traffic: traffic policies, topology hints, terminating endpoints. Pure. */
import type { Endpoint, NodeFacts, ServicePort } from '../proxy-model.ts';

export interface SelectedEndpoints {
  /** For traffic that may go anywhere. Empty when the port has no use for it. */
  readonly cluster: readonly Endpoint[];
  /** For traffic that must stay on this node. Empty when the port has no use for it. */
  readonly local: readonly Endpoint[];
  /** All that some traffic can reach, in the order of the input. */
  readonly reachable: readonly Endpoint[];
  /** Whether any node could serve the port: what tells "refuse" from "drop". */
  readonly hasAny: boolean;
}

export function isExternallyAccessible(port: ServicePort): boolean {
  return port.nodePort !== 0 || port.loadBalancerIps.length > 0 || port.externalIps.length > 0;
}

export function usesClusterEndpoints(port: ServicePort): boolean {
  return !port.isInternalPolicyLocal || isExternallyAccessible(port);
}

export function usesLocalEndpoints(port: ServicePort): boolean {
  return port.isInternalPolicyLocal || (port.isExternalPolicyLocal && isExternallyAccessible(port));
}

export function selectEndpoints(port: ServicePort, endpoints: readonly Endpoint[], node: NodeFacts): SelectedEndpoints {
  const isNear = topologyFilter(endpoints, node);
  let cluster: readonly Endpoint[] = [];
  let hasAny = false;
  if (usesClusterEndpoints(port)) {
    cluster = endpoints.filter((endpoint) => endpoint.isReady && (isNear === undefined || isNear(endpoint)));
    // better a terminating endpoint that still answers than none; where it is no longer matters then
    if (cluster.length === 0) cluster = endpoints.filter(isServingTerminating);
    hasAny = cluster.length > 0;
  }
  if (!usesLocalEndpoints(port)) return { cluster, local: [], reachable: cluster, hasAny };

  const here = endpoints.filter(({ isLocal }) => isLocal);
  let local: readonly Endpoint[] = here.filter(({ isReady }) => isReady);
  if (local.length === 0) local = here.filter(isServingTerminating);
  hasAny ||= endpoints.some((endpoint) => endpoint.isReady || isServingTerminating(endpoint));
  const wanted = new Set([...cluster, ...local]);
  return { cluster, local, reachable: endpoints.filter((endpoint) => wanted.has(endpoint)), hasAny };
}

function isServingTerminating({ isServing, isTerminating }: Endpoint): boolean {
  return isServing && isTerminating;
}

/** The hints' rule for this node; undefined when they are incomplete, and then everybody may serve. */
function topologyFilter(
  endpoints: readonly Endpoint[],
  { name, zone }: NodeFacts,
): ((endpoint: Endpoint) => boolean) | undefined {
  const ready = endpoints.filter(({ isReady }) => isReady);
  if (ready.length === 0) return undefined;
  if (ready.every(({ nodeHints }) => hasHints(nodeHints)) && ready.some((e) => e.nodeHints?.includes(name) === true)) {
    return ({ nodeHints }) => nodeHints?.includes(name) === true;
  }
  if (zone === undefined || zone === '') return undefined;
  if (ready.every(({ zoneHints }) => hasHints(zoneHints)) && ready.some((e) => e.zoneHints?.includes(zone) === true)) {
    return ({ zoneHints }) => zoneHints?.includes(zone) === true;
  }
  return undefined;
}

function hasHints(hints: readonly string[] | undefined): boolean {
  return hints !== undefined && hints.length > 0;
}
