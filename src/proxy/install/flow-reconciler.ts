/**
 * Ends flows of UDP and SCTP to endpoints that no longer serve, after the rules have changed: the kernel would keep them
 * there. Owns what has still to be looked at: a look that failed is done again with the next sync.
 *
 * Reads the connection table only when a Service with such ports has changed, at the start, and when all rules were
 * written anew. Good flows are not touched.
 */
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import {
  type Flow,
  type FlowProtocol,
  type FlowSurroundings,
  StaleFlows,
  conntrackFamily,
  flowAddress,
  flowProtocols,
} from '../compute/stale-flows.ts';
import { cidrContains, parseCidr } from '../compute/ip-ranges.ts';
import type { IpFamily, ServiceState } from '../proxy-model.ts';

export interface FlowTable {
  flows(
    family: 'ipv4' | 'ipv6',
    protocol: FlowProtocol,
    onFlow: (flow: Flow) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /** Returns how many entries of the table went. */
  deleteFlows(
    family: 'ipv4' | 'ipv6',
    protocol: FlowProtocol,
    flows: readonly Flow[],
    signal: AbortSignal,
  ): Promise<number>;
}

export interface FlowReconcilerNeed {
  family: IpFamily;
  table: FlowTable;
  /** The node's own addresses that NodePorts answer on. */
  nodePortIps: () => readonly string[];
  onReconciled: (durationMs: number, staleFlows: number, deletedEntries: number) => void;
  clock: Clock;
  log: Logger;
}

export interface FlowRequest {
  readonly services: ReadonlyMap<string, ServiceState>;
  /** Keys that differ since the last request; `'all'` when nothing may be relied on. */
  readonly changed: ReadonlySet<string> | 'all';
  /** Ranges that cluster IPs of the family come from; undefined or empty: not known. */
  readonly serviceCidrs?: readonly string[] | undefined;
  /** The endpoints of every EndpointSlice for a protocol, also of Services that others proxy; `ip:port`. */
  readonly endpoints: (protocol: FlowProtocol) => Iterable<{ readonly ip: string; readonly port: number }>;
}

/** Services taken over in one go before others get a turn. */
const servicesPerTurn = 200;

export class FlowReconciler {
  readonly #need: FlowReconcilerNeed;
  readonly #stale = new StaleFlows();
  /** Whose flows have to be looked at. */
  readonly #pending = new Set<FlowProtocol>();
  /** The ranges of cluster IPs that the last request named: at the start they may come after the Services. */
  #ranges = '';
  #isMissing = false;

  constructor(need: FlowReconcilerNeed) {
    this.#need = need;
  }

  /** To be called when the rules for `request` are in place. Does not reject. Returns whether it is to be tried again. */
  async reconcile(request: FlowRequest, signal: AbortSignal): Promise<{ mustRetry: boolean }> {
    const { services, changed, serviceCidrs = [] } = request;
    const ranges = serviceCidrs.join();
    const isNewRange = ranges !== '' && ranges !== this.#ranges;
    this.#ranges = ranges;
    if (changed === 'all' || isNewRange) for (const protocol of flowProtocols) this.#pending.add(protocol);
    const keys = changed === 'all' ? new Set([...services.keys(), ...this.#stale.keys()]) : changed;
    let taken = 0;
    for (const key of keys) {
      if (++taken % servicesPerTurn === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      for (const protocol of this.#stale.update(key, services.get(key))) this.#pending.add(protocol);
    }
    if (this.#pending.size === 0) return { mustRetry: false };
    const { clock, log, onReconciled } = this.#need;
    const startMs = clock.monotonicMs();
    try {
      let [staleFlows, deletedEntries] = [0, 0];
      for (const protocol of this.#pending) {
        const stale = await this.#staleFlows(protocol, request, signal);
        const deleted = await this.#delete(protocol, stale, signal);
        if (stale.count > 0)
          log.info({ protocol, flows: stale.count, deleted }, 'ended flows to endpoints that are gone');
        staleFlows += stale.count;
        deletedEntries += deleted;
        this.#pending.delete(protocol);
      }
      this.#stale.settled();
      this.#isMissing = false;
      onReconciled(clock.monotonicMs() - startMs, staleFlows, deletedEntries);
    } catch (err) {
      if (signal.aborted) return { mustRetry: false };
      const wasMissing = this.#isMissing;
      this.#isMissing = err instanceof Error && 'isMissing' in err && err.isMissing === true;
      const what = 'cannot end stale flows of UDP and SCTP, clients may wait for their time-out';
      if (this.#isMissing) {
        // it may be installed at any time: each sync tries, and what goes meanwhile is not kept
        this.#stale.settled();
        if (!wasMissing) log.warn(`${what}: there is no conntrack; run \`apt-get install conntrack\``);
      } else log.warn({ reason: describeError(err) }, `${what}; will retry`);
    }
    return { mustRetry: this.#pending.size > 0 && !this.#isMissing };
  }

  async #staleFlows(protocol: FlowProtocol, request: FlowRequest, signal: AbortSignal): Promise<StaleGroups> {
    const { table, family, nodePortIps } = this.#need;
    const surroundings = surroundingsOf(request, nodePortIps());
    const stale: StaleGroups = { count: 0, groups: new Map() };
    const onFlow = (flow: Flow): void => {
      if (!this.#stale.isStale(protocol, flow, surroundings)) return;
      stale.count++;
      const { toIp, toPort, replyFromIp, replyFromPort } = flow;
      stale.groups.set(`${toIp} ${toPort} ${replyFromIp} ${replyFromPort}`, flow);
    };
    await table.flows(conntrackFamily(family), protocol, onFlow, signal);
    return stale;
  }

  async #delete(protocol: FlowProtocol, { groups }: StaleGroups, signal: AbortSignal): Promise<number> {
    if (groups.size === 0) return 0;
    const { table, family } = this.#need;
    return table.deleteFlows(conntrackFamily(family), protocol, [...groups.values()], signal);
  }
}

/** Flows with the same two ends are deleted together. */
interface StaleGroups {
  count: number;
  groups: Map<string, Flow>;
}

function surroundingsOf(
  { serviceCidrs = [], endpoints }: FlowRequest,
  nodePortIps: readonly string[],
): FlowSurroundings {
  const cidrs = serviceCidrs.map(parseCidr).filter((cidr) => cidr !== undefined);
  const isOf = new Map<string, boolean>();
  const known = new Map<FlowProtocol, Set<string>>();
  return {
    nodePortIps: new Set(nodePortIps),
    isClusterIp: (ip) => {
      const before = isOf.get(ip);
      if (before !== undefined) return before;
      const is = cidrs.some((cidr) => cidrContains(cidr, ip));
      isOf.set(ip, is);
      return is;
    },
    isEndpoint: (protocol, address) => {
      // hardly ever asked: only for flows to cluster IPs that nobody serves
      let addresses = known.get(protocol);
      if (addresses === undefined) {
        addresses = new Set<string>();
        for (const { ip, port } of endpoints(protocol)) addresses.add(flowAddress(ip, port));
        known.set(protocol, addresses);
      }
      return addresses.has(address);
    },
  };
}
