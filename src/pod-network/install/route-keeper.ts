/** Keeps the routes to other nodes' pods. */
import { glanceAtRoutes, listRoutes, tryIpCommands } from '../../adapters/host-network/routes.ts';
import { hasAllRoutes, planRoutes, routeCommand } from '../compute/pod-routes.ts';
import type { KernelRoute, PodRoute, Problem } from '../pod-network-model.ts';

/** The kernel remembers who made a route by a number, which is free to choose: by this one we know ours again. */
export const routeProtocol = 107;

export class RouteKeeper {
  /** What the last full look was for; undefined when it left something undone. */
  #settled: readonly PodRoute[] | undefined;
  #problems: Problem[] = [];

  /** A full look only when other routes are wanted, one is missing, or the last one left something undone. */
  async keep(wanted: readonly PodRoute[], signal: AbortSignal): Promise<{ written: number; problems: Problem[] }> {
    const isSettled = this.#settled !== undefined && JSON.stringify(this.#settled) === JSON.stringify(wanted);
    if (isSettled && hasAllRoutes(wanted, await glanceAtRoutes())) return { written: 0, problems: this.#problems };
    this.#settled = undefined;
    const { changes, problems } = planRoutes(wanted, await kernelRoutes(signal));
    const failures = await tryIpCommands(
      changes.map((change) => routeCommand(change, routeProtocol)),
      signal,
    );
    for (const [index, reason] of failures) {
      const change = changes[index];
      if (change === undefined || change.kind === 'delete') continue; // gone with its interface, or still there at the next look
      const { node, destination, gateway } = change.route;
      problems.push({
        key: `${node} ${destination}`,
        node,
        message: `pods of node "${node}" are not reachable: no route to ${destination} via ${gateway} is possible (${reason}); nodes have to be in one network`,
      });
    }
    if (failures.size === 0 && problems.length === 0) this.#settled = [...wanted];
    this.#problems = problems;
    return { written: changes.length - failures.size, problems };
  }
}

/** Removes every route of ours. @returns how many */
export async function removeRoutes(signal: AbortSignal): Promise<number> {
  const { changes } = planRoutes([], await kernelRoutes(signal));
  await tryIpCommands(
    changes.map((change) => routeCommand(change, routeProtocol)),
    signal,
  );
  const left = planRoutes([], await kernelRoutes(signal)).changes;
  if (left.length > 0) throw new Error(`Cannot remove ${left.length} of ${changes.length} routes: they come back`);
  return changes.length;
}

async function kernelRoutes(signal: AbortSignal): Promise<KernelRoute[]> {
  const routes = await listRoutes(signal);
  return routes.map(({ destination, gateway, device, protocol }) => ({
    destination,
    gateway,
    device,
    isOurs: protocol === String(routeProtocol),
  }));
}
