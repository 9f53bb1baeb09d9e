import type { IpTable, RestoreInput } from '../../../adapters/iptables/iptables.ts';
import type { Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/logger.ts';
import type { LocalTraffic } from '../../compute/local-traffic.ts';
import { type NodePortAddresses, matchingAddresses } from '../../compute/node-port-addresses.ts';
import {
  type RuleContext,
  type ServiceRules,
  type SharedChain,
  serviceRules,
} from '../../compute/iptables/service-rules.ts';
import { nodePortJumps, sharedChains, staticRules } from '../../compute/iptables/static-rules.ts';
import { type IpFamily, type ServiceState, endpointsKey } from '../../proxy-model.ts';
import { type Installer, PartialSyncError, type SyncReport, type SyncRequest } from '../installer.ts';
import { watchCanary } from './canary.ts';
import { ExistingRules } from './existing-rules.ts';
import { type RestorePlan, restoreText } from './restore-text.ts';
import { splitRestore } from './split-restore.ts';

export interface IptablesNeed {
  save(table: IpTable, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
  restore(input: RestoreInput, signal: AbortSignal): Promise<void>;
  chain(table: IpTable, chain: string, signal: AbortSignal): Promise<string[] | undefined>;
}

export interface IptablesInstallerNeed {
  iptables: IptablesNeed;
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
  /** How often the canary is looked at. */
  canaryPeriodMs: number;
}

/** Above this many endpoints the rules go without comments, and chains are not scanned every hour. */
const largeClusterEndpoints = 1000;
const fullSyncPeriodMs = 3_600_000;
/** Services handled in one go before others get a turn: well under 20 ms of work. */
const sliceSize = 100;

/** What one Service has in the kernel. */
interface Installed {
  readonly shared: ReadonlyMap<SharedChain, readonly string[]>;
  readonly chainNames: readonly string[];
  readonly chainRuleCount: number;
  readonly lacksInternal: number;
  readonly lacksExternal: number;
}

/**
 * Services as iptables rules. Owns the picture of what the kernel holds of ours. A full sync writes everything and
 * removes what no Service claims; any other writes the chains of changed Services, and of the shared chains those
 * whose text is different now: the kernel is given no more work than the change makes.
 */
export class IptablesInstaller implements Installer {
  readonly #options: IptablesInstallerOptions;
  readonly #need: IptablesInstallerNeed;
  readonly #installed = new Map<string, Installed>();
  #needsFull = true;
  #lastFullMs = 0;
  #contextText = '';

  constructor(options: IptablesInstallerOptions, need: IptablesInstallerNeed) {
    this.#options = options;
    this.#need = need;
  }

  async sync({ services, changed, node }: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    const { family, masqueradeAll } = this.#options;
    const context: RuleContext = {
      family,
      node,
      masqueradeAll,
      localTraffic: this.#options.localTraffic(),
      isLargeCluster: countEndpoints(services) > largeClusterEndpoints,
    };
    const fixed = this.#fixedRules();
    // whatever all rules depend on: when it is different, all rules are
    const contextText = JSON.stringify([context, Object.fromEntries(fixed)]);
    const nowMs = this.#need.clock.monotonicMs();
    const isFull =
      changed === 'all' ||
      this.#needsFull ||
      contextText !== this.#contextText ||
      (nowMs - this.#lastFullMs > fullSyncPeriodMs && !context.isLargeCluster);
    this.#needsFull = true; // until this sync has succeeded

    const keys = isFull ? [...services.keys()] : [...changed];
    const { dirty, stale } = await this.#recompute(keys, services, context, isFull);
    const existing = isFull ? await this.#readExisting(signal) : undefined;
    if (existing !== undefined) {
      const claimed = new Set([...this.#installed.values()].flatMap(({ chainNames }) => chainNames));
      for (const chain of existing.nat.serviceChains) if (!claimed.has(chain)) stale.add(chain);
    }
    const ofServices = (some: readonly string[]): Pick<RestorePlan, 'chainNames' | 'ownChains'> => ({
      chainNames: () => some.flatMap((key) => this.#installed.get(key)?.chainNames ?? []),
      ownChains: () => ownChains(some, services, context),
    });
    const plan = { isFull, existing, dirty, fixed, sharedRules: (chain: string) => this.#sharedRules(chain) };
    const written = { filter: 0, nat: 0 };
    try {
      for (const step of splitRestore(plan, keys, [...stale], ofServices)) {
        const counted = { filter: 0, nat: 0 };
        await this.#need.iptables.restore(() => restoreText(step, counted), signal);
        written.filter += counted.filter;
        written.nat += counted.nat;
      }
    } catch (err) {
      throw isFull ? err : new PartialSyncError('Cannot write the changed iptables rules', { cause: err });
    }
    this.#needsFull = false;
    this.#contextText = contextText;
    if (isFull) this.#lastFullMs = nowMs;
    return this.#report(isFull, fixed, written);
  }

  watch(onLost: () => void, signal: AbortSignal): Promise<void> {
    const lost = (): void => {
      this.#needsFull = true;
      onLost();
    };
    const { canaryPeriodMs: periodMs, family } = this.#options;
    const { iptables, clock, log } = this.#need;
    const isInstalled = (): boolean => !this.#needsFull;
    return watchCanary({ iptables, clock, log: log.child({ family }), periodMs, isInstalled, onLost: lost }, signal);
  }

  /** Brings `#installed` up to date for `keys`; says which shared chains and which own chains are different now. */
  async #recompute(
    keys: readonly string[],
    services: SyncRequest['services'],
    context: RuleContext,
    isFull: boolean,
  ): Promise<{ dirty: Set<string>; stale: Set<string> }> {
    const dirty = new Set<string>(isFull ? allSharedChains : []);
    const stale = new Set<string>();
    if (isFull) {
      for (const key of this.#installed.keys()) if (!services.has(key)) this.#installed.delete(key);
    }
    for (const [i, key] of keys.entries()) {
      if (i % sliceSize === sliceSize - 1) await yieldTurn();
      const before = this.#installed.get(key);
      const service = services.get(key);
      const after = service === undefined ? undefined : install(service, context);
      if (after === undefined) this.#installed.delete(key);
      else this.#installed.set(key, after);
      for (const chain of new Set([...(before?.shared.keys() ?? []), ...(after?.shared.keys() ?? [])])) {
        if (!isSameText(before?.shared.get(chain), after?.shared.get(chain))) dirty.add(chain);
      }
      const kept = new Set(after?.chainNames);
      for (const chain of before?.chainNames ?? []) if (!kept.has(chain)) stale.add(chain);
    }
    return { dirty, stale };
  }

  #fixedRules(): Map<string, readonly string[]> {
    const { family, masqueradeMark, dropsInvalid, nodePortAddresses } = this.#options;
    const addresses = nodePortAddresses();
    const localhostNodePorts = family === 'IPv4' && this.#options.localhostNodePorts && addresses.containsIpv4Loopback;
    const rules = staticRules({ family, masqueradeMark, dropsInvalid, localhostNodePorts });
    const ips = addresses.isMatchAll ? undefined : matchingAddresses(addresses, this.#need.interfaceIps());
    return new Map([...Object.entries(rules), ['nat KUBE-SERVICES', nodePortJumps(family, ips, localhostNodePorts)]]);
  }

  async #readExisting(signal: AbortSignal): Promise<{ filter: ExistingRules; nat: ExistingRules }> {
    const existing = { filter: new ExistingRules('filter'), nat: new ExistingRules('nat') };
    await this.#need.iptables.save('filter', (line) => existing.filter.read(line), signal);
    await this.#need.iptables.save('nat', (line) => existing.nat.read(line), signal);
    return existing;
  }

  *#sharedRules(chain: string): Generator<string> {
    for (const { shared } of this.#installed.values()) {
      yield* shared.get(chain as SharedChain) ?? []; // other chains have no lines of Services
    }
  }

  #report(isFull: boolean, fixed: ReadonlyMap<string, readonly string[]>, written: Written): SyncReport {
    const total = { filter: 0, nat: 0 };
    const lacksLocal = { internal: 0, external: 0 };
    const count = (chain: string, rules: number): void => {
      total[chain.startsWith('nat ') ? 'nat' : 'filter'] += rules;
    };
    for (const [chain, rules] of fixed) count(chain, rules.length);
    for (const { shared, chainRuleCount, lacksInternal, lacksExternal } of this.#installed.values()) {
      for (const [chain, rules] of shared) count(chain, rules.length);
      total.nat += chainRuleCount;
      lacksLocal.internal += lacksInternal;
      lacksLocal.external += lacksExternal;
    }
    const rules = new Map([
      ['filter', { total: total.filter, written: written.filter }],
      ['nat', { total: total.nat, written: written.nat }],
    ]);
    return { isFull, lacksLocal, rules };
  }
}

type Written = { filter: number; nat: number };

const allSharedChains = [
  ...sharedChains.filter.map((chain) => `filter ${chain}`),
  ...sharedChains.nat.map((chain) => `nat ${chain}`),
];

function install(service: ServiceState, context: RuleContext): Installed {
  const shared = new Map<SharedChain, string[]>();
  const chainNames: string[] = [];
  let chainRuleCount = 0;
  let lacksInternal = 0;
  let lacksExternal = 0;
  for (const rules of rulesOf(service, context)) {
    for (const { chain, rule } of rules.shared) shared.set(chain, [...(shared.get(chain) ?? []), rule]);
    for (const { chain, rules: own } of rules.chains) {
      chainNames.push(chain);
      chainRuleCount += own.length;
    }
    if (rules.lacksLocal.internal) lacksInternal++;
    if (rules.lacksLocal.external) lacksExternal++;
  }
  return { shared, chainNames, chainRuleCount, lacksInternal, lacksExternal };
}

function rulesOf({ ports, endpoints }: ServiceState, context: RuleContext): ServiceRules[] {
  return ports.map((port) =>
    serviceRules(port, endpoints.get(endpointsKey(port.portName, port.protocol)) ?? [], context),
  );
}

/** The own chains of `keys`, a slice of Services at a time. Computed again instead of kept: they are the bulk. */
async function* ownChains(
  keys: readonly string[],
  services: SyncRequest['services'],
  context: RuleContext,
): AsyncGenerator<ServiceRules['chains']> {
  for (const [i, key] of keys.entries()) {
    if (i % sliceSize === sliceSize - 1) await yieldTurn();
    const service = services.get(key);
    if (service !== undefined) yield rulesOf(service, context).flatMap(({ chains }) => chains);
  }
}

function countEndpoints(services: SyncRequest['services']): number {
  let count = 0;
  for (const { ports, endpoints } of services.values()) {
    for (const { portName, protocol } of ports) count += endpoints.get(endpointsKey(portName, protocol))?.length ?? 0;
  }
  return count;
}

function isSameText(a: readonly string[] = [], b: readonly string[] = []): boolean {
  return a.length === b.length && a.every((line, i) => line === b[i]);
}

/** Lets what waits have its turn. */
function yieldTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
