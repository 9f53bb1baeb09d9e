import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { runTogether } from '../base/run-together.ts';
import type { KnownService, KnownSlice } from './collect/known-objects.ts';
import type { ServiceSink } from './collect/service-collector.ts';
import { ServiceTracker } from './collect/service-tracker.ts';
import type { FlowProtocol } from './compute/stale-flows.ts';
import type { FlowReconciler } from './install/flow-reconciler.ts';
import { type Installer, PartialSyncError } from './install/installer.ts';
import type { ProxyMetrics } from './metrics.ts';
import type { Endpoint, IpFamily, NodeFacts } from './proxy-model.ts';
import type { ProxyHealth } from './serve/health.ts';
import { type ServiceHealthPorts, serviceHealths } from './serve/service-health-ports.ts';
import { SyncRunner } from './sync-runner.ts';

export interface FamilyProxyOptions {
  family: IpFamily;
  syncPeriodMs: number;
  minSyncPeriodMs: number;
  /** Longest time without a sync: what is wrong with the rules is mended then. */
  maxIntervalMs: number;
}

export interface FamilyProxyNeed {
  installer: Installer;
  node: () => NodeFacts;
  /** Ranges of cluster IPs; undefined while they are not known. */
  serviceCidrs: () => readonly string[] | undefined;
  health: ProxyHealth;
  healthPorts: Pick<ServiceHealthPorts, 'update' | 'whenClosed'>;
  /** Ends flows to endpoints that are gone; asked after each sync that succeeded. */
  flows: Pick<FlowReconciler, 'reconcile'>;
  metrics: ProxyMetrics;
  clock: Clock;
  log: Logger;
}

/** Changes of one Service between two syncs of which each is timed. */
const changesTimedMax = 100;

/**
 * One IP family from events to kernel. Owns the tracker and the rhythm: nothing is installed before both lists are
 * there; after that every change is installed as soon as the bounds allow, a failure is tried again.
 */
export class FamilyProxy implements ServiceSink {
  readonly #options: FamilyProxyOptions;
  readonly #need: FamilyProxyNeed;
  readonly #tracker = new ServiceTracker();
  readonly #runner: SyncRunner;
  /** Changed Services that no successful sync has covered yet. */
  readonly #unsynced = new Set<string>();
  /** When changes happened that wait for a sync, by Service: for the latency metric. */
  readonly #changedAtMs = new Map<string, number[]>();
  readonly #startedMs: number;
  #hasSynced = false;
  #mustSyncAll = true;
  /** Of cluster IPs, as the last sync knew them. */
  #ranges = rangesText(undefined);

  constructor(options: FamilyProxyOptions, need: FamilyProxyNeed) {
    this.#options = options;
    this.#need = need;
    this.#startedMs = need.clock.nowMs();
    this.#runner = new SyncRunner({
      minIntervalMs: options.minSyncPeriodMs,
      maxIntervalMs: options.maxIntervalMs,
      clock: need.clock,
    });
  }

  onService(key: string, service: KnownService | undefined): void {
    const { family } = this.#options;
    this.#need.metrics.changed(family, 'service');
    if (this.#tracker.setService(key, service?.ports[family] ?? [])) this.#request();
  }

  onSlice(key: string, name: string, slice: KnownSlice | undefined): void {
    const { family } = this.#options;
    const ofFamily = slice?.family === family ? slice : undefined;
    // of every event that is ours the total tells, whether or not it changes anything
    if (slice === undefined || ofFamily !== undefined) this.#need.metrics.changed(family, 'endpoint');
    if (!this.#tracker.setSlice(key, name, ofFamily?.endpoints)) return;
    const changedAtMs = ofFamily?.changedAtMs;
    if (ofFamily === undefined) this.#changedAtMs.delete(key);
    else if (changedAtMs !== undefined && changedAtMs > this.#startedMs) {
      const times = this.#changedAtMs.get(key) ?? [];
      if (times.length < changesTimedMax) this.#changedAtMs.set(key, [...times, changedAtMs]);
    }
    this.#request();
  }

  onSynced(): void {
    this.#hasSynced = true;
    this.requestSync();
  }

  /** Asks for all rules anew: the node has changed, or somebody removed them. */
  resync(): void {
    this.#mustSyncAll = true;
    this.requestSync();
  }

  /** The ranges of cluster IPs are there, or have changed; the last sync may have had them already. */
  rangesChanged(): void {
    if (rangesText(this.#need.serviceCidrs()) !== this.#ranges) this.requestSync();
  }

  /** Asks for a sync of what has changed. Before both lists are there the first sync is still to come. */
  requestSync(): void {
    if (!this.#hasSynced) return;
    const { health, metrics, clock } = this.#need;
    health.queued(this.#options.family);
    metrics.queued(this.#options.family, clock.nowMs());
    this.#runner.request();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { installer, health, healthPorts } = this.#need;
    health.updated(this.#options.family);
    await runTogether(signal, [
      (inner) => this.#runner.run((turn) => this.#sync(turn), inner),
      (inner) => installer.watch(() => this.resync(), inner),
    ]);
    await healthPorts.whenClosed();
  }

  #request(): void {
    this.#need.metrics.pending(this.#options.family, this.#tracker.pending);
    this.requestSync();
  }

  async #sync(signal: AbortSignal): Promise<{ retryMs?: number }> {
    if (!this.#hasSynced) return {};
    const { installer, node, health, healthPorts, metrics, clock, log } = this.#need;
    const { family, syncPeriodMs, minSyncPeriodMs } = this.#options;
    const startMs = clock.monotonicMs();
    const changedAt = [...this.#changedAtMs.values()].flat();
    this.#changedAtMs.clear();
    const taken = await this.#tracker.take();
    for (const key of taken) this.#unsynced.add(key);
    metrics.pending(family, this.#tracker.pending);
    const services = this.#tracker.states;
    const changed = this.#mustSyncAll ? 'all' : new Set(this.#unsynced);
    const serviceCidrs = this.#need.serviceCidrs();
    this.#ranges = rangesText(serviceCidrs);
    this.#mustSyncAll = false;
    try {
      const report = await installer.sync({ services, changed, node: node(), serviceCidrs }, signal);
      this.#unsynced.clear();
      const durationMs = clock.monotonicMs() - startMs;
      metrics.took(family, report.isFull, durationMs);
      metrics.synced(family, report, clock.nowMs());
      for (const ms of changedAt) metrics.programmed(family, clock.nowMs() - ms);
      health.updated(family);
      const level = report.isFull ? 'info' : 'debug';
      log[level]({ isFull: report.isFull, services: services.size, durationMs }, 'rules are in place');
    } catch (err) {
      if (signal.aborted) return {};
      const isPartial = err instanceof PartialSyncError;
      this.#mustSyncAll = true;
      metrics.took(family, !isPartial, clock.monotonicMs() - startMs);
      metrics.failed(family, isPartial);
      // a full sync relies on nothing that somebody may have removed: it need not wait
      const retryMs = isPartial ? minSyncPeriodMs : syncPeriodMs;
      log.error({ reason: describeError(err), isPartial, retryMs }, 'cannot install the rules, will retry');
      return { retryMs };
    }
    await healthPorts.update(serviceHealths(this.#tracker.balanced.values()), signal);
    const endpoints = (protocol: FlowProtocol): Iterable<Endpoint> => this.#tracker.endpointsOf(protocol);
    const { mustRetry } = await this.#need.flows.reconcile({ services, changed, serviceCidrs, endpoints }, signal);
    return mustRetry ? { retryMs: syncPeriodMs } : {};
  }
}

const rangesText = (cidrs: readonly string[] | undefined): string => cidrs?.join() ?? 'not known';
