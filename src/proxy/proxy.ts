/**
 * kube-proxy: Services in the kernel of one node.
 *
 * Owns: the line collect (Services and EndpointSlices, as informers see them) → compute (pure: which endpoints, which
 * rules) → install (a mode's way into the kernel), once per IP family, and the doors that tell how it goes.
 * Promises: nothing is written before both lists are there; a change is in the kernel as soon as `minSyncPeriod`
 * allows; what somebody else removes comes back within seconds; rules stay when the process ends.
 * Needs: an API client, an installer per family, the conntrack table.
 */
import type { Clock } from '../base/clock.ts';
import { withDeadline } from '../base/deadline.ts';
import { ConfigError, describeError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { aborted, runTogether } from '../base/run-together.ts';
import type { ApiClient } from '../client/api-client.ts';
import { awaitNode, guardNode } from './await-node.ts';
import { checkFamilies, primaryFamily } from './check-families.ts';
import type { OwnNode } from './collect/own-node.ts';
import { ServiceCidrs } from './collect/service-cidrs.ts';
import { ServiceCollector } from './collect/service-collector.ts';
import { matchingAddresses, nodePortAddresses } from './compute/node-port-addresses.ts';
import { FamilyProxy } from './family-proxy.ts';
import { FlowReconciler, type FlowTable } from './install/flow-reconciler.ts';
import type { Installer } from './install/installer.ts';
import type { ProxyMetrics } from './metrics.ts';
import type { ListenAddress, ProxyConfig } from './proxy-config.ts';
import { ProxyEvents } from './proxy-events.ts';
import type { IpFamily } from './proxy-model.ts';
import { ProxyHealth } from './serve/health.ts';
import { runHttpListener } from './serve/http-listener.ts';
import { answerHealth, answerMetrics } from './serve/proxy-servers.ts';
import { ServiceHealthPorts } from './serve/service-health-ports.ts';

export interface ProxyNeed {
  client: Pick<ApiClient, 'list' | 'watch' | 'create'>;
  node: OwnNode;
  /** One per family that this node serves. */
  installers: ReadonlyMap<IpFamily, Installer>;
  flows: FlowTable;
  metrics: ProxyMetrics;
  /** Every flag with its value, for `/flagz`. */
  flags: Readonly<Record<string, string>>;
  /** Of the log, for as long as the process lives. */
  setVerbosity: (verbosity: number) => void;
  /** The machine's addresses of a family, as they are now. */
  interfaceIps: (family: IpFamily) => readonly string[];
  clock: Clock;
  log: Logger;
}

/** Longest time between two syncs where a back end keeps its rules right by itself; others sync every period. */
const maxIntervalMs = 3_600_000;

const eventDeadlineMs = 5000;
const ipvsDeprecation =
  "The ipvs proxier is now deprecated and may be removed in a future release. Please use 'nftables' instead.";

export class Proxy {
  readonly #config: ProxyConfig;
  readonly #nodeName: string;
  readonly #need: ProxyNeed;
  readonly #health: ProxyHealth;
  readonly #startedMs: number;
  readonly #events: ProxyEvents;

  constructor(config: ProxyConfig, nodeName: string, need: ProxyNeed) {
    this.#config = config;
    this.#nodeName = nodeName;
    this.#need = need;
    this.#startedMs = need.clock.nowMs();
    this.#health = new ProxyHealth(config.syncPeriodMs, need.clock);
    this.#events = new ProxyEvents({ client: need.client, nodeName, clock: need.clock, log: need.log });
  }

  /** Serves until `signal` aborts. The rules stay. */
  async run(signal: AbortSignal): Promise<void> {
    const { client, node, clock, log } = this.#need;
    const collector = new ServiceCollector({
      client,
      nodeName: this.#nodeName,
      clock,
      log: log.child({ room: 'collect' }),
    });
    const cidrs = new ServiceCidrs({ client, clock, log: log.child({ room: 'collect' }) });
    const proxies = [...this.#need.installers].map(([family, installer]) =>
      this.#familyProxy(family, installer, cidrs, signal),
    );
    for (const proxy of proxies) {
      collector.addSink(proxy);
      node.onChange(() => proxy.resync());
    }
    const families = [...this.#need.installers.keys()];
    const { healthz } = this.#config;
    const awaited = { name: this.#nodeName, config: this.#config, node, clock, log };
    await runTogether(signal, [
      (inner) => node.run(inner),
      async (inner) => {
        await awaitNode(awaited, inner);
        this.#checkFamilies(families);
        await collector.run(inner);
      },
      (inner) => guardNode(awaited, families, inner),
      ...proxies.map((proxy) => (inner: AbortSignal) => proxy.run(inner)),
      // flows are judged by them in every mode
      (inner) => cidrs.run(() => proxies.forEach((proxy) => proxy.rangesChanged()), inner),
      (inner) => this.#serve('metrics', this.#config.metrics, inner),
      ...(healthz === undefined ? [] : [(inner: AbortSignal) => this.#serve('healthz', healthz, inner)]),
      (inner) => this.#announce(inner),
    ]);
  }

  /** Says what of the configuration does not fit the families of this node. @throws {ConfigError} where it cannot work */
  #checkFamilies(families: readonly IpFamily[]): void {
    const { node, log } = this.#need;
    const primary = primaryFamily(node.ips, this.#config.bindAddress);
    const { fatal, warnings } = checkFamilies(this.#config, { primary, families, podCidrs: node.podCidrs });
    for (const warning of warnings) log.warn({ warning }, 'the configuration does not fit this node');
    if (fatal.length > 0) throw new ConfigError('Cannot serve Services with this configuration', fatal);
  }

  #familyProxy(family: IpFamily, installer: Installer, cidrs: ServiceCidrs, signal: AbortSignal): FamilyProxy {
    const { node, clock } = this.#need;
    const { mode, syncPeriodMs, minSyncPeriodMs } = this.#config;
    const log = this.#need.log.child({ family });
    const healthPorts = new ServiceHealthPorts({
      hosts: () => this.#listenHosts(family),
      isProxyHealthy: () => this.#health.isHealthy,
      onFailure: ({ namespace, name, port }, reason) => {
        // `report` handles its failures itself
        void this.#events.report(
          {
            regarding: { apiVersion: 'v1', kind: 'Service', namespace, name },
            type: 'Warning',
            reason: 'FailedToStartServiceHealthcheck',
            action: 'Listen',
            note: `node ${this.#nodeName} failed to start healthcheck "${namespace}/${name}" on port ${port}: ${reason}`,
          },
          signal,
        );
      },
      clock,
      log,
    });
    return new FamilyProxy(
      {
        family,
        syncPeriodMs,
        minSyncPeriodMs,
        maxIntervalMs: mode === 'ipvs' ? syncPeriodMs : maxIntervalMs,
      },
      {
        installer,
        node: () => node.facts(family),
        serviceCidrs: () => cidrs.of(family),
        health: this.#health,
        healthPorts,
        flows: this.#flowReconciler(family, log),
        metrics: this.#need.metrics,
        clock,
        log,
      },
    );
  }

  async #serve(name: 'healthz' | 'metrics', address: ListenAddress, signal: AbortSignal): Promise<void> {
    const { node, metrics, flags, setVerbosity, clock, log } = this.#need;
    const isHealthz = name === 'healthz';
    const answer = isHealthz
      ? answerHealth({ health: this.#health, metrics, isNodeEligible: () => node.isEligible })
      : answerMetrics(
          { metrics, config: this.#config, flags, startedMs: this.#startedMs, setVerbosity, clock },
          signal,
        );
    const onFailure = async (err: unknown): Promise<void> => {
      const event = {
        regarding: this.#events.nodeReference,
        type: 'Warning',
        reason: isHealthz ? 'FailedToStartProxierHealthcheck' : 'FailedToStartMetricServer',
        action: 'StartKubeProxy',
        note: isHealthz
          ? `failed to start proxier healthz on ${address.host}:${address.port}: ${describeError(err)}`
          : `starting metrics server failed: ${describeError(err)}`,
      } as const;
      // an API server that does not answer must not keep the process from its end
      await withDeadline('an event', eventDeadlineMs, clock, signal, (inner) =>
        this.#events.report(event, inner),
      ).catch((reason: unknown) => log.debug({ reason: describeError(reason) }, 'cannot store an event'));
    };
    const isHardFail = this.#config.bindAddressHardFail;
    await runHttpListener({ name, ...address, answer, isHardFail, onFailure, clock, log }, signal);
  }

  /** Where health check ports answer: everywhere, or on the addresses of NodePorts. */
  #listenHosts(family: IpFamily): readonly string[] {
    const { node, interfaceIps } = this.#need;
    const addresses = nodePortAddresses(this.#config.nodePortAddresses, node.ips, family);
    if (addresses.isMatchAll) return [family === 'IPv4' ? '0.0.0.0' : '::'];
    return matchingAddresses(addresses, interfaceIps(family));
  }

  async #announce(signal: AbortSignal): Promise<void> {
    const about = { regarding: this.#events.nodeReference, action: 'StartKubeProxy' };
    await this.#events.reportSurely({ ...about, type: 'Normal', reason: 'Starting', note: '' }, signal);
    if (this.#config.mode === 'ipvs') {
      this.#need.log.error({}, ipvsDeprecation);
      const warning = { ...about, type: 'Warning', reason: 'IPVSDeprecation', note: ipvsDeprecation } as const;
      await this.#events.reportSurely(warning, signal);
    }
    // the other parts go on until they are stopped: ending here would stop them
    await aborted(signal);
  }

  #flowReconciler(family: IpFamily, log: Logger): FlowReconciler {
    const { flows: table, interfaceIps, node, metrics, clock } = this.#need;
    const nodePortIps = (): readonly string[] => {
      const addresses = nodePortAddresses(this.#config.nodePortAddresses, node.ips, family);
      return addresses.isMatchAll ? interfaceIps(family) : matchingAddresses(addresses, interfaceIps(family));
    };
    const onReconciled = (durationMs: number, staleFlows: number, deletedEntries: number): void =>
      metrics.flowsReconciled(family, durationMs, staleFlows, deletedEntries);
    return new FlowReconciler({ family, table, nodePortIps, onReconciled, clock, log: log.child({ room: 'install' }) });
  }
}
