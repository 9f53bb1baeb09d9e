import type { RestoreInput } from '../../../adapters/iptables/iptables.ts';
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import type { LocalTraffic } from '../../compute/local-traffic.ts';
import { type NodePortAddresses, matchingAddresses } from '../../compute/node-port-addresses.ts';
import {
  type RuleContext,
  type ServiceRules,
  localhostCounter,
  serviceRules,
} from '../../compute/iptables/service-rules.ts';
import { invalidCounter, nodePortJumps, staticRules } from '../../compute/iptables/static-rules.ts';
import { type IpFamily, type ServiceState, endpointsKey } from '../../proxy-model.ts';
import { type Installer, PartialSyncError, type SyncReport, type SyncRequest } from '../installer.ts';
import { type OwnChain, diffServiceRules } from './diff-service-rules.ts';
import { ExistingRules } from './existing-rules.ts';
import { type ExpectedRules, type LookNeed, lookQuickly, lookThoroughly } from './look-at-rules.ts';
import { type RestorePlan, restoreText } from './restore-text.ts';
import { RuleTally } from './rule-tally.ts';
import { SharedChanges } from './shared-changes.ts';
import { servicesMax, splitRestore } from './split-restore.ts';
import { watchRules } from './watch-rules.ts';

export interface IptablesNeed extends LookNeed {
  restore(input: RestoreInput, signal: AbortSignal): Promise<void>;
}

export interface IptablesInstallerNeed {
  iptables: IptablesNeed;
  /** Makes a packet counter that rules can name; false where there can be none. */
  ensureCounter: (name: string, signal: AbortSignal) => Promise<boolean>;
  /** The machine's own addresses of the family, read when NodePorts are limited to some of them. */
  interfaceIps: () => string[];
  clock: Clock;
  log: Logger;
}

export interface IptablesInstallerOptions {
  family: IpFamily;
  masqueradeMark: string;
  masqueradeAll: boolean;
  /** NodePorts on 127.0.0.1; IPv4 only, and only where `nodePortAddresses` covers it. */
  localhostNodePorts: boolean;
  dropsInvalid: boolean;
  /** Read at each sync: both follow the node object. */
  nodePortAddresses: () => NodePortAddresses;
  localTraffic: () => LocalTraffic | undefined;
  /** How often the rules are compared with what was written; a quick look comes more often. */
  syncPeriodMs: number;
}

/** Above this many endpoints the rules go without comments, and chains are not scanned every hour. */
const largeClusterEndpoints = 1000;
const fullSyncPeriodMs = 3_600_000;
const quickLookMs = 5000;
/** Services handled in one go before others get a turn: a few milliseconds of work. */
const sliceSize = 25;

type Services = SyncRequest['services'];

/**
 * Services as iptables rules. Owns the picture of what the kernel holds of ours: the Services as they were installed,
 * from which their rules can be computed again. A full sync writes everything and removes what no Service claims; any
 * other writes what differs between the rules of a changed Service then and now, and looks at no other Service.
 */
export class IptablesInstaller implements Installer {
  readonly #options: IptablesInstallerOptions;
  readonly #need: IptablesInstallerNeed;
  readonly #installed = new Map<string, ServiceState>();
  #tally = new RuleTally();
  #endpointCount = 0;
  #needsFull = true;
  #lastFullMs = 0;
  #contextText = '';
  #fixed: ReadonlyMap<string, readonly string[]> = new Map();
  #syncNumber = 0;
  /** Which packet counters there are for our rules. */
  #counts = { invalid: false, localhost: false };

  constructor(options: IptablesInstallerOptions, need: IptablesInstallerNeed) {
    this.#options = options;
    this.#need = need;
  }

  async sync({ services, changed, node }: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    const { family, masqueradeAll } = this.#options;
    if (changed === 'all' || this.#needsFull) await this.#ensureCounters(signal);
    const fixed = this.#fixedRules();
    const countsLocalhost = this.#counts.localhost && this.#hasLocalhostNodePorts;
    const base = { family, node, masqueradeAll, localTraffic: this.#options.localTraffic(), countsLocalhost };
    // whatever all rules depend on: when it is different, all rules are
    const contextText = JSON.stringify([base, Object.fromEntries(fixed)]);
    const nowMs = this.#need.clock.monotonicMs();
    const isFull =
      changed === 'all' ||
      this.#needsFull ||
      contextText !== this.#contextText ||
      (nowMs - this.#lastFullMs > fullSyncPeriodMs && !this.#isLargeCluster);
    this.#needsFull = true; // until this sync has succeeded
    this.#syncNumber++;
    this.#fixed = fixed;

    const keys = isFull ? [...services.keys()] : [...changed];
    this.#countEndpoints(keys, services, isFull);
    // rules that are there keep their comments, or go on without, until they are written for another reason
    const context: RuleContext = { ...base, isLargeCluster: this.#isLargeCluster };
    const written = { filter: 0, nat: 0 };
    try {
      const steps = isFull
        ? await this.#planFull(keys, services, context, fixed, signal)
        : await this.#planChanges(keys, services, context, fixed);
      for (const step of steps) {
        const counted = { filter: 0, nat: 0 };
        await this.#need.iptables.restore(() => restoreText(step, counted), signal);
        written.filter += counted.filter;
        written.nat += counted.nat;
      }
    } catch (err) {
      throw isFull ? err : new PartialSyncError('Cannot write the changed iptables rules', { cause: err });
    }
    for (const key of keys) {
      const service = services.get(key);
      if (service === undefined) this.#installed.delete(key);
      else this.#installed.set(key, service);
    }
    this.#needsFull = false;
    this.#contextText = contextText;
    if (isFull) this.#lastFullMs = nowMs;
    const total = this.#tally.total(fixed);
    const rules = new Map([
      ['filter', { total: total.filter, written: written.filter }],
      ['nat', { total: total.nat, written: written.nat }],
    ]);
    return { isFull, lacksLocal: this.#tally.lacksLocal, rules };
  }

  watch(onLost: () => void, signal: AbortSignal): Promise<void> {
    const lost = (): void => {
      this.#needsFull = true;
      onLost();
    };
    const { iptables, clock } = this.#need;
    const { syncPeriodMs } = this.#options;
    const log = this.#need.log.child({ family: this.#options.family });
    const looks = [
      {
        look: (inner: AbortSignal) => lookQuickly(iptables, this.#expected(), inner),
        ruleCount: () => this.#tally.inChain('nat KUBE-SERVICES'),
        periodMs: Math.min(quickLookMs, syncPeriodMs),
      },
      {
        look: (inner: AbortSignal) => lookThoroughly(iptables, this.#expected(), inner),
        ruleCount: () => this.#tally.ownRules,
        periodMs: syncPeriodMs,
      },
    ];
    const syncNumber = (): number | undefined => (this.#needsFull ? undefined : this.#syncNumber);
    return watchRules({ looks, syncNumber, onLost: lost, clock, log }, signal);
  }

  #expected(): ExpectedRules {
    const fixed = this.#fixed;
    const tally = this.#tally;
    return {
      inChain: (chain) => tally.inChain(chain) + (fixed.get(chain)?.length ?? 0),
      inServiceChains: tally.ownRules,
    };
  }

  /** Everything, and the removal of chains that no Service claims. */
  async #planFull(
    keys: readonly string[],
    services: Services,
    context: RuleContext,
    fixed: ReadonlyMap<string, readonly string[]>,
    signal: AbortSignal,
  ): Promise<RestorePlan[]> {
    const existing = await this.#readExisting(signal);
    const stale = new Set(existing.nat.serviceChains);
    this.#tally = new RuleTally();
    this.#installed.clear();
    for await (const rules of rulesOfEach(keys, services, context)) {
      this.#tally.add(rules, 1);
      for (const { chains } of rules) for (const { chain } of chains) stale.delete(chain);
    }
    const { dirty, edits } = new SharedChanges(true, (chain) => this.#tally.inChain(chain));
    const sharedLines = linesOfShared(services, context);
    const plan = { isFull: true, existing, dirty, edits, fixed, sharedLines };
    return splitRestore(plan, keys, [...stale], (some) => () => ownChains(some, services, context));
  }

  /** What differs for the Services `keys`. */
  async #planChanges(
    keys: readonly string[],
    services: Services,
    context: RuleContext,
    fixed: ReadonlyMap<string, readonly string[]>,
  ): Promise<RestorePlan[]> {
    const changes = new SharedChanges(false, (chain) => this.#tally.inChain(chain));
    const written: OwnChain[] = [];
    const writtenKeys: string[] = [];
    const stale: string[] = [];
    for (const [i, key] of keys.entries()) {
      if (i % sliceSize === sliceSize - 1) await yieldTurn();
      const had = rulesOf(this.#installed.get(key), context);
      const has = rulesOf(services.get(key), context);
      this.#tally.add(had, -1);
      this.#tally.add(has, 1);
      const { chains, gone, shared } = diffServiceRules(had, has);
      changes.add(shared);
      stale.push(...gone);
      if (chains.length === 0) continue;
      writtenKeys.push(key);
      if (writtenKeys.length <= servicesMax) written.push(...chains);
    }
    // many are computed again when their turn comes, and written whole, rather than held
    const isSmall = writtenKeys.length <= servicesMax;
    const { dirty, edits } = changes;
    const plan = {
      isFull: false,
      existing: undefined,
      dirty,
      edits,
      fixed,
      sharedLines: linesOfShared(services, context),
    };
    return splitRestore(
      plan,
      writtenKeys,
      stale,
      (some) => () => (isSmall && some.length > 0 ? Promise.resolve(written) : ownChains(some, services, context)),
    );
  }

  get #isLargeCluster(): boolean {
    return this.#endpointCount > largeClusterEndpoints;
  }

  #countEndpoints(keys: readonly string[], services: Services, isFull: boolean): void {
    if (isFull) this.#endpointCount = 0;
    for (const key of keys) {
      if (!isFull) this.#endpointCount -= endpointCount(this.#installed.get(key));
      this.#endpointCount += endpointCount(services.get(key));
    }
  }

  #fixedRules(): Map<string, readonly string[]> {
    const { family, masqueradeMark, dropsInvalid, nodePortAddresses } = this.#options;
    const addresses = nodePortAddresses();
    const localhostNodePorts = this.#hasLocalhostNodePorts;
    const countsInvalid = this.#counts.invalid;
    const rules = staticRules({ family, masqueradeMark, dropsInvalid, localhostNodePorts, countsInvalid });
    const ips = addresses.isMatchAll ? undefined : matchingAddresses(addresses, this.#need.interfaceIps());
    return new Map([...Object.entries(rules), ['nat KUBE-SERVICES', nodePortJumps(family, ips, localhostNodePorts)]]);
  }

  /** IPv4 alone can: its loopback is a network, and the kernel has a switch to route it. */
  get #hasLocalhostNodePorts(): boolean {
    const { family, localhostNodePorts, nodePortAddresses } = this.#options;
    return family === 'IPv4' && localhostNodePorts && nodePortAddresses().containsIpv4Loopback;
  }

  async #ensureCounters(signal: AbortSignal): Promise<void> {
    const { ensureCounter } = this.#need;
    const wants = { invalid: this.#options.dropsInvalid, localhost: this.#hasLocalhostNodePorts };
    this.#counts = {
      invalid: wants.invalid && (await ensureCounter(invalidCounter, signal)),
      localhost: wants.localhost && (await ensureCounter(localhostCounter, signal)),
    };
  }

  async #readExisting(signal: AbortSignal): Promise<{ filter: ExistingRules; nat: ExistingRules }> {
    const existing = { filter: new ExistingRules('filter'), nat: new ExistingRules('nat') };
    await this.#need.iptables.save('filter', (line) => existing.filter.read(line), signal);
    await this.#need.iptables.save('nat', (line) => existing.nat.read(line), signal);
    return existing;
  }
}

function rulesOf(service: ServiceState | undefined, context: RuleContext): ServiceRules[] {
  if (service === undefined) return [];
  const { ports, endpoints } = service;
  return ports.map((port) =>
    serviceRules(port, endpoints.get(endpointsKey(port.portName, port.protocol)) ?? [], context),
  );
}

/** A Service's rules after the other; now and then everybody else has a turn. */
async function* rulesOfEach(
  keys: Iterable<string>,
  services: Services,
  context: RuleContext,
): AsyncGenerator<ServiceRules[]> {
  let i = 0;
  for (const key of keys) {
    if (++i % sliceSize === 0) await yieldTurn();
    yield rulesOf(services.get(key), context);
  }
}

/** Computed when they are written, instead of kept: they are the bulk. */
async function ownChains(keys: readonly string[], services: Services, context: RuleContext): Promise<OwnChain[]> {
  const all: OwnChain[] = [];
  for await (const rules of rulesOfEach(keys, services, context)) all.push(...rules.flatMap(({ chains }) => chains));
  return all;
}

function linesOfShared(services: Services, context: RuleContext): RestorePlan['sharedLines'] {
  return async function* (table, wanted) {
    for await (const rules of rulesOfEach(services.keys(), services, context)) {
      for (const { shared } of rules) {
        for (const { chain, rule } of shared) {
          if (wanted.has(chain)) yield `-A ${chain.slice(table.length + 1)} ${rule}`;
        }
      }
    }
  };
}

function endpointCount(service: ServiceState | undefined): number {
  if (service === undefined) return 0;
  return service.ports.reduce(
    (sum, { portName, protocol }) => sum + (service.endpoints.get(endpointsKey(portName, protocol))?.length ?? 0),
    0,
  );
}

/** Lets what waits have its turn. */
function yieldTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
