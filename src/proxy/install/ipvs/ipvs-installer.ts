import type { IpTable, RestoreInput } from '../../../adapters/iptables/iptables.ts';
import type { Clock } from '../../../base/clock.ts';
import { describeError } from '../../../base/errors.ts';
import type { Logger } from '../../../base/logger.ts';
import { runTogether } from '../../../base/run-together.ts';
import { Semaphore } from '../../../base/semaphore.ts';
import { familyOfIp, isLoopback, parseCidr } from '../../compute/ip-ranges.ts';
import { drainedChanges, parseConnections } from '../../compute/ipvs/connections.ts';
import { ipsetChanges, parseIpsetSave } from '../../compute/ipvs/ip-sets.ts';
import { modeRulesText } from '../../compute/ipvs/mode-rules.ts';
import {
  type Draining,
  type KernelServer,
  parseIpvsadmSave,
  serverChanges,
} from '../../compute/ipvs/server-changes.ts';
import { type WantedState, wantedState } from '../../compute/ipvs/wanted-state.ts';
import type { LocalTraffic } from '../../compute/local-traffic.ts';
import { type NodePortAddresses, matchingAddresses } from '../../compute/node-port-addresses.ts';
import type { IpFamily } from '../../proxy-model.ts';
import type { Installer, SyncReport, SyncRequest } from '../installer.ts';
import { lookQuickly } from '../iptables/look-at-rules.ts';
import { watchRules } from '../iptables/watch-rules.ts';
import { countRules, missingJumps } from './iptables-around.ts';

/** The interface that has the Services' addresses, so that packets to them are this machine's own. */
export const boundLink = 'kube-ipvs0';

export interface IpvsInstallerNeed {
  ipset: {
    save(signal: AbortSignal): Promise<string>;
    restore(lines: readonly string[], signal: AbortSignal): Promise<void>;
  };
  ipvs: {
    save(signal: AbortSignal): Promise<string>;
    list(signal: AbortSignal): Promise<string>;
    restore(lines: readonly string[], signal: AbortSignal): Promise<void>;
  };
  links: {
    addresses(signal: AbortSignal): Promise<ReadonlyMap<string, readonly string[]>>;
    ensure(name: string, signal: AbortSignal): Promise<void>;
    change(
      name: string,
      addresses: { added: readonly string[]; removed: readonly string[] },
      signal: AbortSignal,
    ): Promise<void>;
  };
  iptables: {
    save(table: IpTable, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
    restore(input: RestoreInput, signal: AbortSignal): Promise<void>;
    ruleCount(table: IpTable, chain: string, signal: AbortSignal): Promise<number | undefined>;
  };
  /** Told when iptables-restore has failed. */
  onRestoreFailed: () => void;
  clock: Clock;
  log: Logger;
}

export interface IpvsInstallerOptions {
  family: IpFamily;
  masqueradeMark: string;
  masqueradeAll: boolean;
  scheduler: string;
  /** Virtual servers in these ranges are somebody else's. */
  excludeCidrs: readonly string[];
  /** Read at each sync: both follow the node object. */
  nodePortAddresses: () => NodePortAddresses;
  localTraffic: () => LocalTraffic | undefined;
}

const drainPeriodMs = 60_000;
const quickLookMs = 5000;

/**
 * Services as virtual servers of the kernel. Every sync compares all there is with all there must be and writes the
 * difference, but for the iptables rules, which are few and written whole.
 */
export class IpvsInstaller implements Installer {
  readonly #options: IpvsInstallerOptions;
  readonly #need: IpvsInstallerNeed;
  readonly #turn = new Semaphore(1);
  #draining: ReadonlyMap<string, Draining> = new Map();
  #isFirst = true;
  #syncNumber = 0;
  #isInstalled = false;
  #rulesText = '';

  constructor(options: IpvsInstallerOptions, need: IpvsInstallerNeed) {
    this.#options = options;
    this.#need = need;
  }

  sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    return this.#turn.with(signal, async () => {
      this.#syncNumber++;
      this.#isInstalled = false;
      const report = await this.#sync(request, signal);
      this.#isInstalled = true;
      this.#isFirst = false;
      return report;
    });
  }

  /** Whatever escapes the quick look, the sync of every `syncPeriod` mends. */
  watch(onLost: () => void, signal: AbortSignal): Promise<void> {
    const { clock } = this.#need;
    const log = this.#need.log.child({ family: this.#options.family });
    const look = { look: (inner: AbortSignal) => this.#look(inner), ruleCount: () => 0, periodMs: quickLookMs };
    const syncNumber = (): number | undefined => (this.#isInstalled ? this.#syncNumber : undefined);
    return runTogether(signal, [
      (inner) => watchRules({ looks: [look], syncNumber, onLost, clock, log }, inner),
      (inner) => this.#drain(inner),
    ]);
  }

  async #sync({ services, node }: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    const { family } = this.#options;
    const { ipset, links } = this.#need;
    const here = await this.#readAddresses(signal);
    const wanted = wantedState(services.values(), {
      family,
      node,
      nodePortIps: this.#nodePortIps(here.foreign),
      foreignIps: new Set(node.ip === undefined ? here.foreign : [...here.foreign, node.ip]),
    });
    await ipset.restore(ipsetChanges(wanted.sets, parseIpsetSave(await ipset.save(signal)), family), signal);
    if (!here.hasLink) await links.ensure(boundLink, signal);
    const added = [...wanted.boundIps].filter((ip) => !here.bound.has(ip));
    const removed = [...here.bound].filter((ip) => !wanted.boundIps.has(ip));
    await links.change(boundLink, { added, removed }, signal);
    await this.#syncServers(wanted, signal);
    await this.#syncRules(wanted, signal);
    return { isFull: true, lacksLocal: wanted.lacksLocal, rules: new Map() };
  }

  /** The machine's addresses of the family: on the Services' interface, and elsewhere. */
  async #readAddresses(signal: AbortSignal): Promise<{ hasLink: boolean; bound: Set<string>; foreign: string[] }> {
    const bound = new Set<string>();
    const foreign: string[] = [];
    const links = await this.#need.links.addresses(signal);
    for (const [link, ips] of links) {
      for (const ip of ips) {
        if (familyOfIp(ip) !== this.#options.family || isLinkLocal(ip)) continue;
        if (link === boundLink) bound.add(ip);
        else foreign.push(ip);
      }
    }
    return { hasLink: links.has(boundLink), bound, foreign };
  }

  #nodePortIps(foreign: readonly string[]): string[] {
    const addresses = this.#options.nodePortAddresses();
    const chosen = addresses.isMatchAll ? foreign : matchingAddresses(addresses, foreign);
    return [...new Set(chosen)].filter((ip) => !isLoopback(ip));
  }

  async #syncServers({ servers }: WantedState, signal: AbortSignal): Promise<void> {
    const { family, scheduler, excludeCidrs } = this.#options;
    const { ipvs } = this.#need;
    const existing = parseIpvsadmSave(await ipvs.save(signal));
    const hasStale = [...existing].some(([key, server]) => hasOther(server, servers.get(key)?.realServers));
    const { lines, draining } = serverChanges({
      wanted: servers,
      existing,
      family,
      scheduler,
      isFirst: this.#isFirst,
      draining: this.#draining,
      connections: hasStale ? parseConnections(await ipvs.list(signal)) : new Map(),
      excluded: excludeCidrs.map(parseCidr).filter((cidr) => cidr !== undefined),
    });
    this.#draining = draining;
    await ipvs.restore(lines, signal);
  }

  async #syncRules({ sets }: WantedState, signal: AbortSignal): Promise<void> {
    const { family, masqueradeMark, masqueradeAll, localTraffic } = this.#options;
    const { iptables, onRestoreFailed } = this.#need;
    const context = { family, masqueradeMark, masqueradeAll, localTraffic: localTraffic(), sets };
    const text = modeRulesText(context);
    const saved = { nat: new Set<string>(), filter: new Set<string>() };
    for (const table of ['nat', 'filter'] as const) {
      await iptables.save(table, (line) => saved[table].add(line), signal);
    }
    try {
      await iptables.restore(() => [text, missingJumps(saved)], signal);
    } catch (err) {
      if (!signal.aborted) onRestoreFailed();
      throw err;
    }
    this.#rulesText = text;
  }

  /** What is missing of what others take away: the rules when a table is flushed, and the interface. */
  async #look(signal: AbortSignal): Promise<string[]> {
    const { iptables, links } = this.#need;
    const expected = {
      inChain: (chain: string) => countRules(this.#rulesText, chain.slice(chain.indexOf(' ') + 1)),
      inServiceChains: 0,
    };
    const lost = await lookQuickly(iptables, expected, signal);
    return (await links.addresses(signal)).has(boundLink) ? lost : [...lost, boundLink];
  }

  /** Removes real servers whose last connection has ended. */
  async #drain(signal: AbortSignal): Promise<void> {
    const { clock, ipvs, log } = this.#need;
    while (!signal.aborted) {
      await clock.sleep(drainPeriodMs, signal);
      if (signal.aborted) return;
      try {
        await this.#turn.with(signal, async () => {
          if (this.#draining.size === 0) return;
          const { lines, draining } = drainedChanges(this.#draining, parseConnections(await ipvs.list(signal)));
          await ipvs.restore(lines, signal);
          this.#draining = draining;
        });
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ reason: describeError(err) }, 'cannot remove real servers that have drained, trying again later');
      }
    }
  }
}

/** Whether the kernel sends to somebody who is not wanted. */
function hasOther({ protocol, realServers }: KernelServer, wanted: ReadonlySet<string> | undefined): boolean {
  if (protocol !== 'tcp' || wanted === undefined) return false;
  return [...realServers.keys()].some((realServer) => !wanted.has(realServer));
}

function isLinkLocal(ip: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(ip);
}
