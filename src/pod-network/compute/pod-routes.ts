/** Which routes lead to other nodes' pods, and what has to change for them. Pure. */
import type { KernelRoute, NodeFacts, PodRoute, Problem } from '../pod-network-model.ts';
import { familyOf } from './networks.ts';

/** One route for each pod network of each other node; of nodes that claim the same network the first by name has it. */
export function wantedRoutes(
  own: NodeFacts,
  others: readonly NodeFacts[],
): { routes: PodRoute[]; problems: Problem[] } {
  const routes: PodRoute[] = [];
  const problems: Problem[] = [];
  const owners = new Map(own.podCidrs.map((cidr) => [cidr, own.name]));
  const tell = (node: string, destination: string, message: string): void => {
    problems.push({ key: `${node} ${destination}`, node, message });
  };
  for (const { name, podCidrs, internalIps } of others.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    for (const destination of podCidrs) {
      const family = familyOf(destination);
      const gateway = internalIps.find((ip) => familyOf(ip) === family);
      const owner = owners.get(destination);
      if (owner !== undefined) {
        tell(name, destination, `pods of node "${name}" are not reachable: node "${owner}" has ${destination}, too`);
      } else if (gateway === undefined) {
        tell(
          name,
          destination,
          `pods of node "${name}" in ${destination} are not reachable: it has no ${family} InternalIP`,
        );
      } else if (own.internalIps.includes(gateway)) {
        tell(name, destination, `pods of node "${name}" are not reachable: its InternalIP ${gateway} is this node's`);
      } else {
        owners.set(destination, name);
        routes.push({ node: name, destination, gateway });
      }
    }
  }
  return { routes, problems };
}

export type RouteChange =
  | { kind: 'add' | 'replace'; route: PodRoute }
  | { kind: 'delete'; route: KernelRoute & { gateway: string } };

/**
 * What has to change. Somebody else's route to the same pods stays: it serves us when it leads to the same node, and is
 * a problem when it does not.
 */
export function planRoutes(
  wanted: readonly PodRoute[],
  present: readonly KernelRoute[],
): { changes: RouteChange[]; problems: Problem[] } {
  const byDestination = Map.groupBy(present, ({ destination }) => destination);
  const changes: RouteChange[] = [];
  const problems: Problem[] = [];
  for (const route of wanted) {
    const { node, destination, gateway } = route;
    const same = byDestination.get(destination) ?? [];
    if (same.some((one) => one.gateway === gateway)) continue;
    const foreign = same.find(({ isOurs }) => !isOurs);
    if (foreign !== undefined) {
      const way = foreign.gateway ?? foreign.device ?? 'nowhere';
      problems.push({
        key: `${node} ${destination}`,
        node,
        message: `pods of node "${node}" may not be reachable: another program's route leads ${destination} to ${way}, expected ${gateway}`,
      });
      continue;
    }
    changes.push({ kind: same.length > 0 ? 'replace' : 'add', route });
  }
  const destinations = new Set(wanted.map(({ destination }) => destination));
  for (const route of present) {
    const { destination, gateway, isOurs } = route;
    if (isOurs && gateway !== undefined && !destinations.has(destination)) {
      changes.push({ kind: 'delete', route: { ...route, gateway } });
    }
  }
  return { changes, problems };
}

/** A line for `ip -batch`. */
export function routeCommand(change: RouteChange, protocol: number): string {
  const { destination, gateway } = change.route;
  return `route ${change.kind} ${destination} via ${gateway} proto ${protocol}`;
}

/** Whether all wanted routes are there, as far as a cheap look can tell. */
export function hasAllRoutes(
  wanted: readonly PodRoute[],
  present: ReadonlyArray<Pick<KernelRoute, 'destination' | 'gateway'>>,
): boolean {
  const known = new Set(present.map(({ destination, gateway }) => `${destination} ${gateway}`));
  return wanted.every(({ destination, gateway }) => known.has(`${destination} ${gateway}`));
}
